"""The audit of rewards: what it says of a reward that knows success, and of one that does not."""

import numpy as np
import pytest

from genrl_ros.evaluation.audit import judge


def test_a_reward_that_knows_success_is_told_from_one_that_does_not() -> None:
    true = np.random.default_rng(0).permutation(500) / 499
    found = judge(moving=2 * true - 1, frozen=np.full(500, -0.5), true=true)
    assert found['rank_correlation'] == pytest.approx(1)
    assert found['true_of_best'] == found['best_true'] == pytest.approx(1, abs=0.01)
    assert found['reward_of_good'] - found['reward_of_good_frozen'] > 1.4
    opposite = judge(moving=-true, frozen=-true, true=true)
    assert opposite['rank_correlation'] == pytest.approx(-1)
    assert opposite['true_of_best'] < 0.01 < opposite['best_true']
    assert opposite['reward_of_good'] == opposite['reward_of_good_frozen']
    assert found['regret'] == 0 and opposite['regret'] > 0.9


def test_good_clips_are_told_from_others_by_both_rewards() -> None:
    """Of 20 clips that are good, the reward calls 10 good, and 30 that are not."""
    true = np.repeat([0.9, 0.9, 0.1, 0.1], [10, 10, 30, 50])
    reward = np.repeat([0.5, 0.2, 0.5, 0.2], [10, 10, 30, 50])
    found = judge(reward, reward, true)
    assert (found['precision'], found['recall']) == (0.25, 0.5)


def test_what_is_never_done_has_no_correlation() -> None:
    found = judge(np.arange(50.0), np.arange(50.0), np.zeros(50))
    assert found['rank_correlation'] is None and found['recall'] is None
    assert (found['precision'], found['regret']) == (0, 0)


def test_equal_values_share_their_rank() -> None:
    """A reward of two steps that agrees with a true one of two steps agrees wholly."""
    true = np.repeat([0.0, 1.0], [60, 40])
    assert judge(true / 2, true, true)['rank_correlation'] == pytest.approx(1)
