"""What can be wrong with an embodiment: all of it, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from genrl_ros.serving.robot.embodiment import (
    AXES,
    RATE_TOLERANCE,
    UNITS,
    Channel,
    CommandGroup,
    Embodiment,
    Home,
    Limits,
    Quantity,
)
from genrl_ros.serving.robot.urdf import JointLimits
from genrl_ros.serving.safety.gate import TIMEOUT_PERIODS

REACTIONS = {
    'velocity': ('zero', 'stop_time', 'none'),
    'position': ('hold', 'stop_time', 'none'),
    'effort': ('zero', 'stop_time'),
}
LIMITS: dict[Quantity, tuple[str, ...]] = {
    'velocity': ('position', 'velocity', 'acceleration', 'jerk'),
    'position': ('position', 'velocity', 'acceleration', 'jerk'),
    'effort': ('effort', 'effort_rate'),
}
"""Limits that a channel may have."""
FOREIGN_UNITS = {
    'deg': 'rad', 'degree': 'rad', 'degrees': 'rad', 'radians': 'rad', 'deg/s': 'rad/s',
    'degrees/s': 'rad/s', 'rpm': 'rad/s', 'mm': 'm', 'cm': 'm', 'mm/s': 'm/s', 'cm/s': 'm/s',
    'Nm': 'N m', 'N*m': 'N m', 'N.m': 'N m', 'Ncm': 'N m',
}  # fmt: skip
MAX_AGE_PERIODS = TIMEOUT_PERIODS + 1
"""The gate refuses commands that answer an image older than so many periods of answers."""
TOLERANCE = 1e-9


def every_problem_of(robot: Embodiment) -> list[str]:
    """Everything that is wrong with a robot that comes from no file, each in a sentence."""
    return [
        *(problem for channel in robot.channels for problem in problems_of_channel(channel)),
        *(problem for group in robot.commands for problem in problems_of_group(group)),
        *problems_of(robot),
    ]


def problems_of(robot: Embodiment) -> list[str]:
    """What is wrong with a robot whose channels and groups are right, each in a sentence."""
    return [
        *_of_rates(robot),
        *_of_ages(robot),
        *_of_names(robot),
        *_of_reactions(robot),
        *(() if robot.home is None else _of_home(robot, robot.home)),
        *(
            f'{channel.name}: {problem}'
            for channel in robot.channels
            for problem in _of_steps(channel, robot.control_dt_s)
        ),
    ]


def _of_rates(robot: Embodiment) -> Iterator[str]:
    if not robot.name or not robot.name.replace('_', '').isalnum():
        yield f'name must be letters, digits and underscores, is {robot.name[:40]!r}'
    if robot.camera_rate_hz < robot.policy_rate_hz * (1 - RATE_TOLERANCE):
        yield (
            f'camera.rate_hz is {robot.camera_rate_hz:g}, but the policy acts '
            f'{robot.policy_rate_hz:g} times a second (command_rate_hz / action_repeat) and '
            'needs an image for each action: raise action_repeat, or lower command_rate_hz'
        )


def _of_ages(robot: Embodiment) -> Iterator[str]:
    for what, age_s, period_s in (
        ('camera', robot.camera.max_age_s, robot.answer_dt_s),
        ('joint_states', robot.joint_states.max_age_s, 1 / robot.joint_states_rate_hz),
    ):
        if age_s < period_s - TOLERANCE:
            yield (
                f'{what}.max_age_s is {age_s:g}, less than the {period_s:g} s between two '
                'messages: everything would be too old'
            )
    age_s, oldest_s = robot.camera.max_age_s, MAX_AGE_PERIODS * robot.answer_dt_s
    if age_s > oldest_s + TOLERANCE:
        yield (
            f'camera.max_age_s is {age_s:g}; it must be at most {oldest_s:g}, the time of '
            f'{MAX_AGE_PERIODS} images that are answered: command_gate refuses what answers '
            'older ones'
        )


def _of_reactions(robot: Embodiment) -> Iterator[str]:
    if not robot.stops_time:
        return
    if not robot.use_sim_time:
        yield 'reaction `stop_time` is for simulators, with use_sim_time: true'
    for channel in robot.channels:
        if channel.reaction != 'stop_time':
            yield (
                f'{channel.name}: reaction is `{channel.reaction}`, but time stops for all '
                'channels or for none: write `stop_time` everywhere'
            )


def _of_home(robot: Embodiment, home: Home) -> Iterator[str]:
    if robot.stops_time:
        yield 'home is for robots that can rest, and reaction `stop_time` says that it cannot'
    if not home.positions:
        yield 'home.positions names no joint'
    channels = {channel.joint: channel for channel in robot.channels if channel.joint}
    for joint, position in home.positions.items():
        channel = channels.get(joint)
        if channel is None or channel.quantity == 'effort':
            known = [name for name, each in channels.items() if each.quantity != 'effort']
            yield (
                f'home.positions: {joint[:40]!r} is not commanded by velocity or position; '
                f'those are: {", ".join(known) or "none"}'
            )
            continue
        low, high = channel.limits.position or (position, position)
        if not low <= position <= high:
            yield (
                f'home.positions: {joint} is {position:g}, outside of its limits of {low:g} to '
                f'{high:g}'
            )
        highest = channel.limits.velocity
        if highest is not None and home.speed > highest + TOLERANCE:
            yield (
                f'home.speed is {home.speed:g}, above the limit of velocity {highest:g} of {joint}'
            )


def _of_names(robot: Embodiment) -> Iterator[str]:
    topics = [
        robot.camera.topic,
        robot.joint_states.topic,
        *(group.topic for group in robot.commands),
    ]
    yield from _twice('topic', topics)
    yield from _twice('channel', robot.action_names)
    yield from _twice('joint', [channel.joint for channel in robot.channels if channel.joint])


def _twice(what: str, names: Sequence[str]) -> Iterator[str]:
    for name, count in Counter(names).items():
        if count > 1:
            yield f'{what} {name!r} is there {count} times'


def problems_of_group(group: CommandGroup) -> list[str]:
    """What is wrong with a topic that takes commands, its channels aside."""
    return [f'{group.topic}: {problem}' for problem in _of_group(group)]


def _of_group(group: CommandGroup) -> Iterator[str]:
    kind = group.interface
    if not group.topic:
        yield 'topic is empty'
    if not group.channels:
        yield 'it has no channels'
    if (kind == 'twist') != bool(group.frame_id):
        need = 'needs the frame_id of its twist' if kind == 'twist' else 'has no frame_id'
        yield f'{kind} {need}'
    if (kind == 'joint_trajectory') != (group.horizon_s > 0):
        need = 'needs a positive' if kind == 'joint_trajectory' else 'has no'
        yield f'{kind} {need} horizon_s'
    for channel in group.channels:
        if kind == 'twist' and (channel.joint or channel.axis not in AXES):
            yield f'{channel.name}: a twist has an axis for a channel: {", ".join(AXES)}'
        elif kind != 'twist' and channel.axis:
            yield f'{channel.name}: {kind} has a joint for a channel, not an axis'
        elif group.quantity == 'position' and not channel.joint:
            yield f'{channel.name}: {kind} needs a joint, since it begins from where that is'


def problems_of_channel(channel: Channel) -> list[str]:
    """What is wrong with a channel by itself."""
    label = channel.name[:40] or 'a channel without a name'
    return [f'{label}: {problem}' for problem in _of_channel(channel)]


def _of_channel(channel: Channel) -> Iterator[str]:
    if not channel.name:
        yield 'give it a joint, an axis of a twist, or a name'
    if channel.joint and channel.axis:
        yield 'it has a joint and an axis; a channel of a twist has an axis, any other a joint'
    yield from _of_unit(channel)
    if channel.reaction not in REACTIONS[channel.quantity]:
        yield _of_reaction(channel)
    if channel.quantity != 'position':
        if channel.mode == 'relative':
            yield 'mode `relative` is for positions only'
        if channel.centre != 0:
            yield 'centre is for positions only'
    limits = list(_of_limits(channel))
    yield from limits
    if not limits:
        yield from _of_range(channel)


def _of_unit(channel: Channel) -> Iterator[str]:
    by_axis = channel.axis in AXES and not channel.joint
    units = (AXES[channel.axis],) if by_axis else UNITS[channel.quantity]
    if channel.unit in units:
        return
    hint = f'; values are SI: convert {channel.unit} to {FOREIGN_UNITS[channel.unit]}' if (
        channel.unit in FOREIGN_UNITS
    ) else ''  # fmt: skip
    article = 'an' if channel.quantity == 'effort' else 'a'
    yield (
        f'unit is {channel.unit[:40]!r}; {article} {channel.quantity} is in '
        f'{" or ".join(units)}{hint}'
    )


def _of_reaction(channel: Channel) -> str:
    if channel.quantity == 'position':
        return 'reaction `zero` would send the joint to position 0; write `hold`'
    if channel.quantity == 'effort':
        return f'reaction `{channel.reaction}` would let the effort act on; write `zero`'
    return 'reaction `hold` would let the joint run on; write `zero` for a velocity'


def _of_limits(channel: Channel) -> Iterator[str]:
    limits, kinds = channel.limits, LIMITS[channel.quantity]
    for name, value in vars(limits).items():
        if value is not None and name not in kinds:
            yield (
                f'limits.{name} is not for {channel.quantity} channels; they have: '
                f'{", ".join(kinds)}'
            )
    if limits.position is not None:
        yield from _of_positions(channel, *limits.position)
    if limits.jerk is not None and limits.acceleration is None:
        yield 'a limit of jerk needs one of acceleration, too'
    if limits.acceleration is not None and limits.velocity is None:
        yield 'a limit of acceleration needs one of velocity, too'


def _of_positions(channel: Channel, low: float, high: float) -> Iterator[str]:
    limits = channel.limits
    if not channel.joint:
        yield 'limits.position needs a joint, whose position is known'
    if low >= high:
        yield f'limits of position contradict each other: {low} is not below {high}'
    elif limits.velocity and limits.acceleration:
        way = limits.velocity**2 / (2 * limits.acceleration)
        if way > high - low:
            yield (
                f'limits contradict each other: to stop from velocity {limits.velocity:g} '
                f'with acceleration {limits.acceleration:g} takes {way:g}, more than the '
                f'whole range of {high - low:g}'
            )


def _of_range(channel: Channel) -> Iterator[str]:
    """Whether the actions of a channel stay within its limits."""
    limits, scale = channel.limits, channel.scale
    highest_of = 'effort' if channel.quantity == 'effort' else 'velocity'
    highest = limits.effort if channel.quantity == 'effort' else limits.velocity
    if highest is None:
        yield f'limits.{highest_of} is missing: every {channel.quantity} channel needs one'
    elif channel.quantity != 'position':
        if scale > highest + TOLERANCE:
            yield (
                f'scale and limits contradict each other: an action of 1.0 is {scale:g} '
                f'{channel.unit}, above the limit of {highest_of} {highest:g}'
            )
    elif limits.position is None:
        yield 'limits.position is missing: a position channel needs them'
    elif channel.mode == 'absolute':
        low, high = limits.position
        first, last = channel.centre - scale, channel.centre + scale
        if first < low - TOLERANCE or last > high + TOLERANCE:
            yield (
                f'scale and limits contradict each other: actions reach {first:g} to {last:g} '
                f'{channel.unit}, outside of {low:g} to {high:g}'
            )


def _of_steps(channel: Channel, dt_s: float) -> Iterator[str]:
    """Whether steps of position are as slow as the channel has to be."""
    highest = channel.limits.velocity
    if channel.mode == 'relative' and highest and channel.scale > highest * dt_s + TOLERANCE:
        yield (
            f'scale and limits contradict each other: an action of 1.0 moves {channel.scale:g} '
            f'{channel.unit} in a command period, {channel.scale / dt_s:g} a second, above the '
            f'limit of velocity {highest:g}'
        )


def beyond(ours: Limits, theirs: JointLimits) -> list[str]:
    """Where our limits of a joint allow more than those of a URDF."""
    problems = []
    if ours.position and theirs.position:
        low, high = theirs.position
        if ours.position[0] < low - TOLERANCE or ours.position[1] > high + TOLERANCE:
            problems.append(
                f'limits of position {ours.position} contradict the URDF: {theirs.position}'
            )
    for name in ('velocity', 'effort'):
        mine, highest = getattr(ours, name), getattr(theirs, name)
        if mine is not None and highest is not None and mine > highest + TOLERANCE:
            problems.append(f'limit of {name} {mine:g} is above the {highest:g} of the URDF')
    return problems
