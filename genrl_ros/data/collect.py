"""Runs episodes in parallel, each by a script of its own, and stores them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from genrl_ros.data.store.episode_file import Episode, EpisodeError, write_episode
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.domains.environment import Environment
from genrl_ros.system.arrays import FloatArray
from genrl_ros.system.pool import WorkerPool


class Script(Protocol):
    """A plan for an episode: its kind, and endless actions computed from the live simulator."""

    @property
    def kind(self) -> str:
        """What kind of behaviour it is."""
        ...

    @property
    def actions(self) -> Iterator[npt.NDArray[np.float64]]:
        """Actions `(A,)`."""
        ...


Draw = Callable[[Any, np.random.Generator], Script]
"""Draws the script of an episode, given the physics and a random generator."""


@dataclass(frozen=True)
class EpisodeRecipe:
    """How episodes are made; importable functions, since workers are separate processes.

    Attributes:
        make_environment: makes the simulator, once a worker.
        draw: draws the script of an episode.
        episode_steps: agent steps of an episode.
        series: names its episodes, and draws their seeds, apart from others of the same dataset.
    """

    make_environment: Callable[[], Environment]
    draw: Draw
    episode_steps: int
    series: str = ''


def collect(
    store: EpisodeStore, recipe: EpisodeRecipe, frames: int, seed: int, workers: int
) -> Generator[str, None, None]:
    """Add episodes until a series has at least `frames` frames, and mend those that are torn.

    Episode i of a series depends on `seed` and i alone: not on the number of workers, nor on
    whether the collection was interrupted.

    Args:
        store: where to.
        recipe: how.
        frames: frames wanted of the series in all.
        seed: seed of the dataset.
        workers: processes.

    Yields:
        The name of each episode, once it is in the manifest.

    Raises:
        OSError: if a simulator's process ends before its episode.
    """
    count = -(-frames // (recipe.episode_steps + 1))
    todo = []
    parted = [name.rpartition('-') for name in store.episode_ids]
    mine = [end for series, _, end in parted if series == recipe.series and end.isdecimal()]
    beyond = [int(end) for end in mine if int(end) >= count]
    torn = [index for index in beyond if not store.has(episode_name(index, recipe.series))]
    for index in (*range(count), *torn):
        name = episode_name(index, recipe.series)
        if _finished(store, name):
            yield name
        else:
            todo.append(index)
    with WorkerPool(workers, 'a simulator', _start_worker, recipe) as pool:
        jobs: dict[Future[None], str] = {}
        for index in todo:
            name = episode_name(index, recipe.series)
            jobs[pool.submit(_work, store.episode_path(name), seed, index)] = name
        while jobs:
            done, _ = wait(jobs, return_when=FIRST_COMPLETED)
            for job in done:
                job.result()
                name = jobs.pop(job)
                store.register(name)
                yield name


def episode_name(index: int, series: str = '') -> str:
    """Id of the i-th episode of a series."""
    return f'{series}-{index:06d}' if series else f'{index:06d}'


def run_episode(environment: Environment, recipe: EpisodeRecipe, seed: int, index: int) -> Episode:
    """Make the i-th episode of a series."""
    apart = (int.from_bytes(recipe.series.encode()),) if recipe.series else ()
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(*apart, index)))
    physics, action_dim = environment.physics, environment.domain.robot.action_dim
    images, states = [environment.reset(int(rng.integers(2**31)))], [physics.state()]
    script = recipe.draw(physics, rng)
    actions: list[FloatArray] = [np.zeros(action_dim, np.float32)]
    for _ in range(recipe.episode_steps):
        action = np.clip(next(script.actions), -1.0, 1.0).astype(np.float32)
        images.append(environment.step(action).image)
        states.append(physics.state())
        actions.append(action)
    return Episode(
        image=np.stack(images),
        action=np.stack(actions),
        state=np.stack(states).astype(np.float32),
        kind=script.kind,
        seed=f'{seed}/{recipe.series}/{index}' if recipe.series else f'{seed}/{index}',
    )


def _finished(store: EpisodeStore, name: str) -> bool:
    """Whether an episode is stored; one whose file is there, but not its entry, gets it."""
    if store.has(name):
        return True
    try:
        store.register(name)
    except EpisodeError:
        return False
    return True


_worker: tuple[Environment, EpisodeRecipe] | None = None


def _start_worker(recipe: EpisodeRecipe) -> None:
    global _worker
    _worker = recipe.make_environment(), recipe


def _work(path: Path, seed: int, index: int) -> None:
    assert _worker is not None
    environment, recipe = _worker
    write_episode(path, run_episode(environment, recipe, seed, index))
