"""The embodiment of a simulated robot that has no file of its own: it follows from its domain."""

from __future__ import annotations

from dataclasses import replace

from genrl_ros.domains.base import IMAGE_SIZE, RobotSpec
from genrl_ros.serving.robot.camera import Camera
from genrl_ros.serving.robot.embodiment import (
    UNITS,
    Channel,
    CommandGroup,
    Embodiment,
    EmbodimentError,
    Interface,
    JointStates,
    Limits,
    Quantity,
    Reaction,
)
from genrl_ros.serving.robot.embodiment_checks import every_problem_of

PERIODS = 2
"""Periods after which images and joint states are too old."""
_INTERFACES: dict[Quantity, Interface] = {
    'velocity': 'velocity_group',
    'position': 'position_group',
    'effort': 'effort_group',
}
_REACTIONS: dict[Quantity, Reaction] = {
    'velocity': 'zero',
    'position': 'hold',
    'effort': 'stop_time',
}


def simulated_robot(spec: RobotSpec, episode_steps: int) -> Embodiment:
    """The embodiment that a simulator of this robot fits.

    One command topic carries all channels, each limited to what an action of 1.0 is. Velocities
    and positions are of the joint of the same name; efforts are of actuators. Without efforts a
    robot may fall, so that time stands still until there are some.

    Raises:
        EmbodimentError: if the units are not all of velocities, of positions or of efforts, or if
            the rates do not fit each other.
    """
    found = {q for q, units in UNITS.items() if set(spec.units) <= set(units)}
    if len(found) != 1 or not spec.units:
        raise EmbodimentError(
            f'{spec.name} has no embodiment file, and its units do not tell how it is commanded: '
            f'{", ".join(spec.units) or "none"}'
        )
    quantity: Quantity = next(q for q in _INTERFACES if q in found)
    channels = tuple(
        Channel(
            unit=unit,
            scale=scale,
            reaction=_REACTIONS[quantity],
            joint='' if quantity == 'effort' else name,
            name=name,
            limits=_limits(quantity, scale, spec.control_dt_s),
            quantity=quantity,
        )
        for name, unit, scale in zip(spec.action_names, spec.units, spec.action_scale, strict=True)
    )
    group = CommandGroup(f'joint_{quantity}_controller/commands', _INTERFACES[quantity], channels)
    robot = Embodiment(
        name=spec.name,
        command_rate_hz=1.0 / spec.control_dt_s,
        camera=Camera(
            topic='camera/image_raw', encoding='rgb8', width=IMAGE_SIZE, height=IMAGE_SIZE,
            frame_id='camera_optical_frame', rate_hz=spec.camera_rate_hz,
        ),
        commands=(group,),
        joint_states=JointStates(max_age_s=PERIODS * spec.control_dt_s),
        action_repeat=spec.action_repeat,
        episode_steps=episode_steps,
        use_sim_time=True,
    )  # fmt: skip
    robot = replace(robot, camera=replace(robot.camera, max_age_s=PERIODS * robot.answer_dt_s))
    if problems := every_problem_of(robot):
        raise EmbodimentError(f'the simulated {spec.name} cannot be driven:', problems)
    return robot


def _limits(quantity: Quantity, scale: float, dt_s: float) -> Limits:
    if quantity == 'position':
        return Limits(position=(-scale, scale), velocity=2 * scale / dt_s)
    return Limits(velocity=scale) if quantity == 'velocity' else Limits(effort=scale)
