from __future__ import annotations

import math
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, Header
from std_srvs.srv import Trigger

from genrl_ros.nodes.command_gate import CommandGate
from genrl_ros.nodes.ros import qos
from genrl_ros.serving.safety.gate import FORWARDING, PAUSED, REACTING, STOPPED, WAITING

NAMES = ['a', 'b', 'c']  # the robot's order is c, a, b


class Policy:
    """Sends commands as policy_node does, and listens to what comes out of the gate."""

    def __init__(self, bench) -> None:
        self.bench = bench
        self.commands = bench.record(
            Float64MultiArray, 'joint_velocity_controller/commands', qos.COMMAND
        )
        self.states = bench.record(DiagnosticStatus, 'command_gate/state', qos.LATCHED)
        self._publisher = bench.observer.create_publisher(
            JointState, 'policy/command', qos.COMMAND
        )
        bench.connected(self._publisher)

    def send(self, values=(1.0, 2.0, 0.5), names=NAMES) -> None:
        now = self.bench.observer.get_clock().now().to_msg()
        self._publisher.publish(
            JointState(
                header=Header(stamp=now),
                name=list(names),
                velocity=list(values),
                position=[math.nan] * len(values),
            )
        )

    def state(self) -> str:
        return self.states[-1].message if self.states else ''

    def reason(self) -> str:
        return self.states[-1].values[0].value if self.states else ''

    def last(self) -> list[float]:
        return list(self.commands[-1].data) if self.commands else []

    def drive_until(self, happened, what: str) -> None:
        self.bench.until(lambda: self.send() or happened(), what)

    def call(self, name: str) -> Trigger.Response:
        return self.bench.call(Trigger, f'command_gate/{name}', Trigger.Request())


@pytest.fixture
def policy(bench, tiny_robot) -> Policy:
    bench.start(CommandGate, embodiment=tiny_robot)
    policy = Policy(bench)
    bench.until(lambda: policy.state() == STOPPED, 'its state')
    return policy


def test_the_gate_needs_neither_torch_nor_onnx() -> None:
    script = (
        'import sys, genrl_ros.nodes.command_gate\n'
        'heavy = {"torch", "onnx", "onnxruntime", "transformers", "mujoco"}\n'
        'sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)\n'
    )
    subprocess.run([sys.executable, '-c', script], check=True)


def test_it_starts_stopped_forwards_once_released_and_reacts_when_commands_end(policy) -> None:
    for _ in range(5):
        policy.send()
        policy.bench.executor.spin_once(timeout_sec=0.05)
    assert all(list(command.data) == [0.0] * 3 for command in policy.commands)
    assert policy.call('release').success
    policy.bench.until(lambda: policy.state() == WAITING, 'waiting')
    policy.drive_until(
        lambda: policy.last() == [0.5, 1.0, 2.0], 'the command, as the robot has it'
    )
    policy.bench.until(lambda: policy.state() == REACTING, 'its reaction')
    policy.bench.until(lambda: policy.last() == [0.0] * 3, 'zero velocity')
    policy.drive_until(lambda: policy.state() == FORWARDING, 'forwarding again')


def test_a_gate_that_comes_back_tells_a_moving_robot_to_rest(policy) -> None:
    policy.bench.until(lambda: len(policy.commands) > 2, 'commands without a policy')
    assert policy.last() == [0.0] * 3


def test_a_stop_before_it_is_brought_up_is_not_ended_by_bringing_it_up(bench, tiny_robot) -> None:
    gate = bench.make(CommandGate, embodiment=tiny_robot)
    assert gate.trigger_configure() == TransitionCallbackReturn.SUCCESS
    policy = Policy(bench)
    assert policy.call('emergency_stop').success
    assert gate.trigger_activate() == TransitionCallbackReturn.SUCCESS
    assert not policy.call('open').success
    policy.bench.until(lambda: policy.state() == STOPPED, 'its state')
    assert policy.call('release').success


