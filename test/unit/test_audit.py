"""The audit of rewards: what it says of a reward that knows success, and of one that does not."""

import numpy as np
import pytest

from genrl_ros.bench.audit import judge


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
