"""What a collector remembers: transitions, with the rewards of all tasks that it learns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from genrl_ros.system.arrays import FloatArray


class Batch(NamedTuple):
    """Transitions: `(B, O)` observations not normalised, `(B, A)` actions, `(B, R)` rewards."""

    observation: Tensor
    action: Tensor
    reward: Tensor
    following: Tensor


class Transitions:
    """All transitions so far, and the mean and spread of their observations.

    Args:
        capacity: how many there will be.
        observation_dim: size O of an observation.
        action_dim: channels A of an action.
        rewards: number R of tasks.
    """

    def __init__(self, capacity: int, observation_dim: int, action_dim: int, rewards: int) -> None:
        self.size = 0
        self.columns = {
            name: torch.zeros(capacity, width)
            for name, width in (
                ('observation', observation_dim),
                ('action', action_dim),
                ('reward', rewards),
                ('following', observation_dim),
            )
        }
        self._sum = np.zeros(observation_dim)
        self._squares = np.zeros(observation_dim)

    def add(
        self,
        observation: FloatArray,
        action: FloatArray,
        reward: FloatArray,
        following: FloatArray,
    ) -> None:
        """Remember a transition."""
        values = (observation, action, reward, following)
        for column, value in zip(self.columns.values(), values, strict=True):
            column[self.size] = torch.from_numpy(value)
        self.size += 1
        self._sum += observation
        self._squares += np.square(observation, dtype=np.float64)

    def sample(self, count: int) -> Batch:
        """Transitions drawn at random."""
        chosen = torch.randint(self.size, (count,))
        return Batch(*(column[chosen] for column in self.columns.values()))

    def normalizer(self) -> tuple[Tensor, Tensor]:
        """Mean and inverse spread `(O,)` of the observations."""
        mean = self._sum / max(1, self.size)
        variance = np.maximum(self._squares / max(1, self.size) - mean**2, 1e-4)
        return torch.from_numpy(mean).float(), torch.from_numpy(variance**-0.5).float()

    def state_dict(self) -> dict[str, Tensor]:
        """Everything remembered."""
        return {name: column[: self.size] for name, column in self.columns.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Remember what `state_dict` holds, and nothing else."""
        self.size = len(state['observation'])
        for name, column in self.columns.items():
            column[: self.size] = state[name]
        seen = state['observation'].double().numpy()
        self._sum, self._squares = seen.sum(0), np.square(seen).sum(0)