def test_a_stop_wins_and_needs_its_release(policy) -> None:
    policy.call('release')
    policy.drive_until(lambda: policy.commands, 'commands')
    assert policy.call('emergency_stop').success
    policy.drive_until(lambda: policy.last() == [0.0] * 3, 'zero velocity')
    for name in ('pause', 'resume'):
        assert not policy.call(name).success
    count = len(policy.commands)
    policy.drive_until(lambda: len(policy.commands) > count + 3, 'more of them')
    assert all(list(command.data) == [0.0] * 3 for command in policy.commands[count:])
    assert policy.call('release').success
    policy.drive_until(lambda: policy.last() == [0.5, 1.0, 2.0], 'commands again')


def test_a_pause_holds_until_it_is_resumed(policy) -> None:
    policy.call('release')
    policy.drive_until(lambda: policy.commands, 'commands')
    assert policy.call('pause').success
    policy.bench.until(lambda: policy.state() == PAUSED, 'the pause')
    policy.drive_until(lambda: policy.last() == [0.0] * 3, 'zero velocity')
    assert not policy.call('release').success
    assert policy.call('resume').success
    policy.drive_until(lambda: policy.last() == [0.5, 1.0, 2.0], 'commands again')


def test_where_the_camera_is_slow_one_command_is_repeated_at_the_command_rate(
    bench, tiny_robot
) -> None:
    file = Path(tiny_robot)
    text = file.read_text().replace('action_repeat: 2', 'action_repeat: 8')
    file.write_text(text.replace('height: 64,', 'height: 64, max_age_s: 0.7, rate_hz: 1.6,'))
    bench.start(CommandGate, embodiment=tiny_robot)
    policy = Policy(bench)
    bench.until(lambda: policy.state() == STOPPED, 'its state')
    assert policy.call('release').success
    policy.drive_until(lambda: policy.last() == [0.5, 1.0, 2.0], 'the command')
    count = len(policy.commands)
    bench.until(lambda: len(policy.commands) >= count + 7, 'seven repeats of the last one')
    assert all(list(command.data) == [0.5, 1.0, 2.0] for command in policy.commands[count:])
    assert policy.state() == FORWARDING
    bench.until(lambda: policy.state() == REACTING, 'its reaction')
    bench.until(lambda: policy.last() == [0.0] * 3, 'zero velocity')


@pytest.mark.parametrize(
    'changes',
    [
        {'values': (1.0, math.nan, 0.0)},
        {'values': (1.0, math.inf, 0.0)},
        {'names': ['a', 'b', 'x']},
        {'names': ['a', 'b'], 'values': (1.0, 2.0)},
        {'names': ['a', 'b', 'c'], 'values': (1.0,)},
        {'names': [], 'values': ()},
    ],
)
def test_senseless_commands_do_not_pass_and_are_counted(policy, changes) -> None:
    told = policy.bench.record(DiagnosticArray, '/diagnostics', qos.DIAGNOSTICS)
    policy.call('release')
    policy.bench.until(
        lambda: (
            policy.send(**changes)
            or any(value.value != '0' for message in told for value in message.status[0].values)
        ),
        'a count',
    )
    assert all(list(command.data) == [0.0] * 3 for command in policy.commands)
    policy.drive_until(lambda: policy.last() == [0.5, 1.0, 2.0], 'a good command')


LIMITED = """
name: limited
command_rate_hz: 12.5
camera: {topic: camera/image_raw, encoding: rgb8, width: 64, height: 64}
joint_states: {topic: joint_states, max_age_s: 0.16}
commands:
  - topic: joint_velocity_controller/commands
    interface: velocity_group
    channels:
      - {joint: a, unit: rad/s, scale: 2.0, reaction: zero, limits: {%svelocity: 2.0}}
"""


