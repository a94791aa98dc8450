"""How policies learn from a simulator's state, for `genrl collect` to make a dataset with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from genrl_ros.config.check import check

Drive = Literal['tasks', 'poses', 'motions']
"""What a collector learns from: the seen tasks' rewards, or the novelty of poses, or of poses
together with velocities."""


@dataclass(frozen=True)
class CollectorConfig:
    """Soft actor-critic with normalised observations and LayerNorm (Haarnoja et al., 2018).

    A collector of tasks learns one after the other, from easy to hard, with the same networks:
    what it did before is rewarded anew for the next task.
    """

    task_steps: int = 25_000
    """Agent steps for each seen task but the last; one update a step."""
    last_task_steps: int = 50_000
    """Agent steps for the last one, the hardest."""
    explorer_steps: int = 40_000
    """Agent steps of an explorer."""
    random_steps: int = 1_000
    """Agent steps of random actions at the beginning."""
    snapshots: int = 8
    """Policies kept of each task and of each explorer, evenly spread over its learning."""
    units: int = 128
    """Width of the two hidden layers of actor and critics."""
    batch: int = 128
    """Transitions an update."""
    lr: float = 5e-4
    """Learning rate of actor, critics and temperature."""
    gamma: float = 0.98
    """Discount a step."""
    tau: float = 0.01
    """Share of the critics that an update moves into the target critics."""

    def __post_init__(self) -> None:
        for name in (
            'task_steps',
            'last_task_steps',
            'explorer_steps',
            'snapshots',
            'units',
            'batch',
        ):
            check(getattr(self, name) > 0, f'collector.{name} must be positive')
        check(self.random_steps >= self.batch, 'collector.random_steps must be at least a batch')
        check(self.lr > 0, 'collector.lr must be positive')
        check(0 < self.gamma < 1, 'collector.gamma must be in (0, 1)')
        check(0 < self.tau <= 1, 'collector.tau must be in (0, 1]')
