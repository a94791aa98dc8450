"""A robot that is never safe without commands: its simulator stands still while there are none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray, Header
from std_srvs.srv import Trigger

from genrl_ros.nodes.command_gate import CommandGate
from genrl_ros.nodes.ros import qos
from genrl_ros.nodes.ros.conversions import from_stamp
from genrl_ros.nodes.sim_node import SimNode
from genrl_ros.serving.safety.gate import FORWARDING, REACTING, STOPPED

WALKER = """
name: tiny
command_rate_hz: 12.5
action_repeat: 2
use_sim_time: true
camera: {topic: camera/image_raw, encoding: rgb8, width: 64, height: 64}
commands:
  - topic: joint_effort_controller/commands
    interface: effort_group
    channels:
      - {joint: a, unit: N m, scale: 2.0, reaction: stop_time, limits: {effort: 2.0}}
      - {joint: b, unit: N m, scale: 2.0, reaction: stop_time, limits: {effort: 2.0}}
      - {joint: c, unit: N m, scale: 2.0, reaction: stop_time, limits: {effort: 2.0}}
"""
SPEED = 2.0


class Walker:
    """The simulator and the gate, and a policy that answers each image with the same efforts."""

    def __init__(self, bench, scene, file: str) -> None:
        self.bench, self.efforts, self.answers = bench, [1.0, 2.0, 0.5], True
        bench.start(SimNode, lambda domain: scene, embodiment=file, real_time_factor=SPEED)
        self.gate = bench.start(
            CommandGate, embodiment=file, real_time_factor=SPEED, use_sim_time=True
        )
        self.images = bench.record(Image, 'camera/image_raw', qos.SENSOR)
        self.sent = bench.record(
            Float64MultiArray, 'joint_effort_controller/commands', qos.COMMAND
        )
        self.states = bench.record(DiagnosticStatus, 'command_gate/state', qos.LATCHED)
        self._answered = 0
        self._commands = bench.observer.create_publisher(JointState, 'policy/command', qos.COMMAND)
        bench.connected(self._commands)
        bench.until(lambda: self.state() == STOPPED, 'its state')

    def state(self) -> str:
        return self.states[-1].message if self.states else ''

    def until(self, happened, what: str) -> None:
        """Answer images until something happens."""
        self.bench.until(lambda: self.answer() or happened(), what)

    def answer(self) -> None:
        if self.answers and len(self.images) > self._answered:
            self._answered = len(self.images)
            nothing = [math.nan] * 3
            self._commands.publish(
                JointState(
                    header=Header(stamp=self.images[-1].header.stamp),
                    name=['a', 'b', 'c'],
                    position=nothing,
                    velocity=nothing,
                    effort=self.efforts,
                )
            )

    def call(self, name: str) -> bool:
        return self.bench.call(Trigger, f'command_gate/{name}', Trigger.Request()).success

    def sees(self, count: int) -> None:
        """Wait for more images, whose stamps go on."""
        first = len(self.images)
        self.until(lambda: len(self.images) >= first + count, f'{count} images')
        stamps = [from_stamp(image.header.stamp) for image in self.images[first:]]
        assert stamps == sorted(set(stamps))


@pytest.fixture
def walker(bench, tiny_env, tmp_path) -> Walker:
    file = tmp_path / 'walker.yaml'
    file.write_text(WALKER)
    return Walker(bench, tiny_env.scene, str(file))


def test_time_stands_still_until_there_is_a_policy_and_while_it_is_silent(
    walker, tiny_env
) -> None:
    assert walker.call('release')
    walker.answers = False
    walker.sees(5)
    assert tiny_env.commands == []
    walker.answers = True
    walker.until(lambda: [1.0, 2.0, 0.5] in tiny_env.commands, 'the efforts')
    walker.answers = False
    walker.bench.until(lambda: walker.state() == REACTING, 'its reaction')
    walker.sees(3)
    before, position = len(tiny_env.commands), tiny_env.position
    walker.sees(5)
    assert len(tiny_env.commands) == before
    np.testing.assert_array_equal(tiny_env.position, position)
    walker.answers = True
    walker.until(lambda: len(tiny_env.commands) > before + 3, 'time to go on')
    assert all(command == [1.0, 2.0, 0.5] for command in tiny_env.commands)
    assert all(list(message.data) == [1.0, 2.0, 0.5] for message in walker.sent)


def test_a_stop_stops_time_until_it_is_released(walker, tiny_env) -> None:
    walker.call('release')
    walker.until(lambda: len(tiny_env.commands) > 3, 'efforts')
    assert walker.call('emergency_stop')
    walker.sees(4)
    before = len(tiny_env.commands)
    walker.sees(5)
    assert len(tiny_env.commands) == before
    assert walker.call('release')
    walker.until(lambda: len(tiny_env.commands) > before + 3, 'time to go on')
    assert walker.state() == FORWARDING
    assert walker.gate.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    assert all(command == [1.0, 2.0, 0.5] for command in tiny_env.commands)


def test_no_effort_is_a_command_like_any_other(walker, tiny_env) -> None:
    walker.efforts = [0.0, 0.0, 0.0]
    walker.call('release')
    walker.until(lambda: len(tiny_env.commands) > 3, 'commands')
    assert tiny_env.commands[0] == [0.0, 0.0, 0.0]
