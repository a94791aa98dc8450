"""Features in which what is common to all states counts little, and what tells them apart much.

In the decoder's first layer, a robot that stands still in mid-stride is as near to the frames of
a gait as one that walks: most of a feature is what all states have in common. Not in the paper;
`docs/imagination.md` has the figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrl_ros.world_model.mfwm import MFWM

SEQUENCES, LENGTH = 256, 16
"""Sequences of states that the connector draws for random embeddings, and their length."""
SHRINKAGE = 1.0
"""Added to every eigenvalue of the covariance, as a share of their mean."""


@dataclass(frozen=True)
class Whitening:
    """Centres features and scales them to unit variance, as ordinary states have them.

    Attributes:
        mean: `(E,)`.
        matrix: `(E, E)`, symmetric.
    """

    mean: Tensor
    matrix: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, model: MFWM, seed: int) -> Whitening:
        """Of states that the model itself draws, so that no data are needed.

        Args:
            model: the world model.
            seed: of the draws.
        """
        device = model.sequence.cell.norm.weight.device
        with torch.random.fork_rng(devices=[device] if device.type == 'cuda' else []):
            torch.manual_seed(seed)
            noise = torch.randn(SEQUENCES, LENGTH, model.config.embed_dim, device=device)
            embedding = model.aligner(F.normalize(noise, dim=-1))
            states = model.connector.generate(embedding, mode=False)
        features = model.tokenizer.project(states).flatten(0, 1).double()
        mean = features.mean(0)
        rest = features - mean
        values, vectors = torch.linalg.eigh(rest.t() @ rest / len(rest))
        values = values.clamp(min=0)
        scale = (values + SHRINKAGE * values.mean()).rsqrt()
        matrix = vectors @ torch.diag(scale) @ vectors.t()
        return cls(mean.float(), matrix.float())

    def __call__(self, features: Tensor) -> Tensor:
        """Whitened features `(..., E)`."""
        return (features - self.mean) @ self.matrix

    @torch.no_grad()
    def after(self, project: nn.Linear) -> nn.Linear:
        """One layer that projects and whitens."""
        both = nn.Linear(project.in_features, project.out_features)
        both.weight.copy_(self.matrix @ project.weight)
        both.bias.copy_(self.matrix @ (project.bias - self.mean))
        return both.to(project.weight.device).requires_grad_(False)
