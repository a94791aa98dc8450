"""How an episode of an agent goes: a snapshot, with noise, or disturbed by bursts of others."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genrl_ros.domains.snapshots import SnapshotError, StateActor, read_snapshots
from genrl_ros.system.arrays import FloatArray

TASK_SHARE = 0.6
"""Of episodes, of collectors that learn tasks; the others are explorers' (facts 6.4)."""
MAX_NOISE = 0.5
"""Largest standard deviation of noise on actions."""
GAP, BURST, HELD = 60, (5, 25), (1, 8)
"""Mean agent steps between bursts, how long one is, and how long a random action is held in it."""


@dataclass(frozen=True)
class AgentScript:
    """The actions of one episode."""

    kind: str
    actions: Iterator[npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Agents:
    """Draws the scripts of episodes that agents make.

    Attributes:
        observe: what the agents see of the physics.
        files: the snapshots of each collector.
    """

    observe: Callable[[Any], FloatArray]
    files: tuple[Path, ...]

    def __call__(self, physics: Any, rng: np.random.Generator) -> AgentScript:
        """The script of an episode.

        A third of them draw actions as the policy learned to, a third put noise on its modes, and
        a third are interrupted by bursts: random actions, or another policy. So what follows a
        mistake is in the data, too.

        Raises:
            SnapshotError: if the snapshots cannot be read.
        """
        groups = _read(self.files)
        tasks = [name for name in groups if name not in EXPLORERS]
        explorers = [name for name in groups if name in EXPLORERS]
        pool = tasks if not explorers or (tasks and rng.random() < TASK_SHARE) else explorers
        name = pool[rng.integers(len(pool))]
        actor = groups[name][rng.integers(len(groups[name]))]
        way = rng.integers(3)
        if way == 0:
            return AgentScript(name, self._drawn(physics, actor, rng))
        if way == 1:
            return AgentScript(f'{name} noisy', self._noisy(physics, actor, rng))
        others = [each for group in groups.values() for each in group]
        return AgentScript(f'{name} bursts', self._bursts(physics, actor, others, rng))

    def _drawn(
        self, physics: Any, actor: StateActor, rng: np.random.Generator
    ) -> Iterator[npt.NDArray[np.float64]]:
        while True:
            yield actor.act(self.observe(physics), rng).astype(np.float64)

    def _noisy(
        self, physics: Any, actor: StateActor, rng: np.random.Generator
    ) -> Iterator[npt.NDArray[np.float64]]:
        noise = rng.uniform(0.0, MAX_NOISE)
        while True:
            action = actor.act(self.observe(physics))
            yield action + noise * rng.standard_normal(len(action))

    def _bursts(
        self,
        physics: Any,
        actor: StateActor,
        others: list[StateActor],
        rng: np.random.Generator,
    ) -> Iterator[npt.NDArray[np.float64]]:
        while True:
            for _ in range(1 + rng.geometric(1 / GAP)):
                yield actor.act(self.observe(physics), rng).astype(np.float64)
            steps = int(rng.integers(*BURST))
            if rng.random() < 0.5:
                other = others[rng.integers(len(others))]
                for _ in range(steps):
                    yield other.act(self.observe(physics), rng).astype(np.float64)
            else:
                size = len(actor.act(self.observe(physics)))
                while steps > 0:
                    action, held = rng.uniform(-1, 1, size), int(rng.integers(*HELD))
                    steps -= held
                    yield from [action] * held


EXPLORERS = ('poses', 'motions')


@functools.cache
def _read(files: tuple[Path, ...]) -> dict[str, list[StateActor]]:
    """The policies of files, by what they learn.

    Raises:
        SnapshotError: if there are none, or they cannot be read.
    """
    groups: dict[str, list[StateActor]] = {}
    for file in files:
        for actor in read_snapshots(file):
            groups.setdefault(actor.label.learns, []).append(actor)
    if not groups:
        raise SnapshotError(
            'there are no snapshots of collectors: `genrl train-collector` makes them'
        )
    return groups
