"""Runs scripted episodes in parallel and stores them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from genrl_ros.data.store.episode_file import Episode, EpisodeError, write_episode
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.domains.base import Env
from genrl_ros.system.arrays import FloatArray
from genrl_ros.system.pool import WorkerPool


class Simulator(Env, Protocol):
    """An environment that also shows its full state."""

    @property
    def qpos(self) -> npt.NDArray[np.float64]:
        """All positions `(Q,)`."""
        ...


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


@dataclass(frozen=True)
class Recipe:
    """How episodes are made; importable functions, since workers are separate processes.

    Attributes:
        make_env: makes the simulator, once a worker.
        draw: draws the script of an episode from a random generator.
    """

    make_env: Callable[[], Simulator]
    draw: Callable[[Simulator, np.random.Generator], Script]


def collect(
    store: EpisodeStore, recipe: Recipe, frames: int, seed: int, workers: int
) -> Generator[str, None, None]:
    """Add episodes until the store holds at least `frames` frames, and mend those that are torn.

    Episode i depends on `seed` and i alone: not on the number of workers, nor on whether the
    collection was interrupted and taken up again.

    Args:
        store: where to.
        recipe: how.
        frames: frames wanted in all.
        seed: seed of the dataset.
        workers: processes.

    Yields:
        The name of each episode, once it is in the manifest.

    Raises:
        OSError: if a simulator's process ends before its episode.
    """
    count = -(-frames // (int(store.manifest['spec']['episode_steps']) + 1))
    todo = []
    beyond = [name for name in store.episode_ids if name.isdecimal() and int(name) >= count]
    torn = [int(name) for name in beyond if not store.has(name)]
    for index in (*range(count), *torn):
        name = episode_name(index)
        if _finished(store, name):
            yield name
        else:
            todo.append(index)
    with WorkerPool(workers, 'a simulator', _start_worker, recipe) as pool:
        jobs: dict[Future[None], str] = {}
        for index in todo:
            name = episode_name(index)
            jobs[pool.submit(_work, store.episode_path(name), seed, index)] = name
        while jobs:
            done, _ = wait(jobs, return_when=FIRST_COMPLETED)
            for job in done:
                job.result()
                name = jobs.pop(job)
                store.register(name)
                yield name


def episode_name(index: int) -> str:
    """Id of the i-th episode of a dataset."""
    return f'{index:06d}'


def run_episode(env: Simulator, recipe: Recipe, seed: int, index: int) -> Episode:
    """Make the i-th episode of a dataset."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
    first = env.reset(int(rng.integers(2**31)))
    script = recipe.draw(env, rng)
    images, states = [first.image], [env.qpos]
    actions: list[FloatArray] = [np.zeros(env.spec.action_dim, np.float32)]
    for _ in range(env.spec.episode_steps):
        action = np.clip(next(script.actions), -1.0, 1.0).astype(np.float32)
        images.append(env.step(action).image)
        states.append(env.qpos)
        actions.append(action)
    return Episode(
        image=np.stack(images),
        action=np.stack(actions),
        state=np.stack(states).astype(np.float32),
        kind=script.kind,
        seed=f'{seed}/{index}',
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


_worker: tuple[Simulator, Recipe] | None = None


def _start_worker(recipe: Recipe) -> None:
    global _worker
    _worker = recipe.make_env(), recipe


def _work(path: Path, seed: int, index: int) -> None:
    assert _worker is not None
    env, recipe = _worker
    write_episode(path, run_episode(env, recipe, seed, index))
