from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrl_ros.serving.robot.embodiment import Channel, Limits
from genrl_ros.serving.safety.gate import (
    FORWARDING,
    PAUSED,
    REACTING,
    STOPPED,
    TICKS,
    WAITING,
    Gate,
)

PERIOD = 0.08
SECOND = 1_000_000_000
NAMES = ('a', 'b')


def make_gate(acceleration: float = 100.0) -> Gate:
    return Gate(
        [
            Channel('rad/s', 2.0, 'zero', name, name=name, limits=Limits(None, 2.0, acceleration))
            for name in NAMES
        ],
        PERIOD,
    )


@pytest.fixture
def gate() -> Gate:
    gate = make_gate()
    gate.release()
    return gate


def offer(gate: Gate, now: float, values: tuple = (1.0, -1.0), stamp=None) -> list | None:
    clock = round(now * SECOND)
    stamp_ns = clock if stamp is None else round(stamp * SECOND)
    sent = gate.offer(np.array(values, float), stamp_ns, clock, now)
    return None if sent is None else sent.tolist()


def test_it_starts_stopped_and_tells_the_robot_to_rest_until_it_is_released() -> None:
    gate = make_gate()
    assert offer(gate, 1.0) is None
    assert gate.tick(2.0).tolist() == [0.0, 0.0]  # whatever it did before: it may have moved
    assert gate.tick(3.0).tolist() == [0.0, 0.0]
    assert gate.state == STOPPED
    assert not gate.resume()
    assert gate.release()
    assert gate.state == WAITING
    assert gate.tick(3.0) is None
    assert offer(gate, 4.0) == [1.0, -1.0]
    assert gate.state == FORWARDING


def test_what_opens_it_at_the_start_ends_no_other_stop() -> None:
    gate = make_gate()
    assert gate.open()
    assert gate.state == WAITING
    assert not gate.open()
    gate = make_gate()
    gate.stop('the button')
    assert not gate.open()
    assert gate.state == STOPPED
    assert gate.release()


def test_a_stop_also_stops_what_goes_on_when_commands_end() -> None:
    belt = Channel('m/s', 1.0, 'none', 'belt', name='belt', limits=Limits(None, 1.0, 5.0))
    gate = Gate([belt], PERIOD)
    gate.open()
    for i in range(5):
        offer(gate, 1.0 + i * PERIOD, (1.0,))
    assert gate.tick(2.0).tolist() == [1.0]
    gate.stop('the button')
    speeds = [gate.tick(2.1 + i * PERIOD).tolist()[0] for i in range(4)]
    assert speeds == pytest.approx([0.6, 0.2, 0.0, 0.0], abs=1e-9)


@pytest.fixture
def positions() -> Gate:
    arm = Channel('rad', 1.0, 'hold', 'a', name='a', quantity='position',
                  limits=Limits((-3.0, 3.0), 1.0, 100.0))  # fmt: skip
    gate = Gate([arm], PERIOD)
    gate.open()
    return gate


def measure(gate: Gate, now: float, *position: float, stamp=None) -> None:
    clock = round(now * SECOND)
    stamp_ns = clock if stamp is None else round(stamp * SECOND)
    gate.measure(np.array(position), stamp_ns, clock, now)


def test_positions_begin_from_where_the_robot_is(positions) -> None:
    assert offer(positions, 1.0, (2.0,)) is None
    assert positions.counts['without joint states'] == 1
    assert positions.reason == 'nothing yet on the joint states'
    measure(positions, 1.1, 0.5)
    assert offer(positions, 1.1, (2.0,)) == pytest.approx([0.5 + PERIOD])
    assert offer(positions, 1.2, (2.0,)) == pytest.approx([0.5 + 2 * PERIOD])


