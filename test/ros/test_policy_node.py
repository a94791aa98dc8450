from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.duration import Duration
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from genrl_interfaces.msg import LatentTokens, PolicyAnnouncement, PolicyState
from genrl_ros.nodes.policy_node import PolicyNode
from genrl_ros.nodes.ros import qos
from genrl_ros.nodes.ros.conversions import to_latent, to_stamp
from genrl_ros.serving.safety.gate import FORWARDING, STOPPED
from genrl_ros.system.share import share_path

JOINTS = [f'panda_joint{i}' for i in range(1, 8)]
JOINTS += ['panda_finger_joint1', 'panda_finger_joint2']


class Robot:
    """Publishes latents and joint states, and listens to what the policy does."""

    def __init__(self, bench, encoder_sha256: str) -> None:
        self.bench, self.encoder_sha256, self.stamp = bench, encoder_sha256, 0
        self.joints = list(JOINTS)
        self.commands = bench.record(JointState, 'policy/command', qos.COMMAND)
        self.states = bench.record(PolicyState, 'policy_state', qos.LATCHED)
        observer = bench.observer
        self._latents = observer.create_publisher(LatentTokens, 'latent', qos.SENSOR)
        self._joint_states = observer.create_publisher(JointState, 'joint_states', qos.SENSOR)
        self._policies = observer.create_publisher(PolicyAnnouncement, 'policy', qos.LATCHED)
        for publisher in (self._latents, self._joint_states, self._policies):
            bench.connected(publisher)

    def announce(self, bundle, **changes: object) -> None:
        fields = {
            'task_id': bundle.description.task_id,
            'prompt': bundle.description.prompt,
            'path': str(bundle.path),
            'policy_sha256': bundle.sha256,
            'from_here': True,
        }
        self._policies.publish(PolicyAnnouncement(**(fields | changes)))

    def feel(self) -> None:
        """The next joint states, in an order of their own."""
        now = self.bench.observer.get_clock().now().to_msg()
        names = self.joints[::-1]
        zeros = [0.0] * len(names)
        self._joint_states.publish(
            JointState(header=Header(stamp=now), name=names, position=zeros, velocity=zeros)
        )

    def see(self, tokens: tuple[int, ...] = (0, 1, 2, 3), ahead_s: float = 0, **changes) -> None:
        """The next image's latent, and joint states."""
        self.feel()
        now = self.bench.observer.get_clock().now().nanoseconds + round(ahead_s * 1e9)
        self.stamp = now if ahead_s else max(self.stamp + 1, now)
        header = Header(stamp=to_stamp(self.stamp))
        message = to_latent(np.array(tokens), 5, self.encoder_sha256, header)
        for name, value in changes.items():
            setattr(message, name, value)
        self._latents.publish(message)

    def drive_until(self, happened, what: str) -> None:
        """Show images until something happens."""
        self.bench.until(lambda: self.see() or happened(), what)

    def state(self) -> tuple[str, str]:
        return (self.states[-1].state, self.states[-1].reason) if self.states else ('', '')

    def last_command(self) -> list[float]:
        return list(self.commands[-1].velocity) if self.commands else []


@pytest.fixture
def robot(bench, tmp_path, make_bundle) -> Robot:
    bench.start(PolicyNode, policies=str(tmp_path / 'policies'), blend_s=0.0)
    return Robot(bench, make_bundle().encoder_sha256)


@pytest.fixture
def patient_robot(bench, tmp_path, make_bundle) -> Robot:
    """Its time-outs are ten times as long: no image comes while a test writes a bundle."""
    bench.start(
        PolicyNode, policies=str(tmp_path / 'policies'), blend_s=0.0,
        trial_timeout_s=8.0, real_time_factor=0.1,
    )  # fmt: skip
    return Robot(bench, make_bundle().encoder_sha256)


def test_without_a_policy_it_says_so_and_sends_nothing(robot) -> None:
    robot.bench.until(lambda: len(robot.states) > 1, 'its state, confirmed')
    robot.see()
    robot.bench.until(lambda: len(robot.states) > 2, 'its state, confirmed again')
    assert robot.state() == ('waiting', 'no policy was announced yet on policy')
    assert robot.commands == []


