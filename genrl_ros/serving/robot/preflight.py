"""Compares what was seen of a running graph with what an embodiment promises. Knows no ROS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from genrl_ros.serving.robot.camera import ImageError
from genrl_ros.serving.robot.embodiment import (
    CommandGroup,
    Embodiment,
    EmbodimentError,
    absolute,
)
from genrl_ros.serving.robot.embodiment_checks import beyond
from genrl_ros.serving.robot.joint_names import missing_joints, unknown_names
from genrl_ros.serving.robot.urdf import JointLimits

RATE_TOLERANCE = 0.2
"""Share by which a rate may differ from what is promised."""
DRIVERS = ('command_gate', 'policy_node')
"""The nodes that may publish commands."""
LISTENERS = ('recorder_node', 'rosbag2_recorder')
"""The nodes that take commands without acting on them."""


@dataclass(frozen=True)
class Endpoint:
    """A publisher or subscription of a topic.

    Attributes:
        node: name of its node.
        type: of its messages.
        incompatible: why its quality of service and ours do not match; empty if they do.
        joints: the parameter `joints` of its node, where it has one.
    """

    node: str
    type: str
    incompatible: str = ''
    joints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Seen:
    """What was seen of a graph for a while.

    Attributes:
        seconds: how long messages were counted, in the time of their stamps.
        publishers: by absolute topic.
        subscriptions: by absolute topic.
        counts: messages by absolute topic.
        ages_s: age of each topic's last message by its stamp, when it came.
        image: the last image message.
        joint_states: the last message with joint states.
        has_clock: whether somebody publishes `/clock`.
        urdf: limits of the joints from `robot_description`; empty if nobody publishes it.
    """

    seconds: float
    publishers: Mapping[str, Sequence[Endpoint]]
    subscriptions: Mapping[str, Sequence[Endpoint]]
    counts: Mapping[str, int]
    ages_s: Mapping[str, float]
    image: Any = None
    joint_states: Any = None
    has_clock: bool = False
    urdf: Mapping[str, JointLimits] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """One thing that was checked: what, whether it is as promised, and if not, how to mend it."""

    what: str
    mend: str = ''

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.mend


def check(robot: Embodiment, seen: Seen, namespace: str = '') -> list[Finding]:
    """All findings, good and bad."""
    return [
        *_check_clock(robot, seen),
        *_check_camera(robot, seen, absolute(robot.camera.topic, namespace)),
        *_check_joints(robot, seen, absolute(robot.joint_states.topic, namespace)),
        *(
            finding
            for group in robot.commands
            for finding in _check_commands(group, seen, absolute(group.topic, namespace))
        ),
        *_check_urdf(robot, seen),
    ]


def _check_clock(robot: Embodiment, seen: Seen) -> Iterator[Finding]:
    if robot.use_sim_time == seen.has_clock:
        yield Finding('time comes from /clock' if seen.has_clock else "time is the system's")
    elif seen.has_clock:
        yield Finding(
            'somebody publishes /clock, but use_sim_time is false',
            'end the simulator, or set use_sim_time: true if this is one',
        )
    else:
        yield Finding(
            'nobody publishes /clock, but use_sim_time is true',
            'start the simulator, or set use_sim_time: false if this is a real robot',
        )


def _check_input(
    seen: Seen, topic: str, kind: str, rate_hz: float, max_age_s: float
) -> Iterator[Finding]:
    """Publisher, type, quality of service, rate and age of a topic that the policy needs."""
    publishers = seen.publishers.get(topic, ())
    if not publishers:
        yield Finding(
            f'{topic}: nobody publishes it',
            'start the driver; if it publishes elsewhere, remap it or change `topic` '
            '(and check --namespace and ROS_DOMAIN_ID)',
        )
        return
    for publisher in publishers:
        if publisher.type != kind:
            yield Finding(
                f'{topic}: {publisher.node} publishes {publisher.type}, {kind} is expected',
                'change `encoding` or `topic` of the embodiment file',
            )
        if publisher.incompatible:
            yield Finding(
                f'{topic}: nothing would come from {publisher.node}: {publisher.incompatible}',
                'change the quality of service of the driver',
            )
    if len(publishers) > 1:
        names = ', '.join(publisher.node for publisher in publishers)
        yield Finding(f'{topic}: {len(publishers)} publish it: {names}', 'end all but one')
    count = seen.counts.get(topic, 0)
    if not count:
        yield Finding(
            f'{topic}: no message in {seen.seconds:.1f} s from {publishers[0].node}',
            'look at its log; for large images see config/fastdds.xml',
        )
        return
    rate = count / seen.seconds
    if rate < rate_hz * (1 - RATE_TOLERANCE):
        yield Finding(
            f'{topic}: {rate:.1f} messages a second, {rate_hz:g} are expected',
            'make the driver faster, or change `rate_hz` (the command rate if it is not given)',
        )
    age_s = seen.ages_s.get(topic, 0.0)
    if not -max_age_s <= age_s <= max_age_s:
        yield Finding(
            f'{topic}: stamps are {age_s:.3f} s old, at most {max_age_s:g} is allowed',
            'synchronise the clocks of both machines (chrony), or stamp at the capture',
        )
    yield Finding(f'{topic}: {kind} from {publishers[0].node}, {rate:.1f} a second')


def _check_camera(robot: Embodiment, seen: Seen, topic: str) -> Iterator[Finding]:
    camera, image = robot.camera, seen.image
    yield from _check_input(
        seen, topic, camera.message_type, robot.camera_rate_hz, camera.max_age_s
    )
    if image is None:
        return
    try:
        camera.pixels(image)
    except ImageError as error:
        yield Finding(f'{topic}: {error}', 'change the camera in the driver or in the file')
    else:
        yield Finding(f'{topic}: {camera.width}x{camera.height} {camera.encoding}')
    frame = image.header.frame_id
    if camera.frame_id and frame != camera.frame_id:
        yield Finding(
            f'{topic}: frame is {frame!r}, {camera.frame_id!r} is expected',
            'change frame_id of the driver or of the embodiment file',
        )


def _check_joints(robot: Embodiment, seen: Seen, topic: str) -> Iterator[Finding]:
    states, message = robot.joint_states, seen.joint_states
    kind = robot.topics[states.topic]
    yield from _check_input(seen, topic, kind, robot.joint_states_rate_hz, states.max_age_s)
    if message is None:
        return
    try:
        measured = robot.measured(list(message.name), message.position, message.velocity)
    except EmbodimentError as error:
        for problem in error.problems or (str(error),):
            yield Finding(f'{topic}: {problem}', 'change the names in the embodiment file')
        return
    yield Finding(f'{topic}: all {len(robot.joints)} joints are there')
    for channel, position in zip(robot.channels, measured.position, strict=True):
        limits = channel.limits.position
        if limits and np.isfinite(position) and not limits[0] <= position <= limits[1]:
            yield Finding(
                f'{channel.joint} is at {position:.3f}, outside of its limits {list(limits)}',
                'move it inside by hand, or check unit and limits of the embodiment file',
            )


def _check_commands(group: CommandGroup, seen: Seen, topic: str) -> Iterator[Finding]:
    takers = [t for t in seen.subscriptions.get(topic, ()) if t.node not in LISTENERS]
    if not takers:
        yield Finding(
            f'{topic}: nobody takes commands',
            'start and activate the controller (`ros2 control list_controllers`)',
        )
    for taker in takers:
        if taker.type != group.message_type:
            yield Finding(
                f'{topic}: {taker.node} takes {taker.type}, {group.message_type} is expected',
                'change `interface` or `topic` of the embodiment file',
            )
        if taker.incompatible:
            yield Finding(
                f'{topic}: {taker.node} would get no commands: {taker.incompatible}',
                'make its subscription reliable or best effort, volatile, without a deadline',
            )
        yield from _check_order(group, taker, topic)
    for giver in seen.publishers.get(topic, ()):
        if giver.node not in DRIVERS:
            yield Finding(
                f'{topic}: {giver.node} publishes commands, too',
                'end it: two that command one robot fight',
            )
    if takers:
        names = ', '.join(taker.node for taker in takers)
        yield Finding(f'{topic}: {group.message_type} to {names}')


def _check_order(group: CommandGroup, taker: Endpoint, topic: str) -> Iterator[Finding]:
    """Whether the values of a message mean the same joints to the controller."""
    theirs = taker.joints
    if not theirs or theirs == group.joints:
        return
    problems = missing_joints(group.joints, theirs)
    problems += [f'joint {name!r} has no channel' for name in unknown_names(group.joints, theirs)]
    if not problems and group.interface != 'joint_trajectory':
        problems = [f'it has its joints in the order {", ".join(theirs)}']
    for problem in problems:
        yield Finding(
            f'{topic}: the parameter `joints` of {taker.node} does not fit: {problem}',
            'give the channels of the embodiment file the names and the order of the controller',
        )


def _check_urdf(robot: Embodiment, seen: Seen) -> Iterator[Finding]:
    problems = [
        f'{channel.joint}: {problem}'
        for channel in robot.channels
        if channel.joint in seen.urdf
        for problem in beyond(channel.limits, seen.urdf[channel.joint])
    ]
    for problem in problems:
        yield Finding(problem, 'make the limits of the embodiment file narrower')
    if seen.urdf and not problems:
        yield Finding('limits are within those of robot_description')