def test_a_position_at_rest_is_not_sent_again(positions) -> None:
    measure(positions, 1.0, 0.0)
    offer(positions, 1.0, (0.5,))
    positions.stop('the button')
    ticks = [positions.tick(1.1 + i * PERIOD)[0] for i in range(4)]
    assert ticks[0] == pytest.approx(PERIOD)
    assert np.isnan(ticks[1:]).all()
    positions.release()
    assert offer(positions, 2.0, (2.0,)) is None  # it may have been moved by hand
    measure(positions, 2.1, -1.0)
    assert offer(positions, 2.1, (2.0,)) == pytest.approx([-1.0 + PERIOD])


def velocities(**limits: object) -> Gate:
    arm = Channel('rad/s', 2.0, 'zero', 'a', name='a', limits=Limits(velocity=2.0, **limits))
    gate = Gate([arm], PERIOD)
    gate.open()
    return gate


def drive(gate: Gate, want: Callable[[float], float | None], seconds: float = 3.0) -> float:
    """The farthest that a robot comes which does as it is told at once.

    Args:
        gate: forwards to the robot; looks every fourth of a period.
        want: what somebody asks for at a time; None: nothing.
        seconds: how long.
    """
    step, every, position, velocity, farthest = 0.005, round(PERIOD / TICKS / 0.005), 0.0, 0.0, 0.0
    for i in range(round(seconds / step)):
        now = 1.0 + i * step
        if i % 7 == 0:
            measure(gate, now, position, stamp=now)
        wanted = want(now)
        for sent in (
            None
            if wanted is None
            else gate.offer(np.array([wanted]), *[round(now * 1e9)] * 2, now),
            gate.tick(now) if i % every == 0 else None,
        ):
            velocity = velocity if sent is None else sent[0]
        position += velocity * step
        farthest = max(farthest, abs(position))
    return farthest


def hostile() -> list:
    rng = np.random.default_rng(0)
    return [
        lambda now: 2.0,
        lambda now: -1e9,
        lambda now: 2.0 if now < 1.45 else None,  # silence just before the limit
        lambda now: 2.0 if rng.random() < 0.02 else None,
        lambda now: float(rng.choice([-2.0, 2.0, 0.5])),
        lambda now: 2.0 * np.sin(now * 3) if rng.random() < 0.1 else None,
    ]


@pytest.mark.parametrize(
    'limits', [{}, {'acceleration': 5.0}, {'acceleration': 9.0, 'jerk': 99.0}]
)
@pytest.mark.parametrize('number', range(len(hostile())))
def test_nobody_drives_velocities_past_a_limit_of_position(limits, number) -> None:
    want = hostile()[number]
    assert drive(velocities(position=(-1.0, 1.0), **limits), want) <= 1.0 + 1e-9


def test_without_limits_of_position_the_same_robot_goes_far() -> None:
    assert drive(velocities(), hostile()[0]) > 5.0


def test_a_limit_of_position_can_be_reached() -> None:
    assert drive(velocities(position=(-1.0, 1.0), acceleration=5.0), hostile()[0]) > 0.95


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-3.0, 3.0), st.integers(1, 40)), min_size=1, max_size=20),
    st.sampled_from([{}, {'acceleration': 5.0}, {'acceleration': 9.0, 'jerk': 99.0}]),
)
def test_no_order_of_commands_and_silences_leads_past_a_limit(plan, limits) -> None:
    due = np.cumsum([0.005 * steps for _, steps in plan]) + 1.0

    def want(now: float) -> float | None:
        index = int(np.searchsorted(due, now - 1e-9))
        here = index < len(due) and abs(due[index] - now) < 1e-6
        return plan[index][0] if here else None

    assert drive(velocities(position=(-0.3, 0.3), **limits), want, due[-1]) <= 0.3 + 1e-9


def test_velocities_with_limits_of_position_do_not_pass_where_positions_are_unknown() -> None:
    gate = velocities(position=(-1.0, 1.0))
    assert offer(gate, 1.0, (1.0,)) is None
    assert (gate.state, gate.reason) == (WAITING, 'nothing yet on the joint states')
    measure(gate, 1.1, np.nan)
    assert offer(gate, 1.1, (1.0,)) is None
    assert gate.counts['joint states: not finite'] == 1
    measure(gate, 1.2, 0.0, stamp=0.5)  # says where it was long ago
    assert offer(gate, 1.2, (1.0,)) is None
    assert gate.counts['joint states: old stamp'] == 1
    assert gate.counts['without joint states'] == 3
    measure(gate, 1.3, 0.0)
    assert offer(gate, 1.3, (1.0,)) == [1.0]


