"""What can be wrong with an embodiment: all of it, in words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from genrl_ros.serving.robot.embodiment import (
    AXES,
    QUANTITIES,
    UNITS,
    Channel,
    CommandGroup,
    Embodiment,
    Limits,
)
from genrl_ros.serving.robot.urdf import JointLimits
from genrl_ros.serving.safety.gate import TIMEOUT_PERIODS

REACTIONS = {'velocity': ('zero', 'none'), 'position': ('hold', 'none')}
FOREIGN_UNITS = {
    'deg': 'rad', 'degree': 'rad', 'degrees': 'rad', 'radians': 'rad', 'deg/s': 'rad/s',
    'degrees/s': 'rad/s', 'rpm': 'rad/s', 'mm': 'm', 'cm': 'm', 'mm/s': 'm/s', 'cm/s': 'm/s',
}  # fmt: skip
MAX_RATE_HZ = 1000.0
MAX_AGE_PERIODS = TIMEOUT_PERIODS + 1
"""The gate refuses commands that answer an image older than so many control periods."""
TOLERANCE = 1e-9


def problems_of(embodiment: Embodiment) -> list[str]:
    """Everything that is wrong with it, one sentence each; empty if nothing is."""
    return [
        *_of_numbers(embodiment),
        *_of_names(embodiment),
        *(problem for group in embodiment.commands for problem in _of_group(group)),
        *(
            f'{channel.name}: {problem}'
            for channel in embodiment.channels
            for problem in _of_channel(channel, embodiment.control_dt_s)
        ),
    ]


def _of_numbers(embodiment: Embodiment) -> Iterator[str]:
    if not embodiment.name or not embodiment.name.replace('_', '').isalnum():
        yield f'name must be letters, digits and underscores, is {embodiment.name!r}'
    for name in ('action_repeat', 'episode_steps'):
        if getattr(embodiment, name) < 1:
            yield f'{name} must be at least 1, is {getattr(embodiment, name)}'
    states = embodiment.joint_states
    if states.max_age_s <= 0 or not math.isfinite(states.max_age_s):
        yield f'joint_states.max_age_s must be positive, is {states.max_age_s}'
    if not 0 <= states.rate_hz < math.inf:
        yield f'joint_states.rate_hz must not be negative, is {states.rate_hz}'
    for what, age_s in (
        ('camera', embodiment.camera.max_age_s),
        ('joint_states', states.max_age_s),
    ):
        if age_s < embodiment.control_dt_s:
            yield (
                f'{what}.max_age_s is {age_s:g}, less than the {embodiment.control_dt_s:g} s of a '
                'control period: everything would be too old'
            )
    age_s, oldest_s = embodiment.camera.max_age_s, MAX_AGE_PERIODS * embodiment.control_dt_s
    if not age_s <= oldest_s + TOLERANCE:
        yield (
            f'camera.max_age_s is {age_s:g}; at {embodiment.control_rate_hz:g} commands a second '
            f'it must be at most {oldest_s:g} ({MAX_AGE_PERIODS} control periods): command_gate '
            'refuses what answers older images'
        )
    if not embodiment.commands:
        yield 'commands is empty: there is no topic that takes commands'


def _of_names(embodiment: Embodiment) -> Iterator[str]:
    topics = [
        embodiment.camera.topic,
        embodiment.joint_states.topic,
        *(group.topic for group in embodiment.commands),
    ]
    yield from _twice('topic', topics)
    yield from _twice('channel', embodiment.action_names)
    yield from _twice('joint', [channel.joint for channel in embodiment.channels if channel.joint])


def _twice(what: str, names: Sequence[str]) -> Iterator[str]:
    for name, count in Counter(names).items():
        if count > 1:
            yield f'{what} {name!r} is there {count} times'


def _of_group(group: CommandGroup) -> Iterator[str]:
    if not group.topic:
        yield 'a command topic is empty'
    if not group.channels:
        yield f'{group.topic} has no channels'
    if (group.interface == 'twist') != bool(group.frame_id):
        need = (
            'needs the frame_id of its twist' if group.interface == 'twist' else 'has no frame_id'
        )
        yield f'{group.topic}: {group.interface} {need}'
    if (group.interface == 'joint_trajectory') != (group.horizon_s > 0):
        need = 'needs a positive' if group.interface == 'joint_trajectory' else 'has no'
        yield f'{group.topic}: {group.interface} {need} horizon_s'
    for channel in group.channels:
        if group.interface == 'twist' and (channel.joint or channel.axis not in AXES):
            yield f'{channel.name}: a twist has an axis for a channel: {", ".join(AXES)}'
        elif group.interface != 'twist' and (channel.axis or not channel.joint):
            yield f'{channel.name}: {group.interface} has a joint for a channel, not an axis'


def _of_channel(channel: Channel, dt_s: float) -> Iterator[str]:
    yield from _of_unit(channel)
    if channel.reaction not in REACTIONS[channel.quantity]:
        if channel.reaction == 'zero':
            yield 'reaction `zero` would send the joint to position 0; write `hold`'
        elif channel.reaction == 'hold':
            yield 'reaction `hold` would let the joint run on; write `zero` for a velocity'
        else:
            yield f'reaction is {channel.reaction!r}; there are: hold, zero, none'
    if not (channel.scale > 0 and math.isfinite(channel.scale)):
        yield f'scale must be positive and finite, is {channel.scale}'
    if not math.isfinite(channel.centre):
        yield f'centre must be finite, is {channel.centre}'
    if channel.mode not in ('absolute', 'relative'):
        yield f'mode is {channel.mode!r}; there are: absolute, relative'
    limits = list(_of_limits(channel.limits, dt_s))
    yield from limits
    if not limits:
        yield from _of_range(channel, dt_s)


def _of_unit(channel: Channel) -> Iterator[str]:
    units = (AXES[channel.axis],) if channel.axis in AXES else UNITS[channel.quantity]
    if channel.unit in units:
        return
    hint = f'; values are SI: convert {channel.unit} to {FOREIGN_UNITS[channel.unit]}' if (
        channel.unit in FOREIGN_UNITS
    ) else ''  # fmt: skip
    yield f'unit is {channel.unit!r}; a {channel.quantity} is in {" or ".join(units)}{hint}'


def _of_limits(limits: Limits, dt_s: float) -> Iterator[str]:
    for name in ('velocity', 'acceleration', 'jerk'):
        value = getattr(limits, name)
        if value is not None and not (value > 0 and math.isfinite(value)):
            yield f'limit of {name} must be positive and finite, is {value}'
            return
    if limits.position is not None:
        low, high = limits.position
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            yield f'limits of position contradict each other: {low} is not below {high}'
            return
        if limits.velocity and limits.acceleration:
            way = limits.velocity**2 / (2 * limits.acceleration)
            if way > high - low:
                yield (
                    f'limits contradict each other: to stop from velocity {limits.velocity:g} '
                    f'with acceleration {limits.acceleration:g} takes {way:g}, more than the '
                    f'whole range of {high - low:g}'
                )
    if limits.jerk is not None and limits.acceleration is None:
        yield 'a limit of jerk needs one of acceleration, too'
    if limits.acceleration is not None and limits.velocity is None:
        yield 'a limit of acceleration needs one of velocity, too'


def _of_range(channel: Channel, dt_s: float) -> Iterator[str]:
    """Whether the actions of a channel stay within its limits."""
    limits, scale = channel.limits, channel.scale
    if limits.velocity is None:
        yield 'limits.velocity is missing: every channel needs one'
        return
    if channel.quantity == 'velocity':
        if channel.mode == 'relative':
            yield 'mode `relative` is for positions only'
        if channel.centre != 0:
            yield 'centre is for positions only'
        if scale > limits.velocity + TOLERANCE:
            yield (
                f'scale and limits contradict each other: an action of 1.0 is {scale:g} '
                f'{channel.unit}, above the limit of velocity {limits.velocity:g}'
            )
        return
    if limits.position is None:
        yield 'limits.position is missing: a position channel needs them'
        return
    low, high = limits.position
    if channel.mode == 'relative':
        if scale > limits.velocity * dt_s + TOLERANCE:
            yield (
                f'scale and limits contradict each other: an action of 1.0 moves {scale:g} '
                f'{channel.unit} in a control period, {scale / dt_s:g} a second, above the limit '
                f'of velocity {limits.velocity:g}'
            )
    elif channel.centre - scale < low - TOLERANCE or channel.centre + scale > high + TOLERANCE:
        yield (
            f'scale and limits contradict each other: actions reach {channel.centre - scale:g} to '
            f'{channel.centre + scale:g} {channel.unit}, outside of {low:g} to {high:g}'
        )


def beyond(ours: Limits, theirs: JointLimits) -> list[str]:
    """Where our limits of a joint allow more than those of a URDF."""
    problems = []
    if ours.position and theirs.position:
        low, high = theirs.position
        if ours.position[0] < low - 1e-9 or ours.position[1] > high + 1e-9:
            problems.append(
                f'limits of position {ours.position} contradict the URDF: {theirs.position}'
            )
    highest = math.inf if theirs.velocity is None else theirs.velocity
    if ours.velocity is not None and ours.velocity > highest + 1e-9:
        problems.append(
            f'limit of velocity {ours.velocity:g} is above the {highest:g} of the URDF'
        )
    return problems


def interface_problem(interface: str) -> str:
    """What is wrong with the name of an interface; empty if nothing is."""
    if interface in QUANTITIES:
        return ''
    return f'interface is {interface!r}; there are: {", ".join(QUANTITIES)}'