def test_it_drives_with_the_announced_policy(patient_robot, make_bundle) -> None:
    robot = patient_robot
    robot.announce(make_bundle(action=0.25))
    robot.drive_until(lambda: len(robot.commands) > 5, 'commands')
    assert all(list(command.velocity) == [0.5] * 9 for command in robot.commands)
    robot.drive_until(lambda: robot.state()[0] == 'driving', 'its state')
    assert robot.states[-1].task_id == '20261122-120000-open-the-microwave'


def test_a_camera_that_is_faster_than_the_control_rate_is_answered_at_the_control_rate(
    robot, make_bundle
) -> None:
    robot.announce(make_bundle(action=0.25))
    robot.drive_until(lambda: robot.state()[0] == 'driving', 'driving')
    first, count = robot.stamp, len(robot.commands)
    robot.drive_until(lambda: robot.stamp - first > 2_000_000_000, 'two seconds of images')
    seen = len(robot.commands) - count
    assert seen <= (robot.stamp - first) / 80_000_000 + 2


def test_a_camera_slower_than_the_commands_is_answered_once_an_action(
    bench, tmp_path, make_bundle
) -> None:
    text = share_path('config', 'embodiments', 'kitchen.yaml').read_text()
    text = text.replace('height: 64', 'height: 64\n  rate_hz: 6.25')
    file = tmp_path / 'slow.yaml'
    file.write_text(text.replace('velocity: 2.0}', 'velocity: 2.0, acceleration: 5.0}'))
    bench.start(PolicyNode, policies=str(tmp_path / 'policies'), blend_s=0.0, embodiment=str(file))
    robot = Robot(bench, make_bundle().encoder_sha256)
    robot.announce(make_bundle(action=1.0))
    robot.drive_until(lambda: robot.last_command()[:1] == [2.0], 'full speed')
    # The gate brings the robot from one of these to the next in two commands, 0.4 rad/s each.
    changes = np.diff([0.0, *(command.velocity[0] for command in robot.commands)])
    assert max(changes) == pytest.approx(0.8)
    first, count = robot.stamp, len(robot.commands)
    robot.drive_until(lambda: robot.stamp - first > 2_000_000_000, 'two seconds of images')
    assert len(robot.commands) - count <= (robot.stamp - first) / 160_000_000 + 2


def test_commands_stay_within_the_limits(robot, make_bundle) -> None:
    robot.announce(make_bundle(action=100.0))
    robot.drive_until(lambda: robot.commands, 'commands')
    assert robot.last_command() == [2.0] * 9


def test_when_latents_stop_it_holds_and_when_they_come_back_it_drives(robot, make_bundle) -> None:
    robot.announce(make_bundle())
    robot.drive_until(lambda: robot.state()[0] == 'driving', 'driving')
    robot.bench.until(lambda: robot.state()[0] == 'holding', 'holding')
    assert 'nothing fresh on' in robot.state()[1]
    assert robot.last_command() == [0.0] * 9
    robot.drive_until(lambda: robot.state()[0] == 'driving', 'driving again')
    assert robot.last_command() == [0.5] * 9


def test_a_stuck_camera_counts_as_none(robot, make_bundle) -> None:
    robot.announce(make_bundle())
    robot.drive_until(lambda: robot.state()[0] == 'driving', 'driving')

    stuck = to_stamp(robot.stamp)

    def see_the_same() -> None:
        robot.see(header=Header(stamp=stuck))

    robot.bench.until(lambda: see_the_same() or robot.state()[0] == 'holding', 'holding')


def test_a_new_policy_takes_over(patient_robot, make_bundle) -> None:
    robot = patient_robot
    robot.announce(make_bundle(action=0.25))
    robot.drive_until(lambda: robot.last_command() == [0.5] * 9, 'the first policy')
    robot.announce(make_bundle(action=-0.5, task_id='second'))
    robot.drive_until(lambda: robot.last_command() == [-1.0] * 9, 'the second policy')
    robot.drive_until(lambda: robot.states[-1].task_id == 'second', 'its state')
    assert {tuple(command.velocity) for command in robot.commands} == {(0.5,) * 9, (-1.0,) * 9}