def test_when_joint_states_end_the_robot_is_braked_whatever_is_commanded() -> None:
    gate = velocities(position=(-9.0, 9.0))
    measure(gate, 1.0, 0.0)
    sent = [offer(gate, 1.0 + i * PERIOD, (1.0,)) for i in range(4)]
    assert sent == [[1.0], [1.0], [1.0], None]
    assert gate.state == REACTING
    assert gate.reason == 'nothing fresh on the joint states for 0.20 s'
    assert gate.tick(1.0 + 3 * PERIOD).tolist() == [0.0]
    assert offer(gate, 1.0 + 4 * PERIOD, (1.0,)) is None
    measure(gate, 1.0 + 5 * PERIOD, 0.2)
    assert offer(gate, 1.0 + 5 * PERIOD, (1.0,)) == [1.0]
    assert gate.state == FORWARDING


def test_a_velocity_that_is_left_alone_is_braked_before_its_limit_of_position() -> None:
    belt = Channel('m/s', 1.0, 'none', 'b', name='b', limits=Limits((-1.0, 1.0), 1.0, 5.0))
    gate = Gate([belt], PERIOD)
    gate.open()
    assert drive(gate, lambda now: 1.0 if now < 1.4 else None) <= 1.0 + 1e-6


def test_without_commands_the_reaction_begins_after_two_periods_and_goes_on(gate) -> None:
    offer(gate, 1.0)
    assert gate.tick(1.0 + 2 * PERIOD) is None
    assert gate.tick(1.0 + 2 * PERIOD + 0.001).tolist() == [0.0, 0.0]
    assert gate.state == REACTING
    assert gate.tick(1.0 + 2 * PERIOD + 0.002) is None  # once a period
    assert gate.tick(1.0 + 3 * PERIOD + 0.002).tolist() == [0.0, 0.0]
    assert offer(gate, 2.0) == [1.0, -1.0]


def test_the_robot_is_braked_within_its_limits() -> None:
    gate = make_gate(acceleration=5.0)
    gate.release()
    now = 1.0
    for _ in range(5):
        offer(gate, now, (2.0, -2.0))
        now += PERIOD
    gate.stop('the button')
    speeds = [gate.tick(now + i * PERIOD).tolist()[0] for i in range(8)]
    assert speeds == pytest.approx([1.6, 1.2, 0.8, 0.4, 0.0, 0.0, 0.0, 0.0], abs=1e-9)


def test_a_flood_of_commands_does_not_speed_the_robot_up() -> None:
    gate = make_gate(acceleration=5.0)
    gate.release()
    sent = [offer(gate, 1.0 + i * 0.001, (2.0, -2.0)) for i in range(161)]
    assert sum(command is not None for command in sent) == 4  # two at once, two in two periods
    assert gate.counts['too many'] == 157


def test_a_stop_wins_over_everything_and_needs_its_release(gate) -> None:
    offer(gate, 1.0)
    gate.stop('the button')
    assert not gate.pause()
    assert not gate.resume()
    assert offer(gate, 1.05) is None
    assert gate.tick(1.1).tolist() == [0.0, 0.0]
    assert (gate.state, gate.reason) == (STOPPED, 'the button')
    assert gate.counts['refused while stopped'] == 1
    assert gate.release()
    assert not gate.release()
    assert offer(gate, 1.2) == [1.0, -1.0]


def test_it_can_bring_the_robot_to_rest_by_itself() -> None:
    gate = make_gate(acceleration=5.0)
    gate.release()
    assert list(gate.come_to_rest(1.0)) == []
    for i in range(5):
        offer(gate, 1.0 + i * PERIOD, (2.0, -2.0))
    speeds = [command[0] for command in gate.come_to_rest(2.0)]
    assert speeds == pytest.approx([1.6, 1.2, 0.8, 0.4, 0.0], abs=1e-9)


