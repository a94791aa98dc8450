"""A loss that explodes is noticed, and one that varies is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrl_ros.training.engine.guard import EXPLODED, REMEMBERED, Guard

numbers = st.floats(-100, 100)


@settings(max_examples=50, deadline=None)
@given(level=numbers, spread=st.floats(0.01, 10), seed=st.integers(0, 9))
def test_a_loss_that_varies_is_no_explosion_but_one_that_leaps_is(
    level: float, spread: float, seed: int
) -> None:
    guard = Guard()
    rng = np.random.default_rng(seed)
    for loss in rng.normal(level, spread, 2 * REMEMBERED):
        guard.check(float(loss))
    with pytest.raises(FloatingPointError, match='exploded'):
        guard.check(level + 2 * EXPLODED * (abs(level) + 4 * spread))
