"""The policy network, and the prior that it starts from."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from genrl_ros.world_model import noise
from genrl_ros.world_model.layers import mlp, shifted, through_shifted


class Actor(nn.Module):
    """Diagonal normal policy with mean in [-1, 1] and standard deviation in [0.1, 1.0].

    Source: facts 1.2.
    """

    def __init__(self, feat: int, units: int, layers: int, action_dim: int) -> None:
        super().__init__()
        self.net = mlp(feat, units, layers, 2 * action_dim)

    def forward(self, feat: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation `(..., A)` for features `(..., F)`."""
        return self.distribution(self.net(feat))

    def distribution(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation `(..., A)` from the network's output `(..., 2 A)`."""
        mean, spread = raw.chunk(2, -1)
        return mean.tanh(), 0.9 * torch.sigmoid(spread + 2) + 0.1

    def sample(self, feat: Tensor) -> Tensor:
        """Sampled action `(..., A)` for features `(..., F)`; see `draw`."""
        return self.draw(self.net(feat))

    def draw(self, raw: Tensor) -> Tensor:
        """Reparameterised action `(..., A)` from the network's output `(..., 2 A)`.

        It is clipped to [-1, 1] without stopping the gradient. Deviation: the published code does
        not clip in imagination, only in the environment. Our world models learn from applied,
        hence clipped, actions, and know nothing of others.
        """
        mean, std = self.distribution(raw)
        action: Tensor = mean + std * noise.normal(std.shape, std)
        return action + (action.clamp(-1, 1) - action).detach()


class ActionPrior(nn.Module):
    """What has been done, in the recorded episodes, on the way to a clip with a given embedding.

    It is an actor whose first layer also sees an embedding. It is trained without captions: the
    embedding is that of a clip which followed in the same episode. For one prompt, the embedding's
    share of the first layer is a constant, so that the prior becomes an ordinary actor to start
    imagination from.

    Not in the paper, whose actors start from random weights and take hours.
    """

    def __init__(
        self, feat: int, embed_dim: int, units: int, layers: int, action_dim: int
    ) -> None:
        super().__init__()
        self.actor = Actor(feat, units, layers, action_dim)
        self.condition = nn.Linear(embed_dim, units, bias=False)
        self.scale = embed_dim**0.5

    def forward(self, feat: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation `(..., A)` for `(..., F)` and embeddings `(..., D)`."""
        shift = self.condition(embedding * self.scale)
        return self.actor.distribution(through_shifted(self.actor.net, feat, shift))

    def for_prompt(self, embedding: Tensor) -> Actor:
        """The actor `(F) -> (A)` that the prior is for one embedding `(D,)`."""
        actor = copy.deepcopy(self.actor)
        actor.net = shifted(self.actor.net, self.condition(embedding * self.scale))
        return actor
