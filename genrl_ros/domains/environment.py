"""Physics, a task and a clock together: what a policy is run in, and what scripts act in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from genrl_ros.domains.base import Domain, Physics, TaskLogic
from genrl_ros.system.arrays import Image


@dataclass(frozen=True)
class Step:
    """What an environment shows after an agent step.

    Attributes:
        image: `(3, 64, 64)` uint8 RGB.
        reward: sum of the task's rewards over the step's control steps; 0 without a task.
        success: whether the task is done now.
    """

    image: Image
    reward: float
    success: bool


@dataclass(frozen=True)
class Scene:
    """A domain's physics with every task of it, as a simulator shows it to whoever looks."""

    domain: Domain
    physics: Physics
    logics: Mapping[str, TaskLogic]


class Environment:
    """A domain's physics, stepped by actions of a policy.

    Args:
        domain: what it is.
        physics: its simulator.
        logic: the task that is rewarded; None where nothing is.
    """

    def __init__(self, domain: Domain, physics: Physics, logic: TaskLogic | None = None) -> None:
        self.domain, self.physics, self.logic = domain, physics, logic
        self._scale = np.array(domain.robot.action_scale)

    def reset(self, seed: int) -> Image:
        """Start an episode that repeats with its seed; its first image."""
        self.physics.reset(seed)
        if self.logic is not None:
            self.logic.initialise(self.physics, np.random.default_rng(seed))
        return self.physics.render()

    def step(self, action: npt.NDArray[np.floating[Any]]) -> Step:
        """Hold an action `(A,)`, clipped to [-1, 1], for `action_repeat` control steps."""
        command = np.clip(action, -1.0, 1.0) * self._scale.astype(action.dtype)
        reward = 0.0
        for _ in range(self.domain.robot.action_repeat):
            self.physics.control(command)
            if self.logic is not None:
                reward += self.logic.reward(self.physics)
        success = self.logic is not None and self.logic.success(self.physics)
        return Step(self.physics.render(), reward, success)

    def close(self) -> None:
        """Free the simulator."""
        self.physics.close()
