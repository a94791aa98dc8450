"""How actor and critic learn from their losses: optimisers, and the slow critic that follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from genrl_ros.behavior.actor_critic import ActorCritic, Reward
from genrl_ros.config.training import OptimConfig
from genrl_ros.training.engine.optim import Optimizer
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.sequence import State


class LearningRule:
    """One update after the other of an actor and a critic.

    Args:
        agent: actor and critic; its configuration says how they learn, its ranks with whom.

    Attributes:
        actor: the actor's optimiser.
        critic: the critic's.
    """

    def __init__(self, agent: ActorCritic) -> None:
        self.agent, config = agent, agent.config
        self.actor, self.critic = (
            Optimizer(
                net.parameters(),
                OptimConfig(lr=lr, eps=1e-5, clip=config.clip, weight_decay=config.weight_decay),
                config.updates,
                agent.ranks,
            )
            for net, lr in ((agent.actor, config.actor_lr), (agent.critic, config.critic_lr))
        )

    @property
    def updates(self) -> int:
        """Updates done."""
        return self.critic.updates

    def update(self, model: MFWM, start: State, reward_of: Reward) -> dict[str, float]:
        """One update of actor and critic from `B` start states.

        Args:
            model: the world model, whose parameters must not require gradients.
            start: states to imagine from, this process's share of them; latents are one-hot.
            reward_of: the same share of what they are rewarded for.

        Returns:
            Metrics of all processes: mean imagined `reward` and `return`, and losses.

        Raises:
            FloatingPointError: if a gradient is not finite.
        """
        agent, config = self.agent, self.agent.config
        device = start.deter.device.type
        with torch.autocast(device, torch.bfloat16, enabled=config.precision == 'bf16'):
            metrics = agent.losses(model, start, reward_of)
        if self.critic.updates >= config.critic_first:
            self.actor.step(metrics['actor_loss'])
        self.critic.step(metrics['critic_loss'])
        if self.critic.updates % config.target_every == 0:
            agent.target_critic.load_state_dict(agent.critic.state_dict())
        means = torch.stack(list(metrics.values())).detach()
        agent.ranks.average_([means])
        return dict(zip(metrics, means.tolist(), strict=True))

    def state_dict(self) -> dict[str, Any]:
        """Everything that resuming needs, networks included."""
        return {
            'networks': self.agent.state_dict(),
            'optimizers': {
                'actor': self.actor.state_dict(),
                'critic': self.critic.state_dict(),
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.agent.load_state_dict(state['networks'])
        self.actor.load_state_dict(state['optimizers']['actor'])
        self.critic.load_state_dict(state['optimizers']['critic'])
