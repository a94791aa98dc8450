"""What a policy does with the robot, decided without ROS: the time is the test's."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from genrl_ros.data.bags.synchronise import Pace
from genrl_ros.serving.policy.runner import PolicyRunner
from genrl_ros.serving.robot.embodiment import Measured
from genrl_ros.serving.robot.embodiment_file import find_embodiment, load_embodiment
from genrl_ros.serving.safety.drive import Decision, Drive, Latent, State
from genrl_ros.serving.safety.gate import FORWARDING, STOPPED

ROBOT = load_embodiment(find_embodiment('kitchen'))
SECOND = 1_000_000_000
PERIOD = ROBOT.control_dt_s
GOOD, SENSELESS = np.array([0, 1, 2, 3]), np.array([0, 1, 2, 4])


class Bench:
    """A robot and an encoder whose time is set by hand."""

    def __init__(self, blend_s: float = 0.0) -> None:
        self.now, self.offset = 100.0, 0.0
        pace = Pace(round(PERIOD * SECOND), round(PERIOD * SECOND))
        self.drive = Drive(ROBOT, self, pace, blend_s)

    def stamp_ns(self) -> int:
        return round((self.now + self.offset) * SECOND)

    def now_s(self) -> float:
        return self.now

    def feel(self, position: float = 0.0) -> None:
        self.drive.feel(Measured(np.full(9, position), np.zeros(9)), self.stamp_ns())

    def see(self, tokens: np.ndarray | None = GOOD, **changes: object) -> Decision | None:
        """A period later: joint states and a latent, and what is decided about it."""
        self.now += PERIOD
        self.feel()
        driver = self.drive.driver
        encoder = driver.runner.bundle.encoder_sha256 if driver else ''
        latent = Latent(self.stamp_ns(), encoder, tokens)
        return self.drive.step(dataclasses.replace(latent, **changes))


@pytest.fixture
def bench(make_bundle) -> Bench:
    bench = Bench()
    bench.drive.take_over(PolicyRunner(make_bundle(action=0.25)))
    return bench


def test_without_a_policy_it_waits_and_decides_nothing() -> None:
    bench = Bench()
    assert bench.drive.begin().reason == 'no policy was announced yet on policy'
    assert bench.see() is None
    assert bench.drive.step(None) == Decision(
        State.WAITING, 'no policy was announced yet on policy'
    )
    assert not bench.drive.reset()


def test_it_answers_each_latent(bench) -> None:
    assert bench.drive.step(None) == Decision(State.WAITING, 'no latents yet on latent')
    for _ in range(3):
        decision = bench.see()
        assert (decision.state, decision.reason) == (State.DRIVING, '')
        assert decision.command.tolist() == [0.5] * 9
        assert decision.stamp_ns == bench.stamp_ns()
    assert bench.drive.driver.steps == 2  # an action lasts two commands


@pytest.mark.parametrize('shift_s', [0.0, -0.1, 1.0, -1.0])
def test_nothing_follows_from_a_stamp_that_is_repeated_old_or_in_the_future(
    bench, shift_s
) -> None:
    bench.see()
    stamp_ns = bench.stamp_ns() + round(shift_s * SECOND)
    bench.feel()
    encoder = bench.drive.driver.runner.bundle.encoder_sha256
    assert bench.drive.step(Latent(stamp_ns, encoder, GOOD)) is None
    assert bench.drive.state is State.DRIVING


def test_a_faster_camera_is_answered_at_the_control_rate(bench) -> None:
    answered = 0
    for i in range(200):
        bench.now = 100.0 + i * 0.01
        bench.feel()
        encoder = bench.drive.driver.runner.bundle.encoder_sha256
        answered += bench.drive.step(Latent(bench.stamp_ns(), encoder, GOOD)) is not None
    assert 24 <= answered <= 26


def test_silence_holds_the_robot_and_latents_drive_it_again(bench) -> None:
    bench.see()
    bench.now += 0.1
    assert bench.drive.step(None) == Decision(State.DRIVING, '')
    bench.now += 0.1
    held = bench.drive.step(None)
    assert held.state is State.HOLDING
    assert held.reason == 'nothing fresh on joint_states for 0.16 s'
    assert held.command.tolist() == [0.0] * 9
    assert bench.see().state is State.DRIVING


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ({'encoder_sha256': 'f' * 64}, 'latents come from encoder ffffffffffff'),
        ({'tokens': None, 'problem': 'a token 200'}, 'a token 200'),
    ],
)
def test_latents_that_do_not_fit_hold_the_robot(bench, changes, reason) -> None:
    bench.see()
    held = bench.see(**changes)
    assert held.state is State.HOLDING
    assert held.reason.startswith(reason)
    assert held.command.tolist() == [0.0] * 9


def test_a_policy_that_fails_holds_the_robot_and_may_drive_again(make_bundle, picky_actor) -> None:
    bench = Bench()
    bench.drive.take_over(PolicyRunner(make_bundle(graphs={'actor.onnx': picky_actor})))
    bench.see()
    bench.see()  # an action lasts two commands: the policy is asked again at the next
    held = bench.see(SENSELESS)
    assert held.state is State.HOLDING
    assert held.reason.startswith('the policy cannot be run')
    assert bench.see().state is State.DRIVING


def test_bad_joint_states_hold_the_robot(bench) -> None:
    bench.see()
    bench.drive.joint_problem = "joint 'a' is missing"
    held = bench.drive.step(None)
    assert (held.state, held.reason) == (State.HOLDING, "joint 'a' is missing")


def test_a_closed_gate_is_not_driven_against_and_begins_anew(bench) -> None:
    bench.see()
    bench.drive.gate = STOPPED
    held = bench.drive.step(None)
    assert held == Decision(State.HOLDING, 'command_gate is stopped', None, held.stamp_ns)
    assert bench.see().command is None
    bench.drive.gate = FORWARDING
    steps = bench.drive.driver.steps
    assert bench.see().state is State.DRIVING
    assert bench.drive.driver.steps == steps + 1


def test_before_it_has_driven_it_waits_whatever_is_wrong(bench) -> None:
    bench.now += 10.0
    assert bench.drive.step(None).state is State.WAITING
    refused = bench.see(encoder_sha256='f' * 64)
    assert (refused.state, refused.command) == (State.WAITING, None)
    assert refused.reason.startswith('latents come from')


def test_a_policy_that_takes_over_gains_influence_bit_by_bit(make_bundle) -> None:
    bench = Bench(blend_s=4 * PERIOD)
    for action in (0.5, -0.5):
        bench.drive.take_over(PolicyRunner(make_bundle(action=action)))
        speeds = [bench.see().command[0] for _ in range(5)]
        assert np.abs(speeds) == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])


def test_a_clock_that_goes_back_starts_an_episode_without_a_blend(make_bundle) -> None:
    bench = Bench(blend_s=4 * PERIOD)
    bench.drive.take_over(PolicyRunner(make_bundle(action=0.5)))
    for _ in range(6):
        bench.see()
    bench.offset = -50.0
    assert bench.see().command.tolist() == [1.0] * 9
    assert bench.drive.latents.counts['clock jumped'] == 1
