"""The safety filter, by property: whatever a policy says, no limit is broken."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrl_ros.serving.robot.embodiment import Channel, Limits
from genrl_ros.serving.safety.filter import (
    FRESH,
    FUTURE,
    JUMPED,
    OLD,
    OUT_OF_ORDER,
    REPEATED,
    InputWatch,
    SafetyFilter,
    StuckWatch,
    TickWatch,
)
from genrl_ros.serving.safety.limits import Limiter

PERIOD = 0.08
ROUNDING = 1e-6


def make_channel(quantity: str, reaction: str = '', **limits: object) -> Channel:
    safe = {'velocity': 'zero', 'position': 'hold'}[quantity]
    return Channel(
        unit='rad',
        scale=1.0,
        reaction=reaction or safe,
        quantity=quantity,
        limits=Limits(**limits),
    )


limit = st.one_of(st.none(), st.floats(0.05, 100.0))
channels = st.builds(
    lambda quantity, low, room, velocity, acceleration, jerk: make_channel(
        quantity,
        position=(low, low + room),
        velocity=velocity,
        acceleration=acceleration,
        jerk=jerk,
    ),
    st.sampled_from(['velocity', 'position']),
    st.floats(-3.0, 0.0),
    st.floats(0.5, 6.0),
    limit,
    limit,
    limit,
)


class Plant:
    """Channels that do exactly as they are told, and what was ever worst about the commands."""

    def __init__(self, channels: list[Channel], copies: int = 1) -> None:
        self.channels = [channel for channel in channels for _ in range(copies)]
        self.by_position = np.array([c.quantity == 'position' for c in self.channels])
        self.low = np.array([c.limits.position[0] for c in self.channels])
        self.high = np.array([c.limits.position[1] for c in self.channels])
        self.limits = [
            np.array([getattr(c.limits, name) or np.inf for c in self.channels])
            for name in ('velocity', 'acceleration', 'jerk')
        ]
        self.position = (self.low + self.high) / 2
        self.rates = [np.zeros(len(self.channels))] * 3
        self.violations = 0

    def obey(self, command: np.ndarray) -> None:
        """Count the values of a command that break a limit."""
        velocity = np.where(self.by_position, (command - self.position) / PERIOD, command)
        acceleration = (velocity - self.rates[0]) / PERIOD
        jerk = (acceleration - self.rates[1]) / PERIOD
        self.position = np.where(self.by_position, command, self.position + velocity * PERIOD)
        self.rates = [velocity, acceleration, jerk]
        bad = (self.position < self.low - ROUNDING) | (self.position > self.high + ROUNDING)
        for rate, limit in zip(self.rates, self.limits, strict=True):
            bad |= ~(np.abs(rate) <= limit * (1 + ROUNDING) + ROUNDING)
        self.violations += int(bad.sum())


def wild(rng: np.random.Generator, size: int) -> np.ndarray:
    """What a policy may say at its worst: of any size, infinite, or no number at all."""
    values = rng.normal(size=size) * 10.0 ** rng.uniform(-3, 9)
    odd = rng.random(size) < 0.002
    values[odd] = rng.choice([np.nan, np.inf, -np.inf, 1e308], odd.sum())
    return values


def fuzz(channels: list[Channel], copies: int, commands: int, seed: int) -> Plant:
    rng = np.random.default_rng(seed)
    plant = Plant(channels, copies)
    safety = SafetyFilter(plant.channels, PERIOD)
    safety.start(plant.position, np.zeros(len(plant.channels)))
    wanted = wild(rng, len(plant.channels))
    for _ in range(commands):
        if rng.random() < 0.3:
            wanted = wild(rng, len(plant.channels))
        if rng.random() < 0.02:
            plant.obey(safety.react(plant.position))
        else:
            plant.obey(safety.follow(wanted, plant.position))
    return plant


@settings(max_examples=25, deadline=None)
@given(st.lists(channels, min_size=1, max_size=5), st.integers(0, 2**32))
def test_no_command_breaks_a_limit(channels, seed) -> None:
    assert fuzz(channels, 1, 60, seed).violations == 0


KITCHEN = make_channel('velocity', position=(-2.9, 2.9), velocity=2.0, acceleration=50.0)
SLOW = make_channel('velocity', position=(-1, 1), velocity=1.0, acceleration=5.0, jerk=40.0)
PLACED = make_channel('position', position=(0, 0.1), velocity=0.1, acceleration=1.0, jerk=20.0)


def test_a_hundred_thousand_fuzzed_outputs_break_no_limit() -> None:
    """500 robots of three joints each, for 200 periods."""
    plant = fuzz([KITCHEN, SLOW, PLACED], copies=500, commands=200, seed=7)
    assert plant.violations == 0


def test_the_plant_of_these_tests_can_see_violations() -> None:
    plant = Plant([SLOW])
    plant.obey(np.array([0.3]))
    assert plant.violations == 1
    plant = Plant([KITCHEN])
    for _ in range(20):
        plant.obey(np.array([2.0]))
    assert plant.violations > 0


@settings(max_examples=25, deadline=None)
@given(channels, st.integers(0, 2**32))
def test_the_reaction_brings_every_channel_to_rest_within_its_limits(channel, seed) -> None:
    rng = np.random.default_rng(seed)
    plant = Plant([channel])
    limiter = Limiter([channel], PERIOD)
    limiter.start(plant.position)
    for _ in range(10):
        plant.obey(limiter.follow(rng.normal(size=1) * 10, plant.position).command)
    for _ in range(10_000):
        if limiter.at_rest:
            break
        plant.obey(limiter.brake(plant.position).command)
    assert limiter.at_rest
    assert plant.violations == 0


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(-2.0, 2.0), min_size=1, max_size=30),
)
def test_a_command_within_the_limits_passes_unchanged(values) -> None:
    safety = SafetyFilter([KITCHEN], PERIOD)
    safety.start(np.zeros(1), np.zeros(1))
    for value in values:
        assert safety.follow(np.array([value]), np.zeros(1))[0] == pytest.approx(value, abs=1e-12)
    assert safety.counts['limited'] == 0


def test_every_change_is_counted_once_and_by_cause() -> None:
    safety = SafetyFilter([KITCHEN], PERIOD)
    safety.start(np.zeros(1), np.zeros(1))
    safety.follow(np.array([1.0]), np.zeros(1))
    safety.follow(np.array([9.0]), np.zeros(1))
    safety.follow(np.array([np.nan]), np.zeros(1))
    assert safety.counts == {
        'commands': 2,
        'limited': 1,
        'velocity': 1,
        'not finite': 1,
        'reactions': 1,
    }


def test_a_joint_that_is_outside_its_limits_may_come_back_but_not_go_further() -> None:
    limiter = Limiter([KITCHEN], PERIOD)
    outside = np.array([3.0])
    limiter.start(outside)
    assert limiter.follow(np.array([1.0]), outside).command[0] == pytest.approx(0.0)
    assert limiter.follow(np.array([-1.0]), outside).command[0] == pytest.approx(-1.0)


@pytest.mark.parametrize('quantity', ['velocity', 'position'])
def test_an_unknown_position_is_within_no_limits(quantity) -> None:
    channel = make_channel(quantity, position=(-1.0, 1.0), velocity=2.0)
    safety = SafetyFilter([channel], PERIOD)
    safety.start(np.array([np.nan]), np.zeros(1))
    sent = safety.follow(np.array([0.5]), np.array([np.nan]))
    assert sent[0] == 0.0 if quantity == 'velocity' else np.isnan(sent[0])  # nan: nothing is sent
    assert safety.counts['position'] == 1
    free = SafetyFilter([make_channel('velocity', velocity=2.0)], PERIOD)
    free.start(np.array([np.nan]), np.zeros(1))
    assert free.follow(np.array([0.5]), np.array([np.nan]))[0] == 0.5


@pytest.mark.parametrize('age', [1, 2, 3, 5])
def test_old_joint_states_do_not_lead_beyond_a_position_limit(age) -> None:
    channel = make_channel('velocity', position=(-1.0, 1.0), velocity=2.0, acceleration=5.0)
    safety, position, past = SafetyFilter([channel], PERIOD), np.zeros(1), [np.zeros(1)] * age
    safety.start(position, np.zeros(1))
    for _ in range(100):
        past.append(position)
        velocity = safety.follow(np.array([2.0]), past[-1 - age], age_s=age * PERIOD)
        position = position + velocity * PERIOD
        assert position[0] <= 1.0 + 1e-6
    assert position[0] > 0.8


def test_a_policy_that_starts_takes_over_bit_by_bit_from_the_measured_motion() -> None:
    safety = SafetyFilter([KITCHEN], PERIOD, blend_s=4 * PERIOD)
    safety.start(np.zeros(1), np.array([1.0]))
    sent = [safety.follow(np.array([-1.0]), np.zeros(1))[0] for _ in range(5)]
    assert sent == pytest.approx([0.5, 0.0, -0.5, -1.0, -1.0])


def test_a_position_policy_starts_from_where_the_robot_is() -> None:
    channel = make_channel('position', position=(-2.0, 2.0), velocity=1.0)
    safety = SafetyFilter([channel], PERIOD)
    safety.start(np.array([0.5]), np.zeros(1))
    assert safety.follow(np.array([-2.0]), np.array([0.5]))[0] == pytest.approx(0.5 - PERIOD)


def test_reactions_are_what_each_channel_declares() -> None:
    channels = [
        make_channel('velocity', velocity=2.0),
        make_channel('velocity', 'none', velocity=2.0),
        make_channel('position', position=(0.0, 1.0)),
    ]
    safety = SafetyFilter(channels, PERIOD)
    safety.start(np.array([0.0, 0.0, 0.4]), np.zeros(3))
    safety.follow(np.array([1.0, -1.0, 0.4]), np.zeros(3))
    assert safety.react().tolist() == [0.0, -1.0, 0.4]


SECOND = 1_000_000_000


@pytest.fixture
def watch() -> InputWatch:
    return InputWatch('latent', max_age_s=0.16, ahead_s=0.08, jump_s=0.16)


def test_stamps_are_judged_and_counted(watch) -> None:
    now = 100 * SECOND
    assert watch.see(now, now, 0.0) == FRESH
    assert watch.see(now, now, 0.01) == REPEATED
    assert watch.see(now - SECOND // 10, now, 0.02) == OUT_OF_ORDER
    assert watch.see(now + SECOND, now, 0.03) == FUTURE
    assert watch.see(now - SECOND, now, 0.04) == OLD
    assert watch.see(now - SECOND, now - SECOND, 0.05) == JUMPED
    assert watch.see(now - SECOND + 1, now - SECOND, 0.06) == FRESH
    assert set(watch.counts.values()) == {1, 2}
    assert watch.counts[FRESH] == 2


def test_only_fresh_messages_keep_an_input_alive(watch) -> None:
    assert 'nothing yet on latent' in watch.stale(0.0)
    watch.see(SECOND, SECOND, 10.0)
    assert watch.stale(10.15) == ''
    watch.see(SECOND, SECOND, 10.15)  # repeated
    watch.see(9 * SECOND, SECOND, 10.15)  # future
    assert 'nothing fresh on latent for 0.16 s' in watch.stale(10.17)


@given(st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=40))
def test_accepted_stamps_never_go_back_by_a_little(stamps) -> None:
    watch = InputWatch('latent', max_age_s=1e9, ahead_s=1e9, jump_s=0.16)
    last = None
    for stamp in stamps:
        verdict = watch.see(stamp, stamp, 0.0)
        if verdict in (FRESH, JUMPED):
            assert last is None or stamp > last or last - stamp > 0.16e9
            last = stamp
    assert sum(watch.counts.values()) == len(stamps)


def test_a_picture_that_never_changes_is_a_stuck_camera() -> None:
    watch, picture = StuckWatch(0.5), np.zeros((3, 4, 4), np.uint8)
    assert not watch.see(picture, 0.0)
    assert not watch.see(picture.copy(), 0.5)
    assert watch.see(picture.copy(), 0.51)
    assert not watch.see(picture + 1, 0.6)
    assert not StuckWatch(0.0).see(picture, 1e9)


def test_ticks_that_come_late_are_counted() -> None:
    watch = TickWatch(0.1)
    assert watch.tick(5.0) == 0.0
    for now in (5.1, 5.2, 5.36, 5.4):
        watch.tick(now)
    assert (watch.ticks, watch.overruns) == (5, 1)
    assert watch.percentile(100) == pytest.approx(0.16)
