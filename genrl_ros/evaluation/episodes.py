"""Run a policy in the simulator, many episodes in parallel, and count successes."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from genrl_ros.domains.base import Env
from genrl_ros.domains.registry import make_env
from genrl_ros.serving.policy.bundle import load_bundle
from genrl_ros.serving.policy.runner import PolicyRunner
from genrl_ros.system.arrays import Image
from genrl_ros.system.pool import WorkerPool

OnFrame = Callable[[Image], None]


@dataclass(frozen=True)
class Episode:
    """Outcome of one episode.

    Attributes:
        success: whether the element came within its threshold at any step.
        steps: agent steps until success, or all of them.
        closest: smallest distance of the element to its goal.
        moved: elements that succeeded at any step, the asked one or others.
    """

    success: bool
    steps: int
    closest: float
    moved: tuple[str, ...]


@dataclass(frozen=True)
class Score:
    """Success rate over episodes, with its standard error."""

    score: float
    se: float
    episodes: int


def summarize(episodes: list[Episode]) -> Score:
    """Mean and standard error of success."""
    count = len(episodes)
    mean = sum(episode.success for episode in episodes) / count
    return Score(mean, math.sqrt(mean * (1 - mean) / count), count)


def run_episode(
    env: Env,
    policy: PolicyRunner,
    element: str,
    seed: int,
    on_frame: OnFrame = lambda _: None,
) -> Episode:
    """One episode, which ends at the first success (facts 4.2)."""
    observation = env.reset(seed)
    policy.reset()
    action = np.zeros(env.spec.action_dim, np.float32)
    steps, closest, moved = 0, math.inf, set[str]()
    on_frame(observation.image)
    while steps < env.spec.episode_steps and element not in moved:
        action = policy.act(policy.encode(observation.image), action)
        observation = env.step(action)
        steps += 1
        on_frame(observation.image)
        moved |= {name for name, state in observation.elements.items() if state.success}
        closest = min(closest, observation.elements[element].distance)
    return Episode(element in moved, steps, closest, tuple(sorted(moved)))


_policy: PolicyRunner
_env: Env


def _begin(domain: str, bundle: Path) -> None:
    global _policy, _env
    _policy, _env = PolicyRunner(load_bundle(bundle)), make_env(domain)


def _run(seed: int, element: str) -> Episode:
    return run_episode(_env, _policy, element, seed)


def evaluate(
    domain: str, bundle: Path, element: str, episodes: int, seed: int, workers: int
) -> Generator[Episode, None, None]:
    """Yield the outcome of each episode, in the order of their seeds.

    Args:
        domain: environment to run in.
        bundle: policy to run.
        element: what has to move.
        episodes: number of episodes, with the seeds `seed, seed + 1, ...`.
        seed: first seed.
        workers: processes.

    Raises:
        BundleError: if the policy cannot be loaded.
        OSError: if a simulator's process ends before its episode.
    """
    load_bundle(bundle)  # here first, to say what is wrong with it
    what = f'a simulator of {domain!r} with the policy {bundle}'
    with WorkerPool(workers, what, _begin, domain, bundle) as pool:
        yield from pool.map(partial(_run, element=element), range(seed, seed + episodes))
