from __future__ import annotations

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message, serialize_message

from genrl_ros.nodes.ros import qos
from genrl_ros.nodes.ros.commands import MESSAGES, CommandPublishers, from_message, to_message
from genrl_ros.nodes.ros.conversions import MessageError
from genrl_ros.serving.robot.embodiment import MESSAGE_TYPES
from genrl_ros.serving.robot.embodiment_file import find_embodiment, load_embodiment

ROBOTS = ('kitchen', 'fr3_velocity', 'ur5e_trajectory', 'ur5e_servo')
STAMP = Time(sec=3, nanosec=4)


def test_the_classes_are_the_types_that_the_embodiment_names() -> None:
    for interface, kind in MESSAGES.items():
        package, folder, name = MESSAGE_TYPES[interface].split('/')
        assert kind.__module__.startswith(f'{package}.{folder}.') and kind.__name__ == name


@pytest.mark.parametrize('name', ROBOTS)
def test_a_command_goes_over_the_wire_unchanged(name) -> None:
    robot = load_embodiment(find_embodiment(name))
    command = np.random.default_rng(0).uniform(-1, 1, len(robot.channels))
    received = []
    for part in robot.split(command):
        kind = MESSAGES[part.group.interface]
        message = deserialize_message(serialize_message(to_message(part, STAMP)), kind)
        received.append(from_message(part.group, message))
    np.testing.assert_array_equal(np.concatenate(received), command)


def test_what_servo_and_trajectory_controllers_ask_for() -> None:
    servo = load_embodiment(find_embodiment('ur5e_servo'))
    twist = to_message(servo.split(np.arange(5.0))[0], STAMP)
    assert (twist.header.stamp, twist.header.frame_id) == (STAMP, 'base_link')
    assert (twist.twist.linear.y, twist.twist.angular.z, twist.twist.angular.x) == (1.0, 3.0, 0.0)
    arm = load_embodiment(find_embodiment('ur5e_trajectory'))
    trajectory = to_message(arm.split(np.arange(6.0))[0], STAMP)
    assert trajectory.header.stamp == Time()
    assert trajectory.points[0].time_from_start.nanosec == 200_000_000
    assert trajectory.joint_names[0] == 'shoulder_pan_joint'


def test_a_message_of_another_robot_is_refused() -> None:
    arm = load_embodiment(find_embodiment('ur5e_trajectory'))
    (part,) = arm.split(np.zeros(6))
    message = to_message(part, STAMP)
    message.joint_names[2] = 'elbow'
    with pytest.raises(MessageError, match="'elbow_joint' is missing; is it 'elbow' now"):
        from_message(part.group, message)


def test_each_part_goes_to_its_topic(bench) -> None:
    robot = load_embodiment(find_embodiment('ur5e_servo'))
    received = [
        bench.record(MESSAGES[group.interface], f'policy/{group.topic}', qos.COMMAND)
        for group in robot.commands
    ]
    publishers = CommandPublishers(bench.observer, robot, prefix='policy/')
    command = np.arange(5.0)

    def arrived() -> bool:
        publishers.publish(command, STAMP)
        return all(received)

    bench.until(arrived, 'a message on each topic')
    values = [from_message(g, m[0]) for g, m in zip(robot.commands, received, strict=True)]
    np.testing.assert_array_equal(np.concatenate(values), command)
