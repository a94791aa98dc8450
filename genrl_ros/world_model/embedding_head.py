"""From a state of the world model to the embedding of the clip that ends there."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from genrl_ros.world_model.layers import mlp

LAYERS = 2


class EmbeddingHead(nn.Module):
    """What the embedder would say of the last eight frames, told from the state alone.

    The connector goes from an embedding to states; this is the way back. It is for states that no
    camera has seen: what was imagined cannot be shown to the embedder.
    """

    def __init__(self, feat: int, embed_dim: int, units: int) -> None:
        super().__init__()
        self.net = mlp(feat, units, LAYERS, embed_dim)

    def forward(self, feat: Tensor) -> Tensor:
        """`(..., D)` of unit length for features `(..., F)`."""
        return F.normalize(self.net(feat).float(), dim=-1)
