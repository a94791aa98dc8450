"""Episodes of policies that were learned in imagination: each exploit of the model, tried out."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genrl_ros.data.agents.script import AgentScript
from genrl_ros.data.store.replay import IMAGINED
from genrl_ros.serving.policy.bundle import load_bundle
from genrl_ros.serving.policy.runner import PolicyRunner

MAX_NOISE = 0.3
"""Largest standard deviation of noise on actions; every other episode has none."""


@dataclass(frozen=True)
class Policies:
    """Draws the scripts of episodes that learned policies make, from what the camera sees.

    Attributes:
        bundles: folders of the policies.
    """

    bundles: tuple[Path, ...]

    def __call__(self, physics: Any, rng: np.random.Generator) -> AgentScript:
        """The script of an episode.

        Raises:
            BundleError: if a policy cannot be loaded.
        """
        policy = _load(self.bundles[rng.integers(len(self.bundles))])
        noise = rng.uniform(0.0, MAX_NOISE) * rng.integers(2)
        kind = f'{IMAGINED}{policy.bundle.description.task_id}'
        return AgentScript(kind, self._actions(physics, policy, noise, rng))

    def _actions(
        self, physics: Any, policy: PolicyRunner, noise: float, rng: np.random.Generator
    ) -> Iterator[npt.NDArray[np.float64]]:
        policy.reset()
        action = np.zeros(policy.bundle.description.action_dim, np.float32)
        while True:
            action = policy.act(policy.encode(physics.render()), action)
            shaken = action + noise * rng.standard_normal(len(action))
            action = np.clip(shaken, -1.0, 1.0).astype(np.float32)
            yield action.astype(np.float64)


@functools.cache
def _load(bundle: Path) -> PolicyRunner:
    return PolicyRunner(load_bundle(bundle))
