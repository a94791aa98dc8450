from __future__ import annotations

import numpy as np
import pytest

from genrl_ros.serving.policy.driver import Driver
from genrl_ros.serving.policy.runner import PolicyError, PolicyRunner

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


def drive(driver: Driver, *periods: float) -> list[list[float]]:
    """Observe at these periods, and send what the policy wants."""
    actions = [driver.observe(TOKENS, round(i * PERIOD)) for i in periods]
    return [driver.sent(action.astype(float)) or action.tolist() for action in actions]


def test_the_policy_acts_at_every_second_image_and_repeats_in_between(driver) -> None:
    for i in range(6):
        assert drive(driver, i) == [[0.25] * 9]
    assert driver.steps == 3
    assert driver.runner.told == [0.0, 0.25, 0.25]


def test_it_acts_at_every_image_where_images_are_as_slow_as_actions(make_bundle) -> None:
    driver = Driver(SpyRunner(make_bundle(action=0.25)), answer_dt_s=0.16)
    for stamp in (0.0, 1.7, 4.1, 6.0):  # a camera of another rate is never quite on time
        drive(driver, stamp)
    assert driver.steps == 4


def test_a_lost_image_does_not_shift_the_rhythm(driver) -> None:
    drive(driver, 0, 1, 3, 4, 5)
    assert driver.steps == 3  # at 0, at 3 for the lost 2, at 5


def test_a_clock_that_jumps_forward_changes_nothing(driver) -> None:
    drive(driver, 0, 45_000)
    assert (driver.runner.resets, driver.steps) == (0, 2)


def test_the_policy_is_told_what_was_really_sent(driver) -> None:
    driver.observe(TOKENS, 0)
    driver.sent(np.full(9, 0.25))
    driver.sent(np.zeros(9))
    driver.interrupt()
    driver.observe(TOKENS, PERIOD)
    assert driver.runner.told == [0.0, 0.125]
    assert driver.runner.resets == 0


def test_after_a_reset_nothing_was_done(driver) -> None:
    drive(driver, 0, 1)
    driver.reset()
    drive(driver, 2)
    assert driver.runner.told == [0.0, 0.0]


def test_a_policy_without_an_answer_leaves_no_action_behind(driver) -> None:
    drive(driver, 0)
    driver.runner.fails = True
    with pytest.raises(PolicyError):
        driver.observe(TOKENS, 2 * PERIOD)
    driver.sent(np.zeros(9))
    driver.runner.fails = False
    driver.observe(TOKENS, 3 * PERIOD)
    assert driver.runner.told == [0.0, 0.25, 0.0]
