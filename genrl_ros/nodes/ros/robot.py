"""The robot at hand, as its embodiment file describes it: its messages to vectors and back."""

from __future__ import annotations

from array import array

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import JointState
from std_msgs.msg import Header

from genrl_ros.deploy import robot
from genrl_ros.nodes.ros import conversions
from genrl_ros.nodes.ros.params import ParameterError
from genrl_ros.serving.robot.embodiment import Embodiment, EmbodimentError, Measured, Vector


def load_robot(name: str) -> Embodiment:
    """The embodiment that the parameter `embodiment` names.

    Raises:
        ParameterError: if there is none, or if something is wrong with it.
    """
    try:
        return robot.load_robot(name)
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
    """What the policy asks of the gate: one number a channel by name, nan in the other fields."""
    quantities = np.array([channel.quantity for channel in robot.channels])
    fields = {
        quantity: array('d', np.where(quantities == quantity, command, np.nan))
        for quantity in ('position', 'velocity', 'effort')
    }
    return JointState(header=Header(stamp=stamp), name=list(robot.action_names), **fields)


def from_policy_command(message: JointState, robot: Embodiment) -> Vector:
    """The command `(A,)` in the order of the robot's channels.

    Raises:
        MessageError: if it has other channels, or values that are not finite.
    """
    names = list(message.name)
    if not sorted(names) == sorted(robot.action_names):
        raise conversions.MessageError('other channels')
    fields = [getattr(message, channel.quantity) for channel in robot.channels]
    if any(len(values) != len(names) for values in fields):
        raise conversions.MessageError('not a value for each channel')
    places = [names.index(channel.name) for channel in robot.channels]
    command = np.array([values[place] for values, place in zip(fields, places, strict=True)])
    if not np.isfinite(command).all():
        raise conversions.MessageError('not finite')
    return command
