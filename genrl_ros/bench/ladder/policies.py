"""Rungs 2 and 3: policies learned in imagination, and what they do in reality."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from genrl_ros.behavior.actor_critic import ActorCritic, Reward
from genrl_ros.config.learning import LearnConfig
from genrl_ros.domains.base import Domain
from genrl_ros.evaluation.reality import Reality, drive, scores
from genrl_ros.training.behavior.learning_rule import LearningRule
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.sequence import State

LAST = 50
"""Updates at the end whose mean is what a policy dreams."""


@dataclass(frozen=True)
class Learned:
    """A policy, and the mean reward of a step in its last dreams."""

    agent: ActorCritic
    dreamt: float

    def act(self, state: State) -> torch.Tensor:
        """The mode of its actions, as on a robot."""
        mean, _ = self.agent.actor(state.feat)
        return mean


def learn(
    model: MFWM,
    reward: Reward,
    starts: Callable[[ActorCritic], State],
    config: LearnConfig,
    tell: Callable[[int, dict[str, float]], None] = lambda update, metrics: None,
) -> Learned:
    """Learn a policy in imagination, as the product does, but from any reward and any states.

    Args:
        model: the world model, whose parameters must not require gradients.
        reward: of dreams.
        starts: where an update's dreams begin.
        config: how; its prior is the model's for an embedding of zeros.
        tell: called with the number of updates done, and the last one's metrics.
    """
    torch.manual_seed(config.seed)
    agent = ActorCritic(model, torch.zeros(model.config.embed_dim), config)
    rule, dreamt = LearningRule(agent), []
    for update in range(1, config.updates + 1):
        metrics = rule.update(model, starts(agent), reward)
        dreamt.append(metrics['reward'])
        tell(update, metrics)
    return Learned(agent, float(np.mean(dreamt[-LAST:])))


def compare(
    model: MFWM, domain: Domain, learned: Learned, episodes: int, seed: int
) -> tuple[dict[str, Any], Reality]:
    """What a policy does in reality: scores of all tasks, and how surprised the model is."""
    reality = drive(model, domain, learned.act, episodes, domain.episode_steps, seed)
    by_task = scores(domain, reality)
    return {
        'dreamt': round(learned.dreamt, 3),
        'reward': {
            task.name: round(float(reality.reward[..., index].mean()), 3)
            for index, task in enumerate(domain.tasks)
        },
        'score': {name: round(float(np.mean(each)), 3) for name, each in by_task.items()},
        'kl': round(float(reality.kl.mean()), 2),
    }, reality
