"""The critic (facts 1.2, 1.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genrl_ros.world_model.layers import mlp

BINS = 255
BIN_LIMIT = 20.0


def symlog(x: Tensor) -> Tensor:
    """Sign-preserving logarithm."""
    return x.sign() * x.abs().log1p()


def symexp(x: Tensor) -> Tensor:
    """Inverse of `symlog`."""
    return x.sign() * x.abs().expm1()


class Critic(nn.Module):
    """Value as a distribution over 255 bins, spaced evenly in symlog space."""

    bins: Tensor

    def __init__(self, feat: int, units: int, layers: int) -> None:
        super().__init__()
        self.net = mlp(feat, units, layers, BINS)
        for parameter in self.net[-1].parameters():
            nn.init.zeros_(parameter)
        self.register_buffer('bins', torch.linspace(-BIN_LIMIT, BIN_LIMIT, BINS))

    def forward(self, feat: Tensor) -> Tensor:
        """Logits `(..., 255)`."""
        out: Tensor = self.net(feat)
        return out

    def value(self, logits: Tensor) -> Tensor:
        """Expected value `(...)` of logits `(..., 255)`."""
        return symexp((logits.softmax(-1) * self.bins).sum(-1))

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean cross-entropy of logits `(..., 255)` to the two-hot encoding of targets `(...)`."""
        logp = logits.log_softmax(-1)
        step, middle = 2 * BIN_LIMIT / (BINS - 1), BINS // 2
        place = symlog(target).clamp(-BIN_LIMIT, BIN_LIMIT).unsqueeze(-1) / step
        low = place.nan_to_num().floor().clamp(max=middle - 1)  # an index, whatever happens
        share = place - low
        index = low.long() + middle
        below, above = logp.gather(-1, index), logp.gather(-1, index + 1)
        return -((1 - share) * below + share * above).mean()
