"""A policy learned in imagination from any reward and any states, without a prompt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from genrl_ros.behavior.actor_critic import ActorCritic, Reward
from genrl_ros.config.learning import LearnConfig
from genrl_ros.training.behavior.learning_rule import LearningRule
from genrl_ros.training.rounds.recorded import Recorded
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
    states: Recorded,
    config: LearnConfig,
    tell: Callable[[int, dict[str, float]], None] = lambda update, metrics: None,
) -> Learned:
    """Learn a policy in imagination, as the product does, but from any reward and any states.

    Args:
        model: the world model, whose parameters must not require gradients.
        reward: of dreams.
        states: where dreams begin, drawn at random.
        config: how; its prior is the model's for an embedding of zeros.
        tell: called with the number of updates done, and the last one's metrics.
    """
    torch.manual_seed(config.seed)
    agent = ActorCritic(model, torch.zeros(model.config.embed_dim), config)
    rule, dreamt = LearningRule(agent), []
    for update in range(1, config.updates + 1):
        metrics = rule.update(model, states.draw(config.starts), reward)
        dreamt.append(metrics['reward'])
        tell(update, metrics)
    return Learned(agent, float(np.mean(dreamt[-LAST:])))
