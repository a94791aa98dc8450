"""What a robot is to a policy: its camera, its joints, its limits, and how it is commanded.

An embodiment is read from a file (`serving.robot.embodiment_file`), checked as a whole before
anything moves, and knows no ROS: values go in and come out by name, in SI units. Vectors `(A,)`
are in the order of the channels: an *action* in [-1, 1] is the policy's, a *command* is in the
units of the channels, and *values* are the part of a command that one message carries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from genrl_ros.domains.base import RobotSpec
from genrl_ros.serving.robot.camera import Camera
from genrl_ros.serving.robot.joint_names import missing_joints
from genrl_ros.serving.robot.strict import STRICT, Count, Finite, Positive

Vector = npt.NDArray[np.float64]
Interface = Literal[
    'velocity_group', 'position_group', 'effort_group', 'joint_trajectory', 'twist'
]
Quantity = Literal['velocity', 'position', 'effort']
Reaction = Literal['hold', 'zero', 'stop_time', 'none']
Mode = Literal['absolute', 'relative']

MAX_RATE_HZ = 1000.0
RATE_TOLERANCE = 1e-6
"""Share by which two rates may differ and still be the same."""
QUANTITIES: dict[str, Quantity] = {
    'velocity_group': 'velocity',
    'position_group': 'position',
    'effort_group': 'effort',
    'joint_trajectory': 'position',
    'twist': 'velocity',
}
"""What the channels of an interface are."""
MESSAGE_TYPES = {
    'velocity_group': 'std_msgs/msg/Float64MultiArray',
    'position_group': 'std_msgs/msg/Float64MultiArray',
    'effort_group': 'std_msgs/msg/Float64MultiArray',
    'joint_trajectory': 'trajectory_msgs/msg/JointTrajectory',
    'twist': 'geometry_msgs/msg/TwistStamped',
}
UNITS = {'velocity': ('rad/s', 'm/s'), 'position': ('rad', 'm'), 'effort': ('N m', 'N')}
AXES = {
    **{f'linear.{axis}': 'm/s' for axis in 'xyz'},
    **{f'angular.{axis}': 'rad/s' for axis in 'xyz'},
}
"""Axes of a twist, with their units."""


class EmbodimentError(ValueError):
    """An embodiment that cannot be used, or messages that do not fit it."""

    def __init__(self, what: str, problems: Sequence[str] = ()) -> None:
        """Say what cannot be used, and everything that is wrong with it."""
        self.problems = tuple(problems)
        super().__init__('\n  - '.join([what, *problems]))


@dataclass(frozen=True)
class Limits:
    """What a channel may be told; what is None is not limited.

    Attributes:
        position: lowest and highest position (rad, m).
        velocity: largest speed (rad/s, m/s).
        acceleration: largest change of speed (rad/s², m/s²).
        jerk: largest change of acceleration (rad/s³, m/s³).
        effort: largest torque or force, to either side (N m, N).
        effort_rate: largest change of it (N m/s, N/s).
    """

    __pydantic_config__ = STRICT

    position: tuple[Finite, Finite] | None = None
    velocity: Positive | None = None
    acceleration: Positive | None = None
    jerk: Positive | None = None
    effort: Positive | None = None
    effort_rate: Positive | None = None


@dataclass(frozen=True)
class Channel:
    """One number of the command: of a joint, of an actuator that is none, or of a twist's axis.

    Attributes:
        unit: of the command: `rad/s` or `m/s`, `rad` or `m`, `N m` or `N`.
        scale: what an action of 1.0 is, in that unit.
        reaction: what is safe when input stops: `zero` for velocities and efforts, `hold` for
            positions, or `none`: it is left at its last command. An emergency stop brakes every
            velocity. `stop_time` is for what is never safe without commands, such as a walker in
            the air: none are sent, and its simulator stands still.
        joint: its name in the joint states; empty for an axis, and for an actuator that does not
            move one joint alone.
        axis: `linear.x` to `angular.z` of a twist; empty for a joint.
        name: of the action; the joint's or axis's unless given.
        centre: the position that an action of 0 commands, where `mode` is `absolute`.
        mode: an action is a position (`absolute`), or how far the position goes from the last
            command in a command period (`relative`). Others than positions are always absolute.
        limits: what it may be told.
        quantity: `velocity`, `position` or `effort`; follows from the interface.
    """

    __pydantic_config__ = STRICT

    unit: str
    scale: Positive
    reaction: Reaction
    joint: str = ''
    axis: str = ''
    name: str = ''
    centre: Finite = 0.0
    mode: Mode = 'absolute'
    limits: Limits = Limits()
    quantity: Quantity = 'velocity'


@dataclass(frozen=True)
class CommandGroup:
    """A topic that takes commands, and its channels in the order of its message.

    Attributes:
        topic: relative to the robot's namespace.
        interface: `velocity_group`, `position_group` or `effort_group` of ros2_control
            (Float64MultiArray), `joint_trajectory` (JointTrajectory), or `twist` (TwistStamped,
            for MoveIt Servo and Cartesian controllers).
        channels: in the order of the message.
        frame_id: frame of a twist.
        horizon_s: seconds after which a trajectory's only point is to be reached.
    """

    __pydantic_config__ = STRICT

    topic: str
    interface: Interface
    channels: tuple[Channel, ...]
    frame_id: str = ''
    horizon_s: Finite = 0.0

    @property
    def message_type(self) -> str:
        """ROS type of the topic."""
        return MESSAGE_TYPES[self.interface]

    @property
    def quantity(self) -> Quantity:
        """What its channels are: `velocity`, `position` or `effort`."""
        return QUANTITIES[self.interface]

    @property
    def joints(self) -> tuple[str, ...]:
        """Names of the joints, or of what is none, in the order of the message."""
        return tuple(channel.joint or channel.name for channel in self.channels)


@dataclass(frozen=True)
class JointStates:
    """Where the robot tells where it is.

    Attributes:
        topic: of sensor_msgs/msg/JointState, relative to the robot's namespace.
        joints: joints that have to be there besides those of the channels.
        rate_hz: messages a second; the command rate if 0.
        max_age_s: older ones must not be relied on.
    """

    __pydantic_config__ = STRICT

    topic: str = 'joint_states'
    joints: tuple[str, ...] = ()
    rate_hz: Annotated[Finite, Field(ge=0)] = 0.0
    max_age_s: Positive = 0.2


@dataclass(frozen=True)
class Home:
    """Where a robot begins its tasks, and how it gets there.

    Attributes:
        positions: of joints that are commanded by velocity or position (rad, m), by their names;
            other joints stay where they are.
        speed: largest speed of a joint on the way (rad/s, m/s).
        tolerance: how far a joint may be from home and count as there (rad, m).
    """

    __pydantic_config__ = STRICT

    positions: Mapping[str, Finite]
    speed: Positive
    tolerance: Positive = 0.03


@dataclass(frozen=True)
class Measured:
    """Where the channels are: `(A,)` positions and velocities, NaN for an axis."""

    position: Vector
    velocity: Vector


@dataclass(frozen=True)
class GroupCommand:
    """What one message has to carry: values in SI units, in the order of the group's channels."""

    group: CommandGroup
    values: Vector


