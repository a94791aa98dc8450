"""Intervals of mean scores."""

from __future__ import annotations

import numpy as np
import pytest

from genrl_ros.evaluation.interval import interval


def test_shares_are_never_surer_than_their_count() -> None:
    low, high = interval([[1.0] * 20])
    assert low == pytest.approx(0.839, abs=1e-3) and high == 1.0
    assert interval([[1.0] * 200])[0] > low


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    """Of scores that vary between seeds by 0.1 and between episodes by 0.1, twelve seeds."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(60):
        seeds = 0.5 + 0.1 * rng.standard_normal((12, 1))
        low, high = interval((seeds + 0.1 * rng.standard_normal((12, 10))).tolist())
        covered += low < 0.5 < high
    assert 48 <= covered <= 60


def test_seeds_that_differ_make_it_wider() -> None:
    episodes = np.linspace(0.4, 0.6, 20)
    same = interval([episodes.tolist()] * 3)
    differ = interval([(episodes + shift).tolist() for shift in (-0.3, 0.0, 0.3)])
    assert np.ptp(differ) > 5 * np.ptp(same)


def test_no_scores_have_no_interval() -> None:
    for none in ([], [[]]):
        with pytest.raises(ValueError, match='score of each'):
            interval(none)