def test_a_slow_simulator_has_more_time_for_its_commands() -> None:
    gate = Gate(make_gate()._limiter.channels, PERIOD, real_time_factor=0.5)
    gate.release()
    offer(gate, 1.0)
    assert gate.tick(1.0 + 3.9 * PERIOD) is None
    assert gate.tick(1.0 + 4.1 * PERIOD) is not None


def test_a_release_while_it_brakes_does_not_let_it_run_on() -> None:
    gate = make_gate(acceleration=5.0)
    gate.release()
    for i in range(5):
        offer(gate, 1.0 + i * PERIOD, (2.0, -2.0))
    gate.stop('the button')
    gate.tick(2.0)
    gate.release()
    assert gate.tick(2.1)[0] == pytest.approx(1.2)


def test_a_pause_holds_until_it_is_resumed(gate) -> None:
    offer(gate, 1.0)
    assert gate.pause()
    assert not gate.release()
    assert offer(gate, 1.05) is None
    assert gate.tick(1.09).tolist() == [0.0, 0.0]
    gate.stop('the button')
    assert not gate.resume()
    assert gate.state == STOPPED
    gate.release()
    gate.pause()
    assert gate.state == PAUSED
    assert gate.resume()
    assert offer(gate, 1.3) == [1.0, -1.0]


def test_a_command_is_repeated_until_the_next_answer_is_due() -> None:
    gate = Gate(make_gate()._limiter.channels, PERIOD, commands_per_answer=3)
    gate.release()
    assert offer(gate, 1.0) == [1.0, -1.0]
    ticks = [1.0 + i * PERIOD / 4 for i in range(1, 36)]
    sent = [(now, gate.tick(now)) for now in ticks]
    repeats = [now for now, command in sent if command is not None and command[0] == 1.0]
    assert repeats == pytest.approx([1.0 + PERIOD, 1.0 + 2 * PERIOD])
    assert gate.counts['repeated'] == 2
    reacts = [now for now, command in sent if command is not None and command[0] == 0.0]
    assert reacts[0] == pytest.approx(1.0 + 6 * PERIOD + PERIOD / 4)  # two answers are missing
    assert offer(gate, 2.0, (0.5, 0.5)) == [0.5, 0.5]
    assert gate.tick(2.0 + PERIOD).tolist() == [0.5, 0.5]


def test_a_late_answer_takes_the_place_of_repeats_and_a_stop_ends_them() -> None:
    gate = Gate(make_gate()._limiter.channels, PERIOD, commands_per_answer=4)
    gate.release()
    offer(gate, 1.0)
    assert gate.tick(1.0 + PERIOD).tolist() == [1.0, -1.0]
    assert offer(gate, 1.0 + 1.5 * PERIOD, (0.5, 0.5)) == [0.5, 0.5]
    assert gate.tick(1.0 + 2 * PERIOD) is None
    assert gate.tick(1.0 + 2.5 * PERIOD).tolist() == [0.5, 0.5]
    gate.stop('the button')
    assert gate.tick(1.0 + 3.5 * PERIOD).tolist() == [0.0, 0.0]


def test_repeated_positions_go_in_equal_steps() -> None:
    arm = Channel('rad', 1.0, 'hold', 'a', name='a', quantity='position',
                  limits=Limits((-3.0, 3.0), 10.0))  # fmt: skip
    gate = Gate([arm], PERIOD, commands_per_answer=4)
    gate.open()
    measure(gate, 1.0, 0.5)
    sent = [offer(gate, 1.0, (0.9,))]
    for now in (1.0 + i * PERIOD for i in (1, 2, 3)):
        measure(gate, now, 0.5)
        sent.append(gate.tick(now).tolist())
    assert np.ravel(sent) == pytest.approx([0.6, 0.7, 0.8, 0.9])


