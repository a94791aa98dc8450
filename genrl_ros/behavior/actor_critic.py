"""Actor and critic in imagination, with gradients through the dynamics (facts 3.1)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from genrl_ros.behavior.critic import Critic
from genrl_ros.config.learning import LearnConfig
from genrl_ros.world_model import latents
from genrl_ros.world_model.actor import Actor
from genrl_ros.world_model.fast.lookup import LookUp
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.ranks import ALONE, Ranks
from genrl_ros.world_model.sequence import State


def lambda_returns(reward: Tensor, value: Tensor, gamma: float, lambda_: float) -> Tensor:
    """Returns `R_t = r_t + gamma * ((1 - lambda) v_{t+1} + lambda R_{t+1})`, with `R_T = v_T`.

    Args:
        reward: `(T, B)` rewards of states 0 to T - 1.
        value: `(T, B)` values of states 1 to T.
        gamma: discount.
        lambda_: mixing.

    Returns:
        `(T, B)`.
    """
    following = value[-1]
    returns = []
    for t in reversed(range(reward.shape[0])):
        following = reward[t] + gamma * ((1 - lambda_) * value[t] + lambda_ * following)
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

    def forward(self, returns: Tensor, spread: Tensor) -> Tensor:
        """Update the averages by those of `spread`, and scale the returns to about [0, 1]."""
        ends = torch.quantile(spread.flatten(), spread.new_tensor([0.05, 0.95]))
        self.low.lerp_(ends[0], 0.01)
        self.high.lerp_(ends[1], 0.01)
        return (returns - self.low) / (self.high - self.low).clamp(min=1)


class Dream(NamedTuple):
    """Imagined trajectories of T steps; `stoch`, `tokens` and `deter` have T + 1 states.

    Attributes:
        stoch: `(T + 1, B, S, K)`, one-hot.
        tokens: `(T + 1, B, S)`, its classes.
        deter: `(T + 1, B, H)`.
        raw: `(T, B, 2 A)`, what the actor said in all states but the last.
    """

    stoch: Tensor
    tokens: Tensor
    deter: Tensor
    raw: Tensor


Reward = Callable[[Dream], Tensor]
"""What a dream is worth: `(T + 1, B)` float32, a reward of each state."""


def imagine(model: MFWM, actor: Actor, start: State, horizon: int) -> Dream:
    """Roll the policy out in the world model.

    The policy sees detached features; gradients flow from states back into actions through
    reparameterised actions and straight-through latents.

    Args:
        model: the world model.
        actor: the policy.
        start: states with one-hot latents; they become the first of the dream.
        horizon: steps.
    """
    sequence, latent = model.sequence, model.config.flat_stoch
    policy = LookUp(actor.net, latent)
    embed = LookUp(nn.Sequential(sequence.embed), latent)
    (stoch, deter), tokens = start, start.stoch.argmax(-1)
    states, raws = [(stoch, tokens, deter)], []
    for _ in range(horizon):
        raws.append(policy(stoch.detach(), tokens, deter.detach()))
        deter = sequence.cell(embed(stoch, tokens, actor.draw(raws[-1])), deter)
        stoch, tokens = latents.draw(sequence.prior_probabilities(deter))
        states.append((stoch, tokens, deter))
    stoch, tokens, deter = map(torch.stack, zip(*states, strict=True))
    return Dream(stoch, tokens, deter, torch.stack(raws))


class ActorCritic(nn.Module):
    """Actor, critic and their losses for one task. The world model stays as it is.

    With a prior, the actor pays for leaving the world model's action prior for the prompt, and may
    start as it; published actors start from random weights.

    Args:
        model: the world model.
        embedding: `(D,)` embedding of the prompt, before the aligner; where it is, is computed.
        config: how to learn.
        ranks: the processes that learn together.

    Attributes:
        ended: the last states of the better half of the newest dreams, of all processes; None
            before the first.
    """

    def __init__(
        self, model: MFWM, embedding: Tensor, config: LearnConfig, ranks: Ranks = ALONE
    ) -> None:
        super().__init__()
        self.config, self.ranks = config, ranks
        self.ended: State | None = None
        sizes = model.config
        network = (sizes.feat, sizes.units, sizes.layers)
        with torch.no_grad():
            self.reference = model.prior.for_prompt(model.aligner(embedding))
        self.reference.requires_grad_(False)
        if config.prior > 0 and config.from_prior:
            self.actor = copy.deepcopy(self.reference).requires_grad_(True)
        else:
            self.actor = Actor(*network, sizes.action_dim)
        self.critic = Critic(*network)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.normalizer = ReturnNormalizer()
        self.to(embedding.device)

    def act(self, state: State) -> Tensor:
        """Sampled action `(B, A)`."""
        return self.actor.sample(state.feat)

    def losses(self, model: MFWM, start: State, reward_of: Reward) -> dict[str, Tensor]:
        """What actor and critic are to minimise, from `B` imagined trajectories.

        Args:
            model: the world model, whose parameters must not require gradients.
            start: states to imagine from, this process's share of them; latents are one-hot.
            reward_of: the same share of what they are rewarded for.

        Returns:
            Means over them: imagined `reward` and `return`, `actor_loss` and `critic_loss`.
        """
        config, latent = self.config, model.config.flat_stoch
        with self.ranks.sharing():
            dream = imagine(model, self.actor, start, config.horizon)
        # Windows may differ by less than what rounding does.
        with torch.autocast(start.deter.device.type, enabled=False):
            reward = reward_of(dream)
        self.ended = self._better_ends(dream, reward[-1].detach())
        judge = LookUp(self.target_critic.net, latent)
        value = self.target_critic.value(judge(dream.stoch[1:], dream.tokens[1:], dream.deter[1:]))
        returns = lambda_returns(reward[:-1], value, config.gamma, config.lambda_)
        spread = self.ranks.gather(returns[1:], axis=1)
        actor_loss = -self.normalizer(returns[1:], spread).mean()
        acted = dream.stoch[:-1].detach(), dream.tokens[:-1], dream.deter[:-1].detach()
        if config.prior > 0:
            prior = LookUp(self.reference.net, latent)(*acted)
            actor_loss = actor_loss + config.prior * self._distance(dream.raw, prior)
        logits = LookUp(self.critic.net, latent)(*acted)
        return {
            'reward': reward.mean(),
            'return': returns.mean(),
            'actor_loss': actor_loss,
            'critic_loss': self.critic.loss(logits, returns.detach()),
        }

    def _better_ends(self, dream: Dream, worth: Tensor) -> State:
        """Last states of the half of the dreams, of all processes, whose end is worth more."""
        ends, worth = (dream.stoch[-1], dream.deter[-1]), self.ranks.gather(worth)
        better = worth.argsort(descending=True)[: (len(worth) + 1) // 2]
        return State(*(self.ranks.gather(each)[better] for each in ends))

    def _distance(self, raw: Tensor, prior: Tensor) -> Tensor:
        """Mean KL(actor || prior) in nats, of the raw outputs of both."""
        mean, std = self.actor.distribution(raw)
        prior_mean, prior_std = self.reference.distribution(prior)
        ratio = (std / prior_std).square()
        shift = ((mean - prior_mean) / prior_std).square()
        return 0.5 * (ratio + shift - 1 - ratio.log()).sum(-1).mean()