@pytest.mark.parametrize(
    'fault',
    [
        *('damaged', 'foreign robot', 'other hash', 'outside', 'missing'),
        *('name too long', 'link to itself'),
    ],
)
def test_a_policy_that_cannot_be_used_is_refused_and_the_old_one_drives_on(
    patient_robot, make_bundle, tmp_path, fault
) -> None:
    robot = patient_robot
    robot.announce(make_bundle(action=0.25))
    robot.drive_until(lambda: robot.last_command() == [0.5] * 9, 'the first policy')
    changes: dict[str, object] = {}
    bad = make_bundle(action=-0.5, control_dt_s=0.05 if fault == 'foreign robot' else 0.08)
    if fault == 'damaged':
        (bad.path / 'actor.onnx').write_bytes(b'')
    elif fault == 'other hash':
        changes['policy_sha256'] = '0' * 64
    elif fault == 'outside':
        outside = tmp_path / 'elsewhere'
        bad.path.rename(outside)
        changes['path'] = str(bad.path / '..' / '..' / 'elsewhere')
    elif fault == 'missing':
        changes['path'] = str(tmp_path / 'policies' / 'nothing')
    elif fault == 'name too long':
        changes['path'] = str(tmp_path / 'policies' / ('n' * 300))
    elif fault == 'link to itself':
        link = tmp_path / 'policies' / 'link'
        link.symlink_to(link)
        changes['path'] = str(link)
    robot.announce(bad, **changes)
    # A good one that is announced next proves that the bad one was dealt with.
    count = len(robot.commands)
    robot.drive_until(lambda: len(robot.commands) > count + 10, 'more commands')
    robot.announce(make_bundle(action=0.75))
    robot.drive_until(lambda: robot.last_command() == [1.5] * 9, 'the next good policy')
    assert {tuple(command.velocity) for command in robot.commands} == {(0.5,) * 9, (1.5,) * 9}


@pytest.mark.parametrize('kind', ['endless', 'slow'])
def test_a_policy_that_never_answers_keeps_no_other_from_being_loaded(
    patient_robot, make_bundle, endless_actor, slow_actor, kind
) -> None:
    """One is refused for its operators, the other one for the time that it takes."""
    robot = patient_robot
    robot.announce(make_bundle(action=0.25))
    robot.drive_until(lambda: robot.last_command() == [0.5] * 9, 'the first policy')
    actor = {'endless': endless_actor, 'slow': slow_actor}[kind]
    robot.announce(make_bundle(graphs={'actor.onnx': actor}))
    count = len(robot.commands)
    robot.drive_until(lambda: len(robot.commands) > count + 5, 'more commands')
    robot.announce(make_bundle(action=0.75))
    robot.drive_until(lambda: robot.last_command() == [1.5] * 9, 'the next good policy')
    assert {tuple(command.velocity) for command in robot.commands} == {(0.5,) * 9, (1.5,) * 9}


def test_the_node_ends_at_once_while_a_policy_is_tried(
    bench, tmp_path, make_bundle, slow_actor
) -> None:
    node = bench.start(PolicyNode, policies=str(tmp_path / 'policies'), trial_timeout_s=600.0)
    robot = Robot(bench, make_bundle().encoder_sha256)
    robot.announce(make_bundle(graphs={'actor.onnx': slow_actor}))

    def trials() -> list[Path]:
        return [
            cmdline
            for cmdline in Path('/proc').glob('[0-9]*/cmdline')
            if (argv := _read(cmdline)) and str(tmp_path) in argv and '.trial' in argv
        ]

    bench.until(trials, 'the trial')
    assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    bench.until(lambda: not trials(), 'its end')


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ''


def test_latents_of_another_encoder_are_not_driven_by(robot, make_bundle) -> None:
    robot.announce(make_bundle())
    robot.drive_until(lambda: robot.state()[0] == 'driving', 'driving')
    other = 'f' * 64
    robot.bench.until(
        lambda: robot.see(encoder_sha256=other) or 'come from encoder ffff' in robot.state()[1],
        'a refusal',
    )
    assert robot.state()[0] == 'holding'
    robot.bench.until(lambda: robot.last_command() == [0.0] * 9, 'zero velocity')


def test_latents_of_the_wrong_form_are_not_driven_by(robot, make_bundle) -> None:
    robot.announce(make_bundle())
    robot.drive_until(lambda: robot.state()[0] == 'driving', 'driving')
    for tokens, message in (((0, 1, 2), '3 categoricals of 5'), ((0, 1, 2, 200), 'a token 200')):
        robot.bench.until(
            lambda tokens=tokens, message=message: (
                robot.see(tokens) or message in robot.state()[1]
            ),
            message,
        )
        robot.bench.until(lambda: robot.last_command() == [0.0] * 9, 'zero velocity')