@dataclass(frozen=True)
class Embodiment:
    """A robot, as a policy may drive it; made by `serving.robot.embodiment_file.load_embodiment`.

    There are three rates. The robot gets `command_rate_hz` commands a second. The policy acts
    once in `action_repeat` of them. The camera sends `camera.rate_hz` images a second: at least
    one for each action. The policy node answers one image a command where the camera is as fast
    as that, else one an action, and the command gate repeats its command until the next.

    Attributes:
        name: of the robot; the `domain` of its datasets, world models and policies.
        command_rate_hz: commands a second.
        camera: the camera that the policy sees through.
        commands: the topics that take commands.
        joint_states: where the robot tells where it is.
        action_repeat: commands that one action of the policy lasts.
        episode_steps: agent steps after which a recorded run is cut into episodes, and a policy
            ends that does not say after how many it does.
        home: where it is driven before each task; None if it begins from wherever it is.
        use_sim_time: whether stamps and time come from `/clock`.
    """

    __pydantic_config__ = STRICT

    name: str
    command_rate_hz: Annotated[Positive, Field(le=MAX_RATE_HZ)]
    camera: Camera
    commands: Annotated[tuple[CommandGroup, ...], Field(min_length=1)]
    joint_states: JointStates = field(default_factory=JointStates)
    action_repeat: Count = 1
    episode_steps: Count = 250
    home: Home | None = None
    use_sim_time: bool = False

    @property
    def control_dt_s(self) -> float:
        """Seconds between two commands."""
        return 1.0 / self.command_rate_hz

    @property
    def policy_rate_hz(self) -> float:
        """Actions of the policy a second."""
        return self.command_rate_hz / self.action_repeat

    @property
    def camera_rate_hz(self) -> float:
        """Images a second."""
        return self.camera.rate_hz or self.command_rate_hz

    @property
    def joint_states_rate_hz(self) -> float:
        """Joint states a second."""
        return self.joint_states.rate_hz or self.command_rate_hz

    @property
    def stops_time(self) -> bool:
        """Whether no commands are sent to stop it, but its simulator stands still without."""
        return any(channel.reaction == 'stop_time' for channel in self.channels)

    @property
    def commands_per_answer(self) -> int:
        """Commands that the robot gets for one answer of the policy node to an image."""
        keeps_up = self.camera_rate_hz >= self.command_rate_hz * (1 - RATE_TOLERANCE)
        return 1 if keeps_up else self.action_repeat

    @property
    def answer_dt_s(self) -> float:
        """Seconds between two images that are answered."""
        return self.commands_per_answer * self.control_dt_s

    @property
    def channels(self) -> tuple[Channel, ...]:
        """All channels, in the order of the action vector."""
        return tuple(channel for group in self.commands for channel in group.channels)

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the channels."""
        return tuple(channel.name for channel in self.channels)

    @property
    def scale(self) -> Vector:
        """`(A,)` what an action of 1.0 is."""
        return np.array([channel.scale for channel in self.channels])

    @property
    def joints(self) -> tuple[str, ...]:
        """Every joint that the joint states must have: of the channels, then the others."""
        of_channels = [channel.joint for channel in self.channels if channel.joint]
        return tuple(dict.fromkeys([*of_channels, *self.joint_states.joints]))

    @property
    def topics(self) -> dict[str, str]:
        """Types of all topics, by their relative names."""
        return {
            self.camera.topic: self.camera.message_type,
            self.joint_states.topic: 'sensor_msgs/msg/JointState',
            **{group.topic: group.message_type for group in self.commands},
        }

    def spec(self) -> RobotSpec:
        """The embodiment as datasets, world models and bundles name it."""
        return RobotSpec(
            name=self.name,
            action_names=self.action_names,
            action_scale=tuple(channel.scale for channel in self.channels),
            units=tuple(channel.unit for channel in self.channels),
            control_dt_s=self.control_dt_s,
            action_repeat=self.action_repeat,
            camera_rate_hz=self.camera_rate_hz,
        )

    def measured(
        self, names: Sequence[str], positions: Sequence[float], velocities: Sequence[float] = ()
    ) -> Measured:
        """Find the channels in joint states, by name, whatever their order.

        Args:
            names: of a JointState, with one position each.
            positions: rad or m.
            velocities: rad/s or m/s; may be empty, and the velocities are NaN then.

        Raises:
            EmbodimentError: naming joints that are missing or come twice, and values that are
                not finite.
        """
        self._check_joint_states(names, positions, velocities)
        where = dict(zip(names, positions, strict=True))
        speed = dict(zip(names, velocities, strict=False))
        return Measured(
            position=np.array([where.get(channel.joint, np.nan) for channel in self.channels]),
            velocity=np.array([speed.get(channel.joint, np.nan) for channel in self.channels]),
        )

    def joint_positions(self, names: Sequence[str], positions: Sequence[float]) -> Vector:
        """Positions `(J,)` of all `joints`, found by name.

        Raises:
            EmbodimentError: as `measured` does.
        """
        self._check_joint_states(names, positions, ())
        where = dict(zip(names, positions, strict=True))
        return np.array([where[joint] for joint in self.joints])

    def _check_joint_states(
        self, names: Sequence[str], positions: Sequence[float], velocities: Sequence[float]
    ) -> None:
        if len(names) != len(positions) or len(velocities) not in (0, len(names)):
            raise EmbodimentError(
                f'joint states have {len(names)} names, {len(positions)} positions and '
                f'{len(velocities)} velocities'
            )
        joints = self.joints
        problems = missing_joints(joints, names)
        wanted = {name: index for index, name in enumerate(names) if name in joints}
        for values, what in ((positions, 'position'), (velocities, 'velocity')):
            bad = [
                name for name, i in wanted.items() if len(values) and not np.isfinite(values[i])
            ]
            problems += [f'the {what} of {name} is not finite' for name in bad]
        if problems:
            raise EmbodimentError('joint states do not fit the robot:', problems)

    def to_command(self, action: npt.NDArray[np.floating], reference: Vector) -> Vector:
        """The command `(A,)` of an action.

        Args:
            action: `(A,)`, clipped to [-1, 1].
            reference: `(A,)` the last command, or at the start the measured positions: what
                relative channels go on from.
        """
        base = np.array(
            [
                reference[i] if channel.mode == 'relative' else channel.centre
                for i, channel in enumerate(self.channels)
            ]
        )
        return base + np.clip(np.asarray(action, np.float64), -1.0, 1.0) * self.scale

    def to_action(self, command: Vector, reference: Vector) -> Vector:
        """The action `(A,)` of a command: the inverse of `to_command`, not clipped."""
        base = self.to_command(np.zeros(len(self.channels)), reference)
        return (command - base) / self.scale

    def split(self, command: Vector) -> tuple[GroupCommand, ...]:
        """What each of the command topics has to be sent."""
        ends = np.cumsum([len(group.channels) for group in self.commands])[:-1]
        parts = np.split(np.asarray(command, np.float64), ends)
        return tuple(map(GroupCommand, self.commands, parts))


def absolute(topic: str, namespace: str = '') -> str:
    """The full name of a topic that is relative to a namespace, or absolute already."""
    if topic.startswith('/'):
        return topic
    return '/' + '/'.join(part for part in (namespace.strip('/'), topic) if part)
