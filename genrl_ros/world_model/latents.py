"""Discrete latents: S one-hot categoricals of K classes, with 1 % of uniform mixed in (facts 1.3).

Everything takes and returns tensors whose last two axes are `(S, K)`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genrl_ros.config.model import UNIMIX
from genrl_ros.world_model import noise


def probabilities(logits: Tensor) -> Tensor:
    """Probabilities of raw logits, after mixing in the uniform distribution."""
    exact = torch.promote_types(logits.dtype, torch.float32)  # also under mixed precision
    return (1 - UNIMIX) * logits.softmax(-1, dtype=exact) + UNIMIX / logits.shape[-1]


def log_probs(logits: Tensor) -> Tensor:
    """Normalised log-probabilities of raw logits, after mixing in the uniform distribution."""
    return probabilities(logits).log()


def one_hot(tokens: Tensor, classes: int) -> Tensor:
    """`(..., S)` class indices to `(..., S, K)` float32."""
    return F.one_hot(tokens.long(), classes).float()


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, probs: Tensor, hard: Tensor) -> Tensor:
        return hard.view_as(hard)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


def draw(probs: Tensor) -> tuple[Tensor, Tensor]:
    """A one-hot sample whose gradient is that of the probabilities, and its classes `(..., S)`."""
    below = probs.detach().cumsum(-1)
    total = below[..., -1:]
    tokens = (below < noise.uniform(total.shape, total) * total).sum(-1)
    hard = torch.zeros_like(below).scatter_(-1, tokens.unsqueeze(-1), 1.0)
    return _StraightThrough.apply(probs, hard), tokens  # type: ignore[no-untyped-call]


def sample(logp: Tensor) -> Tensor:
    """A one-hot sample whose gradient is that of the probabilities (straight-through)."""
    return draw(logp.exp())[0]


def mode(logp: Tensor) -> Tensor:
    """The most likely class as one-hot, without gradient."""
    index = logp.argmax(-1, keepdim=True)
    return torch.zeros_like(logp).scatter_(-1, index, 1.0)


def kl(logp: Tensor, logq: Tensor) -> Tensor:
    """KL(p || q) in nats, summed over the S categoricals: `(...)`."""
    return (logp.exp() * (logp - logq)).sum((-2, -1))
