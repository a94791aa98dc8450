"""Learning a policy in imagination, with gradients through the dynamics (facts 3.1)."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from genrl_ros.behavior.critic import Critic
from genrl_ros.behavior.matching import matching_reward
from genrl_ros.config import LearnConfig, OptimConfig
from genrl_ros.world_model.actor import Actor
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.optim import Optimizer
from genrl_ros.world_model.sequence import State


def lambda_returns(reward: Tensor, value: Tensor, gamma: float, lambda_: float) -> Tensor:
    """Returns `R_t = r_t + gamma * ((1 - lambda) v_{t+1} + lambda R_{t+1})`, with `R_T = v_T`.

    Args:
        reward: `(T, B)` rewards of states 0 to T - 1.
        value: `(T + 1, B)` values of states 0 to T.
        gamma: discount.
        lambda_: mixing.

    Returns:
        `(T, B)`.
    """
    following = value[-1]
    returns = []
    for t in reversed(range(reward.shape[0])):
        following = reward[t] + gamma * ((1 - lambda_) * value[t + 1] + lambda_ * following)
        returns.append(following)
    return torch.stack(returns[::-1])


class ReturnNormalizer(nn.Module):
    """Moving averages of the 5th and 95th percentile of returns."""

    low: Tensor
    high: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer('low', torch.zeros(()))
        self.register_buffer('high', torch.zeros(()))

    def forward(self, returns: Tensor) -> Tensor:
        """Update the averages and scale the returns to about [0, 1]."""
        ends = torch.quantile(returns.detach().flatten(), torch.tensor([0.05, 0.95]))
        self.low.lerp_(ends[0], 0.01)
        self.high.lerp_(ends[1], 0.01)
        return (returns - self.low) / (self.high - self.low).clamp(min=1)


def imagine(model: MFWM, actor: Actor, start: State, horizon: int) -> State:
    """Roll the policy out in the world model.

    The policy sees detached features; gradients flow from states back into actions through
    reparameterised actions and straight-through latents.

    Returns:
        States `(horizon + 1, B, ...)`, the first one being the start.
    """
    states = [start]
    for _ in range(horizon):
        action = actor.sample(states[-1].feat.detach())
        states.append(model.sequence.step(states[-1], action))
    return State(*(torch.stack(parts) for parts in zip(*states, strict=True)))


class ActorCritic(nn.Module):
    """Actor, critic and their learning rule for one task. The world model stays as it is.

    With a prior, the actor starts as the world model's action prior for the prompt and pays for
    leaving it; published actors start from random weights. The prior takes the prompt's embedding
    as it is, since it was trained on clean embeddings as well as on restored ones.

    Args:
        model: the world model.
        embedding: `(D,)` embedding of the prompt, before the aligner.
        config: how to learn.
    """

    def __init__(self, model: MFWM, embedding: Tensor, config: LearnConfig) -> None:
        super().__init__()
        self.config = config
        sizes = model.config
        network = (sizes.feat, sizes.units, sizes.layers)
        self.reference = model.prior.for_prompt(embedding).requires_grad_(False)
        if config.prior > 0:
            self.actor = copy.deepcopy(self.reference).requires_grad_(True)
        else:
            self.actor = Actor(*network, sizes.action_dim)
        self.critic = Critic(*network)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.normalizer = ReturnNormalizer()
        self.optimizers = {
            name: Optimizer(
                net.parameters(),
                OptimConfig(lr=lr, eps=1e-5, clip=config.clip, weight_decay=config.weight_decay),
                config.updates,
            )
            for name, net, lr in (
                ('actor', self.actor, config.actor_lr),
                ('critic', self.critic, config.critic_lr),
            )
        }

    def act(self, state: State) -> Tensor:
        """Sampled action `(B, A)`."""
        return self.actor.sample(state.feat)

    def update(self, model: MFWM, start: State, target: Tensor) -> dict[str, float]:
        """One update of actor and critic from `B` start states.

        Args:
            model: the world model, whose parameters must not require gradients.
            start: states to imagine from.
            target: `(horizon + 1, B, E)` from `target_features`.

        Returns:
            Metrics: mean imagined `reward` and `return`, losses, and mean action `std`.
        """
        config = self.config
        states = imagine(model, self.actor, start, config.horizon)
        agent = model.tokenizer.project(states.stoch)
        reward = matching_reward(agent, target, config.align)
        feat = states.feat
        value = self.target_critic.value(feat)
        returns = lambda_returns(reward[:-1], value, config.gamma, config.lambda_)
        actor_loss = -self.normalizer(returns[1:]).mean()
        if config.prior > 0:
            actor_loss = actor_loss + config.prior * self._distance(feat[:-1].detach())
        if self.optimizers['critic'].updates >= config.critic_first:
            self.optimizers['actor'].step(actor_loss)
        critic_loss = self.critic.loss(feat[:-1].detach(), returns.detach())
        self.optimizers['critic'].step(critic_loss)
        if self.optimizers['critic'].updates % config.target_every == 0:
            self.target_critic.load_state_dict(self.critic.state_dict())
        return {
            'reward': reward.mean().item(),
            'return': returns.mean().item(),
            'actor_loss': actor_loss.item(),
            'critic_loss': critic_loss.item(),
        }

    def _distance(self, feat: Tensor) -> Tensor:
        """Mean KL(actor || prior) in nats."""
        mean, std = self.actor(feat)
        with torch.no_grad():
            prior_mean, prior_std = self.reference(feat)
        ratio = (std / prior_std).square()
        shift = ((mean - prior_mean) / prior_std).square()
        return 0.5 * (ratio + shift - 1 - ratio.log()).sum(-1).mean()

    def training_state(self) -> dict[str, Any]:
        """Everything that resuming needs, as nested tensors and numbers."""
        return {
            'networks': self.state_dict(),
            'optimizers': {k: v.state_dict() for k, v in self.optimizers.items()},
        }

    def load_training_state(self, state: dict[str, Any]) -> None:
        """Continue from `training_state`."""
        self.load_state_dict(state['networks'])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state['optimizers'][name])
