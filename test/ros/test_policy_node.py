from __future__ import annotations

import numpy as np
import pytest
from std_msgs.msg import Float64MultiArray, Header
from std_srvs.srv import Trigger

from genrl_interfaces.msg import LatentTokens, PolicyAnnouncement, PolicyState
from genrl_ros.nodes import qos
from genrl_ros.nodes.conversions import to_latent, to_stamp
from genrl_ros.nodes.policy_node import PolicyNode

PERIOD = 80_000_000


class Robot:
    """Publishes latents as encoder_node would, and listens to what the policy does."""

    def __init__(self, bench, encoder_sha256: str) -> None:
        self.bench, self.encoder_sha256, self.stamp = bench, encoder_sha256, 0
        self.commands = bench.record(
            Float64MultiArray, 'joint_velocity_controller/commands', qos.COMMAND
        )
        self.states = bench.record(PolicyState, 'policy_state', qos.LATCHED)
        self._latents = bench.observer.create_publisher(LatentTokens, 'latent', qos.SENSOR)
        self._policies = bench.observer.create_publisher(PolicyAnnouncement, 'policy', qos.LATCHED)
        bench.connected(self._latents)
        bench.connected(self._policies)

    def announce(self, bundle, **changes: object) -> None:
        fields = {
            'task_id': bundle.description.task_id,
            'prompt': bundle.description.prompt,
            'path': str(bundle.path),
            'policy_sha256': bundle.sha256,
        }
        self._policies.publish(PolicyAnnouncement(**(fields | changes)))

    def see(self, tokens: tuple[int, ...] = (0, 1, 2, 3), **changes: object) -> None:
        """The next image's latent."""
        self.stamp += PERIOD
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
        return list(self.commands[-1].data) if self.commands else []


@pytest.fixture
def robot(bench, tmp_path, make_bundle) -> Robot:
    bench.start(PolicyNode, policies=str(tmp_path / 'policies'))
    return Robot(bench, make_bundle().encoder_sha256)


def test_without_a_policy_it_says_so_and_sends_nothing(robot) -> None:
    robot.bench.until(lambda: len(robot.states) > 1, 'its state, confirmed')
    robot.see()
    robot.bench.until(lambda: len(robot.states) > 2, 'its state, confirmed again')
    assert robot.state() == ('waiting', 'no policy was announced yet on policy')
    assert robot.commands == []


def test_it_drives_with_the_announced_policy(robot, make_bundle) -> None:
    robot.announce(make_bundle(action=0.25))
    robot.drive_until(lambda: len(robot.commands) > 5, 'commands')
    assert all(list(command.data) == [0.5] * 9 for command in robot.commands)
    robot.drive_until(lambda: robot.state()[0] == 'driving', 'its state')
    assert robot.states[-1].task_id == '20261122-120000-open-the-microwave'


def test_commands_stay_within_the_limits(robot, make_bundle) -> None:
    robot.announce(make_bundle(action=100.0))
    robot.drive_until(lambda: robot.commands, 'commands')
    assert robot.last_command() == [2.0] * 9


def test_when_latents_stop_it_holds_and_when_they_come_back_it_drives(robot, make_bundle) -> None:
    robot.announce(make_bundle())
    robot.drive_until(lambda: robot.state()[0] == 'driving', 'driving')
    robot.bench.until(lambda: robot.state()[0] == 'holding', 'holding')
    assert 'no new latent on latent' in robot.state()[1]
    assert robot.last_command() == [0.0] * 9
    robot.drive_until(lambda: robot.state()[0] == 'driving', 'driving again')
    assert robot.last_command() == [0.5] * 9


def test_a_stuck_camera_counts_as_none(robot, make_bundle) -> None:
    robot.announce(make_bundle())
    robot.drive_until(lambda: robot.state()[0] == 'driving', 'driving')

    def see_the_same() -> None:
        robot.stamp -= PERIOD
        robot.see()

    robot.bench.until(lambda: see_the_same() or robot.state()[0] == 'holding', 'holding')


def test_a_new_policy_takes_over(robot, make_bundle) -> None:
    robot.announce(make_bundle(action=0.25))
    robot.drive_until(lambda: robot.last_command() == [0.5] * 9, 'the first policy')
    robot.announce(make_bundle(action=-0.5, task_id='second'))
    robot.drive_until(lambda: robot.last_command() == [-1.0] * 9, 'the second policy')
    robot.drive_until(lambda: robot.states[-1].task_id == 'second', 'its state')
    assert {tuple(command.data) for command in robot.commands} == {(0.5,) * 9, (-1.0,) * 9}


@pytest.mark.parametrize('fault', ['damaged', 'foreign robot', 'other hash', 'outside', 'missing'])
def test_a_policy_that_cannot_be_used_is_refused_and_the_old_one_drives_on(
    robot, make_bundle, tmp_path, fault
) -> None:
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
    robot.announce(bad, **changes)
    # A good one that is announced next proves that the bad one was dealt with.
    count = len(robot.commands)
    robot.drive_until(lambda: len(robot.commands) > count + 10, 'more commands')
    robot.announce(make_bundle(action=0.75))
    robot.drive_until(lambda: robot.last_command() == [1.5] * 9, 'the next good policy')
    assert {tuple(command.data) for command in robot.commands} == {(0.5,) * 9, (1.5,) * 9}


def test_latents_of_another_encoder_are_not_driven_by(robot, make_bundle) -> None:
    robot.announce(make_bundle())
    robot.drive_until(lambda: robot.state()[0] == 'driving', 'driving')
    other = 'f' * 64
    robot.bench.until(
        lambda: robot.see(encoder_sha256=other) or 'come from encoder ffff' in robot.state()[1],
        'a refusal',
    )
    assert robot.state()[0] == 'holding'
    assert robot.last_command() == [0.0] * 9


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
        assert robot.last_command() == [0.0] * 9


def test_reset_starts_an_episode(robot, make_bundle) -> None:
    bench = robot.bench
    assert not bench.call(Trigger, 'policy/reset', Trigger.Request()).success
    robot.announce(make_bundle())
    robot.drive_until(lambda: robot.commands, 'commands')
    assert bench.call(Trigger, 'policy/reset', Trigger.Request()).success
    robot.drive_until(lambda: robot.state()[0] == 'driving', 'driving')