def test_efforts_keep_their_limits_and_end_at_zero() -> None:
    limits = Limits(effort=2.0, effort_rate=10.0)
    gate = Gate([Channel('N m', 2.0, 'zero', 'a', name='a', limits=limits, quantity='effort')],
                PERIOD)  # fmt: skip
    gate.open()
    sent = [offer(gate, 1.0 + i * PERIOD, (9.0,)) for i in range(4)]
    assert np.ravel(sent) == pytest.approx([0.8, 1.6, 2.0, 2.0])
    assert gate.counts['limited'] == 4
    gate.stop('the button')
    ticks = [gate.tick(2.0 + i * PERIOD)[0] for i in range(4)]
    assert ticks == pytest.approx([1.2, 0.4, 0.0, 0.0], abs=1e-9)


def test_where_time_stops_the_robot_is_where_it_was() -> None:
    limits = Limits((-1.0, 1.0), 2.0)
    gate = Gate([Channel('rad/s', 2.0, 'stop_time', 'a', name='a', limits=limits)], PERIOD)
    gate.open()
    assert offer(gate, 1.0, (1.0,)) is None
    measure(gate, 1.0, 0.0)
    assert offer(gate, 9.0, (1.0,)) == [1.0]  # nobody told where it is: its time stood still


def test_where_time_stops_nothing_is_sent_but_what_the_policy_wants() -> None:
    limits = Limits(effort=2.0, effort_rate=10.0)
    leg = Channel('N m', 2.0, 'stop_time', 'a', name='a', limits=limits, quantity='effort')
    gate = Gate([leg], PERIOD)
    assert gate.tick(0.5) is None
    gate.open()
    assert [offer(gate, 1.0 + i * PERIOD, (2.0,))[0] for i in range(2)] == pytest.approx(
        [0.8, 1.6]
    )
    assert gate.tick(2.0) is None
    assert gate.state == REACTING
    assert offer(gate, 3.0, (2.0,)) == [2.0]  # it goes on from where time stood still
    gate.stop('the button')
    assert gate.tick(4.0) is None
    assert offer(gate, 4.1, (2.0,)) is None
    assert gate.state == STOPPED
    assert not list(gate.come_to_rest(1.0))


@pytest.mark.parametrize(
    ('changes', 'problem'),
    [
        ({'values': (np.nan, 0.0)}, 'not finite'),
        ({'values': (np.inf, 0.0)}, 'not finite'),
        ({'stamp': 0.5}, 'old stamp'),
        ({'stamp': 9.0}, 'stamp in the future'),
        ({'stamp': 0.99}, 'out of order'),
    ],
)
def test_what_must_not_pass_is_counted_and_does_not_keep_the_robot_going(
    gate, changes, problem
) -> None:
    offer(gate, 1.0)
    assert offer(gate, 1.05, **changes) is None
    assert gate.counts[problem] == 1
    assert gate.tick(1.0 + 2 * PERIOD + 0.01).tolist() == [0.0, 0.0]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(['offer', 'tick', 'stop', 'release', 'pause', 'resume']),
            st.floats(0.001, 0.3),
            st.floats(-1e9, 1e9),
        ),
        max_size=60,
    )
)
def test_in_any_order_of_events_nothing_passes_a_stop_and_no_limit_is_broken(events) -> None:
    gate, now, stopped, last = make_gate(acceleration=5.0), 1.0, True, 0.0
    for event, wait, value in events:
        now += wait
        sent = None
        if event == 'offer':
            clock = round(now * SECOND)
            sent = gate.offer(np.array([value, value]), clock, clock, now)
            assert sent is None or gate.state == FORWARDING
        elif event == 'tick':
            sent = gate.tick(now)
        elif event == 'stop':
            gate.stop('the button')
            stopped = True
        elif event == 'release':
            gate.release()
            stopped = False
        else:
            getattr(gate, event)()
        assert (gate.state == STOPPED) == stopped
        if sent is not None:
            assert abs(sent[0]) <= 2.0
            assert abs(sent[0] - last) <= 5.0 * PERIOD + 1e-9
            assert not stopped or abs(sent[0]) <= abs(last)
            last = sent[0]
