"""Reward for what was not seen before: random network distillation (arXiv 1810.12894)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

UNITS, OUTPUTS = 128, 32
LR = 1e-4
CLIP = 3.0
"""Normalised observations beyond this are no news: a fall is, its speed is not."""


class Novelty(nn.Module):
    """Error of a network that learns to tell what another one, of random weights, says.

    Args:
        inputs: size of the part of an observation that counts.
    """

    scale: Tensor

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.known = self._network(inputs).requires_grad_(False)
        self.guess = self._network(inputs)
        self.register_buffer('scale', torch.ones(()))
        self.optimizer = torch.optim.Adam(self.guess.parameters(), LR, fused=True)

    def reward(self, seen: Tensor) -> Tensor:
        """Learn a batch `(B, N)`, and the reward `(B,)` that it had before; 0.2 in the mean."""
        seen = seen.clamp(-CLIP, CLIP)
        error = (self.guess(seen) - self.known(seen)).square().mean(-1)
        self.optimizer.zero_grad()
        error.mean().backward()
        self.optimizer.step()
        error = error.detach()
        self.scale.lerp_(error.mean(), 0.01)
        return (0.2 * error / self.scale).clamp(max=2.0)

    @staticmethod
    def _network(inputs: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(inputs, UNITS), nn.SiLU(), nn.Linear(UNITS, UNITS), nn.SiLU(),
            nn.Linear(UNITS, OUTPUTS),
        )  # fmt: skip
