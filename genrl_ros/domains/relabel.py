"""What recorded states would have been rewarded with, by any task of their domain."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from genrl_ros.domains import registry
from genrl_ros.domains.base import Domain
from genrl_ros.system.arrays import FloatArray


def rewards_of(
    domain: Domain, states: npt.NDArray[np.floating], tasks: Sequence[str]
) -> FloatArray:
    """Rewards `(..., R)` in [0, 1] of recorded states `(..., Q)`.

    To measure with, and never to train a world model: a robot has no such states.

    Args:
        domain: whose simulator the states are of.
        states: as `Physics.state` told them.
        tasks: names of R tasks.

    Raises:
        ValueError: if the domain has no such task.
    """
    logics = [registry.task_logic(domain, task) for task in tasks]
    flat = states.reshape(-1, states.shape[-1])
    rewards = np.empty((len(flat), len(tasks)), np.float32)
    with contextlib.closing(registry.make_physics(domain)) as physics:
        for row, state in zip(rewards, flat, strict=True):
            physics.restore(state)
            row[:] = [logic.reward(physics) for logic in logics]
    return rewards.reshape(*states.shape[:-1], len(tasks))
