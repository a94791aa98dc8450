"""Run a policy in the simulator, many episodes in parallel, and score them."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from genrl_ros.domains import registry
from genrl_ros.domains.base import Outcome
from genrl_ros.domains.environment import Environment
from genrl_ros.serving.policy.bundle import load_bundle
from genrl_ros.serving.policy.ending import Ending
from genrl_ros.serving.policy.runner import PolicyRunner
from genrl_ros.system.pool import WorkerPool


@dataclass(frozen=True)
class Summary:
    """Scores of episodes.

    Attributes:
        score: their mean.
        se: its standard error.
        episodes: how many there were.
        at_end: share of them at whose end the task was done; None where tasks have no end.
        scores: each of them, in the order of the episodes' seeds.
    """

    score: float
    se: float
    episodes: int
    at_end: float | None = None
    scores: list[float] = field(default_factory=list)


def summarize(scores: Sequence[float]) -> Summary:
    """Mean and standard error of scores; that of a share, where all are 0 or 1."""
    count = len(scores)
    mean = sum(scores) / count
    variance = sum((score - mean) ** 2 for score in scores) / count
    return Summary(mean, math.sqrt(variance / count), count, scores=list(scores))


def run_episode(environment: Environment, policy: PolicyRunner, seed: int) -> Outcome:
    """One episode, scored until the task is done (facts 4.2).

    It goes on until the policy ends by itself, too, to see whether the task still is done then.
    """
    domain = environment.domain
    image = environment.reset(seed)
    policy.reset()
    steps_at_most = policy.bundle.description.attempt_steps or domain.episode_steps
    ending = Ending(steps_at_most, domain.robot.step_s)
    action = np.zeros(domain.robot.action_dim, np.float32)
    total, steps, success, done, at_end = 0.0, 0, False, False, False
    while True:
        tokens = policy.encode(image)
        if not ending.reason and ending.see(policy.match(tokens)):
            at_end = done
        if ending.reason and (success or steps == domain.episode_steps):
            return Outcome(total, success, steps, at_end)
        action = policy.act(tokens, action)
        step = environment.step(action)
        image, done = step.image, step.success
        if not success:
            total, steps, success = total + step.reward, steps + 1, done


_policy: PolicyRunner
_environment: Environment


def _begin(domain: str, task: str, bundle: Path) -> None:
    global _policy, _environment
    _policy = PolicyRunner(load_bundle(bundle))
    _environment = registry.make_environment(registry.get(domain), task)


def _run(seed: int) -> Outcome:
    return run_episode(_environment, _policy, seed)


def evaluate(
    domain: str, task: str, bundle: Path, episodes: int, seed: int, workers: int
) -> Generator[Outcome, None, None]:
    """Yield the outcome of each episode, in the order of their seeds.

    Args:
        domain: what to run in.
        task: what is rewarded, and ends the episode.
        bundle: policy to run.
        episodes: number of episodes, with the seeds `seed, seed + 1, ...`.
        seed: first seed.
        workers: processes.

    Raises:
        ValueError: if there is no such domain or task.
        BundleError: if the policy cannot be loaded.
        OSError: if a simulator's process ends before its episode.
    """
    registry.get(domain).task(task)
    load_bundle(bundle)  # here first, to say what is wrong
    what = f'a simulator of {domain!r} with the policy {bundle}'
    with WorkerPool(workers, what, _begin, domain, task, bundle) as pool:
        yield from pool.map(_run, range(seed, seed + episodes))