def test_a_policy_that_fails_while_it_runs_holds_the_robot(
    robot, make_bundle, picky_actor
) -> None:
    robot.announce(make_bundle(graphs={'actor.onnx': picky_actor}))
    robot.drive_until(lambda: robot.last_command() == [0.5] * 9, 'driving')
    robot.bench.until(
        lambda: robot.see((0, 1, 2, 4)) or 'the policy cannot be run' in robot.state()[1], 'a hold'
    )
    assert robot.state()[0] == 'holding'
    robot.bench.until(lambda: robot.last_command() == [0.0] * 9, 'zero velocity')
    robot.drive_until(lambda: robot.last_command() == [0.5] * 9, 'driving again')


def test_reset_starts_an_episode(robot, make_bundle) -> None:
    bench = robot.bench
    assert not bench.call(Trigger, 'policy/reset', Trigger.Request()).success
    robot.announce(make_bundle())
    robot.drive_until(lambda: robot.commands, 'commands')
    assert bench.call(Trigger, 'policy/reset', Trigger.Request()).success
    robot.drive_until(lambda: robot.state()[0] == 'driving', 'driving')


def test_a_policy_that_starts_gains_influence_bit_by_bit(bench, tmp_path, make_bundle) -> None:
    bench.start(PolicyNode, policies=str(tmp_path / 'policies'), blend_s=0.4, real_time_factor=0.1)
    robot = Robot(bench, make_bundle().encoder_sha256)
    robot.announce(make_bundle(action=0.5))
    robot.drive_until(lambda: robot.last_command() == [1.0] * 9, 'full influence')
    speeds = [command.velocity[0] for command in robot.commands]
    assert len(set(speeds)) > 1  # some are lost, so fast do the images come here
    assert speeds == sorted(speeds)
    assert all(min(abs(speed - n / 5) for n in range(1, 6)) < 1e-9 for speed in speeds)


def test_stale_joint_states_hold_the_robot(robot, make_bundle) -> None:
    robot.announce(make_bundle())
    robot.drive_until(lambda: robot.state()[0] == 'driving', 'driving')
    robot.feel = lambda: None
    robot.drive_until(lambda: 'nothing fresh on joint_states' in robot.state()[1], 'a hold')
    robot.bench.until(lambda: robot.last_command() == [0.0] * 9, 'zero velocity')


def test_a_missing_joint_is_named_and_refused_at_activation(robot, make_bundle) -> None:
    node = robot.bench.nodes[-1]
    robot.joints[2] = 'panda_elbow'
    missing = "'panda_joint3' is missing"
    robot.bench.until(
        lambda: robot.feel() or missing in node._drive.joint_problem, 'the bad joint states'
    )
    assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.FAILURE
    assert node.state_name == 'inactive'
    robot.joints[2] = 'panda_joint3'
    robot.bench.until(lambda: robot.feel() or not node._drive.joint_problem, 'good joint states')
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    robot.announce(make_bundle())
    robot.drive_until(lambda: robot.state()[0] == 'driving', 'driving')


def test_future_latents_are_counted_and_nothing_follows_from_them(robot, make_bundle) -> None:
    told = robot.bench.record(DiagnosticArray, '/diagnostics', qos.DIAGNOSTICS)
    robot.announce(make_bundle())
    robot.drive_until(lambda: robot.state()[0] == 'driving', 'driving')
    robot.bench.until(lambda: robot.see(ahead_s=5.0) or robot.state()[0] == 'holding', 'a hold')
    robot.bench.until(
        lambda: (
            robot.see(ahead_s=5.0)
            or any(
                value.key == 'latent: stamp in the future' and int(value.value) > 3
                for message in told
                if message.status[0].level == DiagnosticStatus.ERROR
                for value in message.status[0].values
            )
        ),
        'the count, while it holds',
    )
    assert DiagnosticStatus.OK in {message.status[0].level for message in told}


