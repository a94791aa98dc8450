"""What a policy does with the robot, decided without ROS: the time is the test's."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from genrl_ros.data.bags.synchronise import Pace
from genrl_ros.serving.policy.runner import PolicyRunner
from genrl_ros.serving.robot.embodiment import Embodiment, Measured
from genrl_ros.serving.robot.embodiment_file import find_embodiment, load_embodiment
from genrl_ros.serving.safety.drive import Decision, Drive, Latent, State
from genrl_ros.serving.safety.gate import FORWARDING, STOPPED

KITCHEN = load_embodiment(find_embodiment('kitchen'))
ROBOT = dataclasses.replace(KITCHEN, home=None)
SECOND = 1_000_000_000
PERIOD = ROBOT.control_dt_s
GOOD, SENSELESS = np.array([0, 1, 2, 3]), np.array([0, 1, 2, 4])


class Bench:
    """A robot and an encoder whose time is set by hand."""

    def __init__(self, blend_s: float = 0.0, robot: Embodiment = ROBOT, **options: bool) -> None:
        self.now, self.offset, self.position = 100.0, 0.0, np.zeros(9)
        pace = Pace(round(PERIOD * SECOND), round(PERIOD * SECOND))
        self.drive = Drive(robot, self, pace, blend_s, **options)

    def stamp_ns(self) -> int:
        return round((self.now + self.offset) * SECOND)

    def now_s(self) -> float:
        return self.now

    def feel(self, position: float | None = None) -> None:
        where = self.position if position is None else np.full(9, position)
        self.drive.feel(Measured(where.copy(), np.zeros(9)), self.stamp_ns())

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


HOME = np.array([KITCHEN.home.positions[channel.joint] for channel in KITCHEN.channels])


class Arm(Bench):
    """A robot with a home, which does as it is told; what is held does not move."""

    def __init__(self, *held: int, **options: bool) -> None:
        super().__init__(robot=KITCHEN, **options)
        self.free = np.array([i not in held for i in range(9)])

    def see(self, tokens: np.ndarray | None = GOOD, **changes: object) -> Decision | None:
        decision = super().see(tokens, **changes)
        if decision is not None and decision.command is not None:
            self.position = self.position + self.free * decision.command * PERIOD
        return decision

    def until(self, state: State, most: int = 800) -> list[Decision]:
        """See until the robot is in a state; all decisions."""
        seen = [self.see()]
        while seen[-1].state is not state:
            assert len(seen) < most, f'{seen[-1]}'
            seen.append(self.see())
        return seen


def test_a_task_begins_at_home_and_gets_there_slowly(make_bundle) -> None:
    arm = Arm()
    arm.drive.take_over(PolicyRunner(make_bundle(action=0.25)))
    *way, first = arm.until(State.DRIVING)
    assert {decision.state for decision in way} == {State.HOMING}
    assert way[0].reason == 'panda_joint4 is 2.48 rad from home'
    assert max(np.abs(decision.command).max() for decision in way) == KITCHEN.home.speed
    assert first.command.tolist() == [0.5] * 9
    assert np.abs(arm.position - 0.5 * PERIOD - HOME).max() < KITCHEN.home.tolerance
    assert arm.drive.driver.steps == 1


@pytest.mark.parametrize('from_here', [True, False])
def test_a_robot_that_is_home_or_begins_here_is_not_moved(make_bundle, from_here) -> None:
    arm = Arm()
    arm.position = np.zeros(9) if from_here else HOME + 0.02
    arm.drive.take_over(PolicyRunner(make_bundle()), from_here=from_here)
    assert arm.see().state is State.DRIVING


def test_the_way_home_is_stopped_and_goes_on_as_anything_is(make_bundle) -> None:
    arm = Arm()
    arm.drive.take_over(PolicyRunner(make_bundle()))
    assert arm.see().state is State.HOMING
    arm.drive.gate = STOPPED
    held = arm.see()
    assert (held.state, held.reason) == (State.HOLDING, 'command_gate is stopped')
    assert held.command is None
    arm.drive.gate = FORWARDING
    assert arm.see().state is State.HOMING
    arm.drive.take_over(PolicyRunner(make_bundle(action=-0.25)), from_here=True)
    assert arm.see().command.tolist() == [-0.5] * 9


def test_a_home_out_of_reach_is_said_once_and_held(make_bundle) -> None:
    arm = Arm(3)
    arm.drive.take_over(PolicyRunner(make_bundle()))
    held = arm.until(State.HOLDING)[-1]
    assert held.reason == (
        'cannot get home: after 20 s panda_joint4 is 2.48 rad from home; '
        'call policy/reset to try again'
    )
    arm.now += 5.0  # nothing has come for a while
    for _ in range(50):
        decision = arm.see()
        assert decision.state is State.HOLDING and not decision.command.any()
    arm.free[:] = True
    assert arm.drive.reset()
    assert arm.see().state is State.HOMING
    assert arm.until(State.DRIVING)


def test_a_policy_ends_after_its_steps_and_another_begins(make_bundle) -> None:
    bench = Bench()
    bench.drive.take_over(PolicyRunner(make_bundle(action=0.25, attempt_steps=3)))
    seen = [bench.see() for _ in range(8)]
    assert [decision.state for decision in seen] == [State.DRIVING] * 6 + [State.DONE] * 2
    assert seen[-1].reason == 'its 3 steps, 0.5 s, are over'
    assert seen[-1].command.tolist() == [0.0] * 9
    assert bench.drive.driver.steps == 3
    bench.now += 5.0  # silence, a closed gate, an activation: it stays done
    assert bench.drive.step(None).state is State.DONE
    bench.drive.gate = STOPPED
    assert bench.see().state is State.DONE
    bench.drive.gate = FORWARDING
    bench.drive.begin()
    assert bench.see().state is State.DONE
    bench.drive.reset()
    assert bench.see().state is State.DRIVING
    bench.drive.take_over(PolicyRunner(make_bundle(action=-0.25)))
    assert bench.see().command.tolist() == [-0.5] * 9


def test_an_older_policy_ends_after_the_steps_of_the_embodiment(make_bundle) -> None:
    bench = Bench()
    bench.drive.take_over(PolicyRunner(make_bundle()))
    assert {bench.see().state for _ in range(280)} == {State.DRIVING}
    assert bench.see().state is State.DONE


@pytest.mark.parametrize('simulated', [True, False])
def test_a_clock_that_goes_back_wakes_a_simulated_robot_alone(make_bundle, simulated) -> None:
    bench = Bench(robot=dataclasses.replace(ROBOT, use_sim_time=simulated))
    bench.drive.take_over(PolicyRunner(make_bundle(attempt_steps=1)))
    for _ in range(3):
        bench.see()
    assert bench.drive.state is State.DONE
    bench.offset = -50.0
    assert bench.see().state is (State.DRIVING if simulated else State.DONE)


def test_a_policy_that_is_to_drive_on_says_when_its_episode_was_over(make_bundle) -> None:
    bench = Bench(drive_on=True)
    bench.drive.take_over(PolicyRunner(make_bundle(action=0.25, attempt_steps=2)))
    last = [bench.see() for _ in range(9)][-1]
    assert (last.state, last.command.tolist()) == (State.DRIVING, [0.5] * 9)
    assert last.reason == 'its 2 steps, 0.3 s, are over; it keeps driving'
    assert bench.drive.driver.steps == 5


def test_a_policy_ends_when_it_has_seen_its_goal_for_a_while(make_bundle, goal_bytes) -> None:
    bench = Bench()
    bench.drive.take_over(PolicyRunner(make_bundle(graphs={'goal.onnx': goal_bytes})))
    away, there = np.array([1, 1, 1, 1]), np.array([0, 0, 0, 0])
    for _ in range(14):
        assert bench.see(there).state is State.DRIVING
    assert bench.see(away).state is State.DRIVING  # so that it has to be seen anew
    states = [bench.see(there).state for _ in range(18)]
    assert states == [State.DRIVING] * 15 + [State.DONE] * 3
    assert bench.drive.reason == 'the goal has been seen for 1.3 s'


def test_a_simulator_that_is_reset_while_the_gate_is_closed_begins_an_episode(make_bundle) -> None:
    bench = Bench()
    bench.drive.take_over(PolicyRunner(make_bundle(attempt_steps=1)))
    for _ in range(3):
        bench.see()
    bench.drive.gate = STOPPED
    bench.offset = -50.0
    assert bench.see().state is State.DONE
    bench.drive.gate = FORWARDING
    assert bench.see().state is State.DRIVING
