"""How sure a mean score is, over learning seeds and episodes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

DRAWS = 2_000
LEVEL = 0.95
Z = 1.96
"""Half-width of that level in standard deviations."""


def interval(scores: Sequence[Sequence[float]]) -> tuple[float, float]:
    """The 95 % interval of the mean of scores, one sequence of episodes for each learning seed.

    Seeds and the episodes of each are drawn again with replacement (a nested bootstrap); with one
    seed it says nothing of others. Shares of successes are never surer than Wilson's interval of
    as many episodes, so that 20 of 20 is not certainty.

    Raises:
        ValueError: if there are no scores.
    """
    if not scores or not all(scores):
        raise ValueError('an interval needs a score of each learning seed')
    rng = np.random.default_rng(0)
    means = np.empty(DRAWS)
    for draw in range(DRAWS):
        chosen = rng.integers(len(scores), size=len(scores))
        means[draw] = np.mean(
            [np.mean(rng.choice(scores[seed], len(scores[seed]))) for seed in chosen]
        )
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    every = [score for each in scores for score in each]
    if set(every) <= {0.0, 1.0}:
        least, most = _wilson(sum(every), len(every))
        low, high = min(low, least), max(high, most)
    return float(low), float(high)


def _wilson(successes: float, count: int) -> tuple[float, float]:
    share = successes / count
    middle = share + Z**2 / (2 * count)
    half = Z * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    scale = 1 + Z**2 / count
    return (middle - half) / scale, (middle + half) / scale