class Arm:
    """A joint that does as it is told, and says where it is.

    Attributes:
        farthest: how far it ever was from 0 (rad).
    """

    def __init__(self, bench) -> None:
        self._bench = bench
        self._states = bench.observer.create_publisher(JointState, 'joint_states', qos.SENSOR)
        bench.observer.create_subscription(
            Float64MultiArray, 'joint_velocity_controller/commands', self._obey, qos.COMMAND
        )
        self._position = self._velocity = self.farthest = 0.0
        self._moved_s = time.monotonic()

    def _obey(self, message: Float64MultiArray) -> None:
        self._move()
        self._velocity = message.data[0]

    def _move(self) -> None:
        now = time.monotonic()
        # This process holds the arm and the gate: where it stands still, so does the arm.
        self._position += self._velocity * min(now - self._moved_s, 0.005)
        self._moved_s, self.farthest = now, max(self.farthest, abs(self._position))

    def feel(self) -> None:
        self._move()
        now = self._bench.observer.get_clock().now().to_msg()
        self._states.publish(
            JointState(header=Header(stamp=now), name=['a'], position=[self._position])
        )


def attack(bench, policy, arm, done) -> None:
    """Somebody publishes wild commands on policy/command, as fast as they can."""
    rng = random.Random(0)
    favourite = 2.0

    def step() -> bool:
        nonlocal favourite
        if rng.random() < 0.002:
            favourite = -favourite
        if rng.random() < 0.7:
            value = favourite if rng.random() < 0.9 else rng.choice([-2.0, 1e9, math.nan])
            policy.send([value], ['a'])
        arm.feel()
        return done()

    bench.until(step, 'the attack')


@pytest.mark.parametrize(('limits', 'held'), [('position: [-0.3, 0.3], ', True), ('', False)])
def test_a_hostile_publisher_cannot_drive_velocities_past_the_limits(
    bench, tmp_path, limits, held
) -> None:
    (tmp_path / 'robot.yaml').write_text(LIMITED % limits)
    bench.start(CommandGate, embodiment=str(tmp_path / 'robot.yaml'))
    policy, arm = Policy(bench), Arm(bench)
    bench.until(lambda: arm.feel() or policy.call('release').success, 'an open gate')
    end = time.monotonic() + 4.0
    attack(bench, policy, arm, lambda: time.monotonic() > end or arm.farthest > 1.0)
    if held:
        assert 0.2 < arm.farthest <= 0.3
    else:  # the same commands, where nothing limits positions
        assert arm.farthest > 1.0


def test_without_joint_states_limited_velocities_do_not_pass_and_it_says_so(
    bench, tmp_path
) -> None:
    (tmp_path / 'robot.yaml').write_text(LIMITED % 'position: [-9, 9], ')
    bench.start(CommandGate, embodiment=str(tmp_path / 'robot.yaml'))
    policy, arm = Policy(bench), Arm(bench)
    assert policy.call('release').success
    bench.until(
        lambda: policy.send([1.0], ['a']) or 'nothing yet on the joint states' in policy.reason(),
        'the reason',
    )
    assert all(list(command.data) == [0.0] for command in policy.commands)

    def drive(feel) -> None:
        feel()
        policy.send([1.0], ['a'])

    bench.until(lambda: drive(arm.feel) or policy.last() == [1.0], 'a command')
    bench.until(lambda: drive(lambda: None) or policy.state() == REACTING, 'its reaction')
    assert 'nothing fresh on the joint states' in policy.reason()
    bench.until(lambda: drive(lambda: None) or policy.last() == [0.0], 'zero velocity')
    bench.until(lambda: drive(arm.feel) or policy.last() == [1.0], 'commands again')


def test_deactivation_stops_the_robot_and_closes_the_gate(policy) -> None:
    policy.call('release')
    policy.drive_until(lambda: policy.commands, 'commands')
    node = policy.bench.nodes[-1]
    assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    policy.bench.until(lambda: policy.last() == [0.0] * 3, 'zero velocity')
    answer = policy.call('release')
    assert (answer.success, answer.message) == (False, 'command_gate is inactive')
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    policy.bench.until(lambda: policy.state() == STOPPED, 'the stop, which holds')
