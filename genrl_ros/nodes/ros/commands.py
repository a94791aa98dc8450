"""Commands as the messages that controllers take, and back."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import TwistStamped
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray, Header
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from genrl_ros.nodes.ros import qos
from genrl_ros.nodes.ros.conversions import NANOSECONDS, MessageError
from genrl_ros.serving.robot.command_values import values_of
from genrl_ros.serving.robot.embodiment import (
    CommandGroup,
    Embodiment,
    EmbodimentError,
    GroupCommand,
)

CommandMessage: TypeAlias = Float64MultiArray | JointTrajectory | TwistStamped

MESSAGES: dict[str, type] = {
    'velocity_group': Float64MultiArray,
    'position_group': Float64MultiArray,
    'effort_group': Float64MultiArray,
    'joint_trajectory': JointTrajectory,
    'twist': TwistStamped,
}
"""Message class of each interface."""


def to_message(part: GroupCommand, stamp: Time) -> CommandMessage:
    """The message that carries a part of a command.

    Args:
        part: values in SI units, finite.
        stamp: for a twist: MoveIt Servo stops at old ones. A trajectory has no stamp, which
            means "at once".
    """
    group, values = part.group, part.values.tolist()
    if group.interface == 'joint_trajectory':
        point = JointTrajectoryPoint(positions=values, time_from_start=_duration(group.horizon_s))
        return JointTrajectory(joint_names=list(group.joints), points=[point])
    if group.interface == 'twist':
        message = TwistStamped(header=Header(stamp=stamp, frame_id=group.frame_id))
        for channel, value in zip(group.channels, values, strict=True):
            direction, axis = channel.axis.split('.')
            setattr(getattr(message.twist, direction), axis, value)
        return message
    return Float64MultiArray(data=values)


def from_message(group: CommandGroup, message: CommandMessage) -> npt.NDArray[np.float64]:
    """The values `(n,)` of a message, in the order of the group's channels.

    Raises:
        MessageError: if it does not fit the group, or is not finite.
    """
    try:
        return values_of(group, message)
    except EmbodimentError as error:
        raise MessageError(str(error)) from None


class CommandPublishers:
    """A publisher for each of a robot's command topics.

    Args:
        node: whose publishers they are.
        robot: the embodiment.
        prefix: goes before the topics; for a node that others forward from.
    """

    def __init__(self, node: Node, robot: Embodiment, prefix: str = '') -> None:
        self._robot = robot
        self._publishers = [
            node.create_publisher(MESSAGES[group.interface], prefix + group.topic, qos.COMMAND)
            for group in robot.commands
        ]

    def publish(self, command: npt.NDArray[np.float64], stamp: Time) -> None:
        """Send a command `(A,)` in SI units, each part to its topic; none for a part with nan."""
        for part, publisher in zip(self._robot.split(command), self._publishers, strict=True):
            if np.isfinite(part.values).all():
                publisher.publish(to_message(part, stamp))


def _duration(seconds: float) -> Duration:
    nanoseconds = round(seconds * NANOSECONDS)
    return Duration(sec=nanoseconds // NANOSECONDS, nanosec=nanoseconds % NANOSECONDS)
