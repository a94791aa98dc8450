"""Soft actor-critic on observations of a simulator's state (arXiv 1812.05905).

With LayerNorm in all hidden layers and normalised observations it learns in a third of the steps
(arXiv 2410.09754).
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genrl_ros.config.collectors import CollectorConfig
from genrl_ros.domains.snapshots import LOG_STD


class Actor(nn.Module):
    """Normal distribution of actions, squashed to [-1, 1] by tanh."""

    def __init__(self, observation_dim: int, action_dim: int, units: int) -> None:
        super().__init__()
        self.first = nn.Linear(observation_dim, units)
        self.second = nn.Linear(units, units)
        self.last = nn.Linear(units, 2 * action_dim)

    def distribution(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation `(B, A)` before squashing, for `(B, O)` normalised."""
        x = observation
        for layer in (self.first, self.second):
            x = F.silu(F.layer_norm(layer(x), (layer.out_features,)))
        mean, spread = self.last(x).chunk(2, -1)
        low, high = LOG_STD
        return mean, (low + 0.5 * (high - low) * (spread.tanh() + 1)).exp()

    def sample(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Actions `(B, A)`, and the logarithm `(B,)` of their density."""
        mean, std = self.distribution(observation)
        noise = torch.randn_like(mean)
        raw = mean + std * noise
        density = -0.5 * noise.square() - std.log() - 0.5 * math.log(2 * math.pi)
        squashing = 2 * (math.log(2) - raw - F.softplus(-2 * raw))
        return raw.tanh(), (density - squashing).sum(-1)


class TwinCritic(nn.Module):
    """Two critics at once, of observation and action."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for rows, columns in ((inputs, units), (units, units), (units, 1)):
            bound = 1 / math.sqrt(rows)
            self.weights.append(torch.empty(2, rows, columns).uniform_(-bound, bound))
            self.biases.append(torch.zeros(2, 1, columns))

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        """Values `(2, B)`."""
        x = torch.cat([observation, action], -1).expand(2, -1, -1)
        layers = list(zip(self.weights, self.biases, strict=True))
        for weight, bias in layers[:-1]:
            x = F.silu(F.layer_norm(torch.baddbmm(bias, x, weight), (weight.shape[-1],)))
        weight, bias = layers[-1]
        return torch.baddbmm(bias, x, weight).squeeze(-1)


class SoftActorCritic(nn.Module):
    """Actor, critics, temperature, and how they learn.

    Args:
        observation_dim: size O of a normalised observation.
        action_dim: channels A of an action.
        config: sizes and rates.
    """

    def __init__(self, observation_dim: int, action_dim: int, config: CollectorConfig) -> None:
        super().__init__()
        self.config, self.entropy = config, -float(action_dim)
        self.actor = Actor(observation_dim, action_dim, config.units)
        self.critic = TwinCritic(observation_dim + action_dim, config.units)
        self.target = copy.deepcopy(self.critic).requires_grad_(False)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(0.1)))
        self.optimizers = {
            name: torch.optim.Adam(parameters, config.lr, fused=True)
            for name, parameters in (
                ('actor', list(self.actor.parameters())),
                ('critic', list(self.critic.parameters())),
                ('temperature', [self.log_temperature]),
            )
        }

    def update(
        self, observation: Tensor, action: Tensor, reward: Tensor, following: Tensor
    ) -> dict[str, float]:
        """One update with a batch of transitions, which never end.

        Args:
            observation: `(B, O)`, normalised.
            action: `(B, A)` in [-1, 1].
            reward: `(B,)`.
            following: `(B, O)`, the observation after it.

        Returns:
            Mean value and temperature.
        """
        temperature = self.log_temperature.detach().exp()
        with torch.no_grad():
            then, density = self.actor.sample(following)
            value = self.target(following, then).amin(0) - temperature * density
            wanted = reward + self.config.gamma * value
        values = self.critic(observation, action)
        self._step('critic', (values - wanted).square().mean(1).sum())
        now, density = self.actor.sample(observation)
        self.critic.requires_grad_(False)
        value = self.critic(observation, now).amin(0)
        self._step('actor', (temperature * density - value).mean())
        self.critic.requires_grad_(True)
        surplus = (density.detach() + self.entropy).mean()
        self._step('temperature', -self.log_temperature * surplus)
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.target.parameters()), list(self.critic.parameters()), self.config.tau
            )
        return {'value': float(values.detach().mean()), 'temperature': float(temperature)}

    def _step(self, name: str, loss: Tensor) -> None:
        optimizer = self.optimizers[name]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
