"""Aligner: maps a text embedding onto the manifold of video embeddings by denoising (facts 2.4).

It is trained without text, on noised video embeddings that stand in for text embeddings.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrl_ros.world_model import noise
from genrl_ros.world_model.fast.norm_silu import NormSiLU

NOISE = 0.5


class Block(nn.Module):
    """act(LN(Wx)) plus the residual, which is linear where sizes differ."""

    def __init__(self, inputs: int, outputs: int, *, plain: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.activate = nn.Identity() if plain else NormSiLU(outputs)
        self.residual = nn.Identity() if inputs == outputs else nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """`(..., inputs)` to `(..., outputs)`."""
        out: Tensor = self.activate(self.linear(x)) + self.residual(x)
        return out


class Aligner(nn.Module):
    """A U-Net of linear blocks: D, D, D/2, D/2, D/2, D, D."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        half = dim // 2
        self.down = nn.ModuleList([Block(dim, dim), Block(dim, half)])
        self.middle = nn.Sequential(Block(half, half), Block(half, half))
        self.up = nn.ModuleList([Block(2 * half, dim, plain=True), Block(2 * dim, dim)])

    def forward(self, embedding: Tensor) -> Tensor:
        """`(..., D)` to `(..., D)` of unit length."""
        wide = self.down[0](embedding)
        narrow = self.down[1](wide)
        x = self.up[0](torch.cat([self.middle(narrow), narrow], -1))
        return F.normalize(self.up[1](torch.cat([x, wide], -1)).to(embedding.dtype), dim=-1)


def add_noise(embedding: Tensor) -> Tensor:
    """Half the embedding, half a random direction, back to unit length."""
    direction = F.normalize(noise.normal(embedding.shape, embedding), dim=-1)
    return F.normalize((1 - NOISE) * embedding + NOISE * direction, dim=-1)


def alignment_loss(aligner: Aligner, embedding: Tensor) -> Tensor:
    """1 - mean cosine between the denoised and the clean embedding, `(..., D)` to a scalar."""
    return 1 - (aligner(add_noise(embedding)) * embedding).sum(-1).mean()
