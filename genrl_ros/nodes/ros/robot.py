"""The robot at hand, as its embodiment file describes it: its messages to vectors and back."""

from __future__ import annotations

from array import array

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import JointState
from std_msgs.msg import Header

from genrl_ros.nodes.ros import conversions
from genrl_ros.nodes.ros.params import ParameterError
from genrl_ros.serving.robot.embodiment import Embodiment, EmbodimentError, Measured, Vector
from genrl_ros.serving.robot.embodiment_file import find_embodiment, load_embodiment


def load_robot(name: str) -> Embodiment:
    """The embodiment that the parameter `embodiment` names.

    Raises:
        ParameterError: if there is none, or if something is wrong with it.
    """
    try:
        return load_embodiment(find_embodiment(name))
    except (FileNotFoundError, EmbodimentError) as error:
        raise ParameterError(f'parameter embodiment is {name!r}: {error}') from None


def from_joint_states(message: JointState, robot: Embodiment) -> Measured:
    """Where the channels of a robot are.

    Raises:
        MessageError: if joints are missing, or values are not finite.
    """
    try:
        return robot.measured(message.name, message.position, message.velocity)
    except EmbodimentError as error:
        raise conversions.MessageError(str(error)) from None


def to_policy_command(command: Vector, robot: Embodiment, stamp: Time) -> JointState:
    """What the policy asks of the gate: positions or velocities by name, nan where not asked."""
    places = [channel.quantity == 'position' for channel in robot.channels]
    return JointState(
        header=Header(stamp=stamp),
        name=list(robot.action_names),
        position=array('d', np.where(places, command, np.nan)),
        velocity=array('d', np.where(places, np.nan, command)),
    )


def from_policy_command(message: JointState, robot: Embodiment) -> Vector:
    """The command `(A,)` in the order of the robot's channels.

    Raises:
        MessageError: if it has other channels, or values that are not finite.
    """
    names = list(message.name)
    if not sorted(names) == sorted(robot.action_names):
        raise conversions.MessageError('other channels')
    if not len(message.position) == len(message.velocity) == len(names):
        raise conversions.MessageError('not a value for each channel')
    places = [names.index(channel.name) for channel in robot.channels]
    command = np.array(
        [
            (message.position if channel.quantity == 'position' else message.velocity)[place]
            for channel, place in zip(robot.channels, places, strict=True)
        ]
    )
    if not np.isfinite(command).all():
        raise conversions.MessageError('not finite')
    return command
