"""How an episode is scored: until the task is done, and once more where the policy ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from genrl_ros.domains.base import Outcome
from genrl_ros.domains.environment import Environment
from genrl_ros.domains.kitchen import DOMAIN
from genrl_ros.evaluation.episodes import run_episode
from genrl_ros.serving.policy.runner import PolicyRunner

ALWAYS, NEVER = range(1, 1000), ()


class Clock:
    """Physics that count control steps."""

    def reset(self, seed: int | None = None) -> None:
        self.steps = 0

    def control(self, command: np.ndarray) -> None:
        self.steps += 1

    def render(self, size: int = 64) -> np.ndarray:
        return np.zeros((3, size, size), np.uint8)


class DoneAt:
    """Is done at some agent steps, and rewards every control step."""

    def __init__(self, steps: range | tuple[int, ...]) -> None:
        self._steps = steps

    def initialise(self, physics: Clock, rng: np.random.Generator) -> None:
        pass

    def reward(self, physics: Clock) -> float:
        return 0.5

    def success(self, physics: Clock) -> bool:
        return physics.steps / 2 in self._steps


@pytest.mark.parametrize(
    ('done', 'outcome'),
    [
        (range(3, 5), Outcome(3.0, success=True, steps=3, at_end=False)),
        (range(3, 6), Outcome(3.0, success=True, steps=3, at_end=True)),
        (range(7, 8), Outcome(7.0, success=True, steps=7, at_end=False)),
        (ALWAYS, Outcome(1.0, success=True, steps=1, at_end=True)),
        (NEVER, Outcome(9.0, success=False, steps=9, at_end=False)),
    ],
)
def test_the_end_changes_nothing_of_the_score(make_bundle, done, outcome) -> None:
    """The policy ends after 5 steps, the episode after 9."""
    policy = PolicyRunner(make_bundle(attempt_steps=5))
    environment = Environment(replace(DOMAIN, episode_steps=9), Clock(), DoneAt(done))
    assert run_episode(environment, policy, seed=0) == outcome


def test_a_policy_ends_when_it_has_seen_its_goal(make_bundle, goal_bytes) -> None:
    policy = PolicyRunner(make_bundle(graphs={'goal.onnx': goal_bytes}))
    assert policy.match(policy.encode(np.zeros((3, 64, 64), np.uint8))) == 1.0
    for step, at_end in ((6, False), (7, True), (8, False)):
        environment = Environment(DOMAIN, Clock(), DoneAt((step,)))
        assert run_episode(environment, policy, seed=0).at_end is at_end
