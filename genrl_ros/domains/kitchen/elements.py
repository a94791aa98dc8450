"""The movable things of the kitchen, and where each should go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Element:
    """A movable thing: where it is in qpos, where it should go, how near is near enough.

    Attributes:
        index: its positions in qpos (rad or m).
        goal: where they should be.
        threshold: L2 distance to the goal below which it is there.
        main: the position in qpos that shows best how far it is.
        unit: of that position.
    """

    index: slice
    goal: tuple[float, ...]
    threshold: float
    main: int
    unit: str

    def distance(self, qpos: npt.NDArray[np.floating]) -> float:
        """L2 distance of its positions in `qpos` `(30,)` to their goal."""
        return float(np.linalg.norm(qpos[self.index] - self.goal))


# Indices and goals of the paper's kitchen; thresholds of its released code since November 2024.
ELEMENTS = {
    'bottom_burner': Element(slice(11, 13), (-0.88, -0.01), 0.5, 11, 'rad'),
    'top_burner': Element(slice(15, 17), (-0.92, -0.01), 0.5, 15, 'rad'),
    'light': Element(slice(17, 19), (-0.69, -0.05), 0.5, 17, 'rad'),
    'slide': Element(slice(19, 20), (0.37,), 0.2, 19, 'm'),
    'hinge': Element(slice(20, 22), (0.0, 1.45), 0.3, 21, 'rad'),
    'microwave': Element(slice(22, 23), (-0.75,), 0.25, 22, 'rad'),
    'kettle': Element(slice(23, 30), (-0.23, 0.75, 1.62, 0.99, 0.0, 0.0, -0.06), 0.3, 24, 'm'),
}
