"""Connector p(s_{t:t+k} | e): turns an embedding of 8 frames into a sequence of latents."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genrl_ros.config.model import ModelConfig
from genrl_ros.world_model import latents
from genrl_ros.world_model.layers import mlp
from genrl_ros.world_model.sequence import SequenceModel, State


class Connector(nn.Module):
    """The sequence model's architecture with the embedding in place of the action.

    The input is `e * sqrt(D)`. The published code appends eight zeros (temporal one-hots times
    zero); they only carry unused weights and are left out unless `temporal_zeros` keeps the
    published parameter count.

    Source: facts 2.2.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        inputs = config.embed_dim + config.temporal_zeros
        self.scale = config.embed_dim**0.5
        self.zeros = config.temporal_zeros
        self.sequence = SequenceModel(
            config.stoch, config.classes, inputs, config.deter, config.hidden
        )
        self.start = mlp(inputs, config.hidden, 2, config.deter)

    def inputs(self, embedding: Tensor) -> Tensor:
        """Rescaled embedding `(..., D)`, padded where the preset says so."""
        return nn.functional.pad(embedding * self.scale, (0, self.zeros))

    def initial(self, embedding: Tensor) -> State:
        """The learned state before the first frame; its latent is always sampled (facts 2.2)."""
        deter = self.start(self.inputs(embedding))
        return State(latents.sample(self.sequence.prior(deter)), deter)

    def teacher_forced(self, stoch: Tensor, embedding: Tensor) -> Tensor:
        """Log-probabilities `(B, T, S, K)` of each step's latents given the true ones before it.

        Args:
            stoch: `(B, T, S, K)` posterior samples.
            embedding: `(B, T / 8, D)`, one for each chunk of eight frames.
        """
        first = self.initial(embedding[:, 0])
        previous = torch.cat([first.stoch[:, None], stoch[:, :-1]], 1)
        deter = self.sequence.unroll(previous, self.inputs(embedding), first.deter)
        return self.sequence.prior(deter)

    def generate(self, embedding: Tensor, *, mode: bool) -> Tensor:
        """Roll latents `(B, T, S, K)` for embeddings `(B, T, D)`, one a step (facts 2.5)."""
        inputs = self.inputs(embedding)
        state = self.initial(embedding[:, 0])
        steps = []
        for t in range(inputs.shape[1]):
            state = self.sequence.step(state, inputs[:, t], mode=mode)
            steps.append(state.stoch)
        return torch.stack(steps, 1)
