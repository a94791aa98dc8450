from __future__ import annotations

import math

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import JointState

from genrl_ros.nodes.ros.commands import from_message, to_message
from genrl_ros.nodes.ros.conversions import MessageError
from genrl_ros.nodes.ros.params import ParameterError
from genrl_ros.nodes.ros.robot import (
    from_joint_states,
    from_policy_command,
    load_robot,
    to_policy_command,
)

SERVO = load_robot('ur5e_servo')  # four axes of a twist, and a gripper that takes positions
COMMAND = np.array([0.1, -0.2, 0.05, 0.4, 0.79])


def test_velocities_and_positions_go_to_the_gate_by_name() -> None:
    message = to_policy_command(COMMAND, SERVO, Time(sec=7))
    assert message.header.stamp.sec == 7
    assert list(message.velocity[:4]) == COMMAND[:4].tolist() and math.isnan(message.velocity[4])
    assert message.position[4] == 0.79 and math.isnan(message.position[0])
    order = [4, 2, 0, 1, 3]
    shuffled = JointState(
        name=[message.name[i] for i in order],
        position=[message.position[i] for i in order],
        velocity=[message.velocity[i] for i in order],
    )
    np.testing.assert_array_equal(from_policy_command(shuffled, SERVO), COMMAND)


@pytest.mark.parametrize('field', ['position', 'velocity'])
def test_a_command_of_the_other_quantity_does_not_pass(field) -> None:
    message = to_policy_command(COMMAND, SERVO, Time())
    setattr(message, field, [math.nan] * 5)
    with pytest.raises(MessageError, match='not finite'):
        from_policy_command(message, SERVO)


def test_joint_states_that_lack_a_joint_are_refused_by_name() -> None:
    states = JointState(name=['shoulder_pan_joint'], position=[0.0], velocity=[0.0])
    with pytest.raises(MessageError, match="'robotiq_85_left_knuckle_joint' is missing"):
        from_joint_states(states, SERVO)


def test_an_unknown_robot_is_named() -> None:
    with pytest.raises(ParameterError, match='parameter embodiment is'):
        load_robot('robby')


def test_efforts_go_to_the_gate_and_on_to_the_controllers(tmp_path) -> None:
    file = tmp_path / 'legs.yaml'
    file.write_text("""
name: legs
command_rate_hz: 10
camera: {topic: image, encoding: rgb8, width: 64, height: 64}
commands:
  - topic: effort_controller/commands
    interface: effort_group
    channels:
      - {joint: hip, unit: N m, scale: 90, reaction: zero, limits: {effort: 90}}
      - {name: tendon, unit: N, scale: 40, reaction: zero, limits: {effort: 40}}
""")
    legs = load_robot(str(file))
    message = to_policy_command(np.array([-30.0, 12.0]), legs, Time())
    assert list(message.effort) == [-30.0, 12.0]
    assert np.isnan([*message.position, *message.velocity]).all()
    command = from_policy_command(message, legs)
    (part,) = legs.split(command)
    sent = to_message(part, Time())
    assert list(sent.data) == [-30.0, 12.0]
    assert from_message(legs.commands[0], sent).tolist() == [-30.0, 12.0]
    message.effort = []
    with pytest.raises(MessageError, match='not a value for each channel'):
        from_policy_command(message, legs)
