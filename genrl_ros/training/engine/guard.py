"""Notices a training that goes wrong."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np

REMEMBERED = 100
EXPLODED = 100.0
ROLLBACKS = 3
"""How often a training goes back to the same checkpoint before it gives up."""


class Guard:
    """Compares each loss with the last hundred.

    An exploded loss is farther above their median than a hundred times the median's size and their
    spread together. Whatever is not finite is wrong at once.
    """

    def __init__(self) -> None:
        self._losses: deque[float] = deque(maxlen=REMEMBERED)

    def check(self, loss: float) -> None:
        """Look at the loss of an update before it is made.

        Raises:
            FloatingPointError: saying what is wrong with it.
        """
        if not math.isfinite(loss):
            raise FloatingPointError(f'the loss is {loss}')
        if len(self._losses) == REMEMBERED:
            low, median, high = np.quantile(self._losses, (0.1, 0.5, 0.9))
            if loss - median > EXPLODED * (abs(median) + high - low):
                raise FloatingPointError(f'the loss exploded from {median:.4g} to {loss:.4g}')
        self._losses.append(loss)

    def state(self) -> list[float]:
        """The losses that are remembered."""
        return list(self._losses)

    def load(self, losses: Sequence[float]) -> None:
        """Go on from `state`."""
        self._losses.clear()
        self._losses.extend(losses)
