from __future__ import annotations

import numpy as np
import pytest

from genrl_ros.serving.driver import Driver
from genrl_ros.serving.policy import PolicyError, PolicyRunner

TOKENS = np.zeros(4, np.int64)
PERIOD = 80_000_000


class SpyRunner(PolicyRunner):
    """Remembers which last actions it was told of, and when it was reset."""

    resets = 0
    fails = False

    def __init__(self, bundle) -> None:
        self.told: list[float] = []
        super().__init__(bundle)
        self.told.clear()

    def reset(self) -> None:
        self.resets += 1
        super().reset()

    def act(self, tokens, last_action) -> np.ndarray:
        self.told.append(float(last_action[0]))
        if self.fails:
            raise PolicyError('not finite')
        return super().act(tokens, last_action)


@pytest.fixture
def driver(make_bundle) -> Driver:
    driver = Driver(SpyRunner(make_bundle(action=0.25)))
    driver.runner.resets = 0
    return driver


def test_the_policy_acts_at_every_second_image_and_repeats_in_between(driver) -> None:
    commands = [driver.observe(TOKENS, i * PERIOD) for i in range(6)]
    assert [command.tolist() for command in commands] == [[0.5] * 9] * 6
    assert driver.steps == 3
    assert driver.runner.told == [0.0, 0.25, 0.25]


def test_a_lost_image_does_not_shift_the_rhythm(driver) -> None:
    for i in (0, 1, 3, 4, 5):
        driver.observe(TOKENS, i * PERIOD)
    assert driver.steps == 3  # at 0, at 3 for the lost 2, at 5


def test_late_and_repeated_images_are_dropped(driver) -> None:
    driver.observe(TOKENS, 10 * PERIOD)
    assert driver.observe(TOKENS, 10 * PERIOD) is None
    assert driver.observe(TOKENS, 9 * PERIOD) is None
    assert (driver.steps, driver.dropped, driver.runner.resets) == (1, 2, 0)


@pytest.mark.parametrize(('before', 'after'), [(100, 0), (1, 0), (100, 5), (3_600_000, 100)])
def test_a_clock_that_jumps_back_starts_an_episode(driver, before, after) -> None:
    driver.observe(TOKENS, before * PERIOD)
    assert driver.observe(TOKENS, after * PERIOD) is not None
    assert driver.runner.resets == 1
    assert driver.steps == 2


def test_a_clock_that_jumps_forward_changes_nothing(driver) -> None:
    driver.observe(TOKENS, 0)
    driver.observe(TOKENS, 45_000 * PERIOD)
    assert (driver.runner.resets, driver.steps) == (0, 2)


def test_after_a_hold_the_policy_knows_that_nothing_was_done(driver) -> None:
    driver.observe(TOKENS, 0)
    assert driver.hold().tolist() == [0.0] * 9
    driver.observe(TOKENS, PERIOD)
    assert driver.runner.told == [0.0, 0.0]
    assert driver.runner.resets == 0


def test_a_policy_without_an_answer_leaves_no_command_behind(driver) -> None:
    driver.observe(TOKENS, 0)
    driver.runner.fails = True
    with pytest.raises(PolicyError):
        driver.observe(TOKENS, 2 * PERIOD)
    driver.runner.fails = False
    driver.observe(TOKENS, 4 * PERIOD)
    assert driver.runner.told == [0.0, 0.25, 0.0]
