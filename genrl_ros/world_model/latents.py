"""Discrete latents: S one-hot categoricals of K classes, with 1 % of uniform mixed in (facts 1.3).

Everything takes and returns tensors whose last two axes are `(S, K)`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

UNIMIX = 0.01


def log_probs(logits: Tensor) -> Tensor:
    """Normalised log-probabilities of raw logits, after mixing in the uniform distribution."""
    probs = (1 - UNIMIX) * logits.softmax(-1) + UNIMIX / logits.shape[-1]
    return probs.log()


def one_hot(tokens: Tensor, classes: int) -> Tensor:
    """`(..., S)` class indices to `(..., S, K)` float32."""
    return F.one_hot(tokens.long(), classes).float()


def sample(logp: Tensor) -> Tensor:
    """A one-hot sample whose gradient is that of the probabilities (straight-through)."""
    probs = logp.exp()
    below = probs.detach().cumsum(-1)
    draw = torch.rand_like(below[..., :1]) * below[..., -1:]
    index = (below < draw).sum(-1)
    hard = torch.zeros_like(probs).scatter_(-1, index.unsqueeze(-1), 1.0)
    return hard + (probs - probs.detach()) if probs.requires_grad else hard


def mode(logp: Tensor) -> Tensor:
    """The most likely class as one-hot, without gradient."""
    index = logp.argmax(-1, keepdim=True)
    return torch.zeros_like(logp).scatter_(-1, index, 1.0)


def kl(logp: Tensor, logq: Tensor) -> Tensor:
    """KL(p || q) in nats, summed over the S categoricals: `(...)`."""
    return (logp.exp() * (logp - logq)).sum((-2, -1))