def test_a_closed_gate_is_not_driven_against(robot, make_bundle) -> None:
    gate = robot.bench.observer.create_publisher(
        DiagnosticStatus, 'command_gate/state', qos.LATCHED
    )
    robot.announce(make_bundle())
    robot.drive_until(lambda: robot.state()[0] == 'driving', 'driving')
    gate.publish(DiagnosticStatus(message=STOPPED))
    robot.drive_until(lambda: robot.state() == ('holding', 'command_gate is stopped'), 'a hold')
    count = len(robot.commands)
    for _ in range(20):
        robot.see()
        robot.bench.executor.spin_once(timeout_sec=0.01)
    assert len(robot.commands) == count
    gate.publish(DiagnosticStatus(message=FORWARDING))
    robot.drive_until(lambda: robot.state()[0] == 'driving', 'driving again')


def test_deactivation_stops_the_robot_and_activation_drives_again(robot, make_bundle) -> None:
    node = robot.bench.nodes[-1]
    robot.announce(make_bundle())
    robot.drive_until(lambda: robot.state()[0] == 'driving', 'driving')
    assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    robot.bench.until(lambda: robot.last_command() == [0.0] * 9, 'zero velocity')
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    robot.drive_until(lambda: robot.last_command() == [0.5] * 9, 'driving again')


def test_a_clock_that_goes_back_starts_an_episode_and_nothing_else(
    bench, tmp_path, make_bundle
) -> None:
    node = bench.start(
        PolicyNode, policies=str(tmp_path / 'policies'), blend_s=0.0, use_sim_time=True
    )
    clock = bench.observer.create_publisher(Clock, '/clock', qos.CLOCK)
    bench.connected(clock)
    robot = Robot(bench, make_bundle().encoder_sha256)
    back_ns = 0
    machine = bench.observer.get_clock()

    class Shifted:
        def now(self) -> Time:
            return machine.now() - Duration(nanoseconds=back_ns)

    bench.observer.get_clock = Shifted

    def see() -> None:
        robot.stamp = 0
        clock.publish(Clock(clock=Shifted().now().to_msg()))
        robot.see()

    robot.announce(make_bundle())
    bench.until(lambda: see() or robot.state()[0] == 'driving', 'driving')
    resets: list[int] = []
    reset = node._drive.driver.reset
    node._drive.driver.reset = lambda: resets.append(1) or reset()
    count, back_ns = len(robot.commands), 3_600_000_000_000
    bench.until(lambda: see() or len(robot.commands) > count + 5, 'commands at the new time')
    assert resets == [1]
    assert robot.state()[0] == 'driving'


def test_a_stop_and_another_task_interrupt_the_way_home(robot, make_bundle) -> None:
    """The joints of this robot stay at zero, far from home."""
    gate = robot.bench.observer.create_publisher(
        DiagnosticStatus, 'command_gate/state', qos.LATCHED
    )
    robot.announce(make_bundle(action=0.25), from_here=False)
    robot.drive_until(lambda: robot.state()[0] == 'homing', 'the way home')
    assert robot.state()[1] == 'panda_joint4 is 2.48 rad from home'
    robot.drive_until(lambda: len(robot.commands) > 3, 'commands')
    assert max(map(abs, robot.last_command())) <= 0.5
    gate.publish(DiagnosticStatus(message=STOPPED))
    robot.drive_until(lambda: robot.state() == ('holding', 'command_gate is stopped'), 'a hold')
    gate.publish(DiagnosticStatus(message=FORWARDING))
    robot.drive_until(lambda: robot.state()[0] == 'homing', 'the way home again')
    robot.announce(make_bundle(action=-0.5, task_id='second'))
    robot.drive_until(lambda: robot.state()[0] == 'driving', 'another task, from here')
    robot.drive_until(lambda: robot.last_command() == [-1.0] * 9, 'its commands')


def test_a_policy_that_has_ended_rests_until_it_is_asked_again(robot, make_bundle) -> None:
    robot.announce(make_bundle(action=0.25, attempt_steps=3))
    robot.drive_until(lambda: robot.state()[0] == 'done', 'the end')
    assert robot.state()[1] == 'its 3 steps, 0.5 s, are over'
    robot.drive_until(lambda: robot.last_command() == [0.0] * 9, 'rest')
    assert robot.bench.call(Trigger, 'policy/reset', Trigger.Request()).success
    robot.drive_until(lambda: robot.last_command() == [0.5] * 9, 'another episode')
    robot.drive_until(lambda: robot.state()[0] == 'done', 'its end')
