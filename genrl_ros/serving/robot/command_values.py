"""What a command message says, as values in the order of a group's channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from genrl_ros.serving.robot.embodiment import (
    AXES,
    CommandGroup,
    EmbodimentError,
    Vector,
)
from genrl_ros.serving.robot.joint_names import missing_joints, unknown_names


def values_of(group: CommandGroup, message: Any) -> Vector:
    """The values `(n,)` of a command message, in the order of the group's channels.

    Takes the fields of the message as rclpy and as rosbags have them, so that a live and a
    recorded command are read alike. Joints of a trajectory are found by name.

    Raises:
        EmbodimentError: if the message does not fit the group, or is not finite.
    """
    if group.interface == 'joint_trajectory':
        values = _of_trajectory(group, message)
    elif group.interface == 'twist':
        values = _of_twist(group, message)
    else:
        values = np.asarray(message.data, np.float64)
    if values.shape != (len(group.channels),):
        raise EmbodimentError(
            f'command on {group.topic} has {values.size} values; its {len(group.channels)} '
            'channels need one each'
        )
    if not np.isfinite(values).all():
        raise EmbodimentError(f'command on {group.topic} has values that are not finite')
    return values


def _of_trajectory(group: CommandGroup, message: Any) -> Vector:
    names = list(message.joint_names)
    problems = missing_joints(group.joints, names)
    problems += [f'joint {name!r} is unknown' for name in unknown_names(group.joints, names)]
    if not problems and len(message.points) != 1:
        problems = [f'it has {len(message.points)} points; one is expected']
    if not problems and len(message.points[0].positions) != len(names):
        problems = [f'{len(message.points[0].positions)} positions for {len(names)} joints']
    if problems:
        raise EmbodimentError(f'trajectory on {group.topic} does not fit the robot:', problems)
    positions = np.asarray(message.points[0].positions, np.float64)
    return positions[[names.index(joint) for joint in group.joints]]


def _of_twist(group: CommandGroup, message: Any) -> Vector:
    if group.frame_id and message.header.frame_id != group.frame_id:
        raise EmbodimentError(
            f'twist on {group.topic} is in frame {message.header.frame_id[:40]!r}; '
            f'{group.frame_id!r} is expected'
        )
    axes = {axis: float(_axis(message.twist, axis)) for axis in AXES}
    mine = [channel.axis for channel in group.channels]
    foreign = [axis for axis, value in axes.items() if axis not in mine and value != 0.0]
    if foreign:
        raise EmbodimentError(
            f'twist on {group.topic} moves {", ".join(foreign)}, for which there is no channel'
        )
    return np.array([axes[axis] for axis in mine])


def _axis(twist: Any, axis: str) -> float:
    part, name = axis.split('.')
    return getattr(getattr(twist, part), name)
