"""When a task of the kitchen is done."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genrl_ros.domains.kitchen import DOMAIN
from genrl_ros.domains.kitchen.elements import ELEMENTS
from genrl_ros.domains.kitchen.physics import Kitchen


@dataclass(frozen=True)
class MoveElement:
    """The task to bring an element near its goal (facts 4.2)."""

    element: str

    def initialise(self, physics: Kitchen, rng: np.random.Generator) -> None:
        """Nothing: every episode starts from the same pose."""

    def reward(self, physics: Kitchen) -> float:
        """1 while the element is near its goal, 0 otherwise, as published."""
        return float(self.success(physics))

    def success(self, physics: Kitchen) -> bool:
        """Whether the element is nearer to its goal than its threshold."""
        return physics.distance(self.element) < ELEMENTS[self.element].threshold


def logic(task: str) -> MoveElement:
    """The logic of a task.

    Raises:
        ValueError: if the kitchen has no such task.
    """
    (element,) = DOMAIN.task(task).readings
    return MoveElement(element)
