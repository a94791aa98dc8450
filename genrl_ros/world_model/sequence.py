"""Sequence model: h_t = f(s_{t-1}, u_{t-1}, h_{t-1}) and the prior p(s_t | h_t).

The input u is the robot's action in the world model and the prompt's embedding in the connector:
both are the same network. No posterior sees h, so the inputs of all steps are known at once, and
only the recurrence itself is computed step by step.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrl_ros.world_model import latents
from genrl_ros.world_model.fast.recurrence import scan
from genrl_ros.world_model.layers import Dense, GRUCell


class State(NamedTuple):
    """State of a rollout: `stoch (B, S, K)` and `deter (B, H)`."""

    stoch: Tensor
    deter: Tensor

    @property
    def feat(self) -> Tensor:
        """What actor and critic see: `(..., S*K + H)`."""
        return torch.cat([self.stoch.flatten(-2), self.deter], -1)


class SequenceModel(nn.Module):
    """Recurrent prior over latents, driven by an input of size `inputs`."""

    def __init__(self, stoch: int, classes: int, inputs: int, deter: int, hidden: int) -> None:
        super().__init__()
        self.stoch, self.classes, self.deter = stoch, classes, deter
        self.embed = Dense(stoch * classes + inputs, hidden)
        self.cell = GRUCell(hidden, deter)
        self.head = nn.Sequential(Dense(deter, hidden), nn.Linear(hidden, stoch * classes))

    def initial(self, batch: int) -> State:
        """The all-zero state that an episode starts from."""
        weight = self.cell.from_deter.weight
        return State(
            weight.new_zeros(batch, self.stoch, self.classes), weight.new_zeros(batch, self.deter)
        )

    def prior_probabilities(self, deter: Tensor) -> Tensor:
        """Probabilities `(..., S, K)` of the latents at a state `(..., H)`."""
        logits = self.head(deter)
        return latents.probabilities(logits.unflatten(-1, (self.stoch, self.classes)))

    def prior(self, deter: Tensor) -> Tensor:
        """Log-probabilities `(..., S, K)` of the latents at a state `(..., H)`."""
        return self.prior_probabilities(deter).log()

    def advance(self, state: State, inputs: Tensor) -> Tensor:
        """Next `deter (B, H)` for the previous state and the input `(B, U)` that follows it."""
        embedded = self.embed(torch.cat([state.stoch.flatten(-2), inputs], -1))
        out: Tensor = self.cell(embedded, state.deter)
        return out

    def step(self, state: State, inputs: Tensor, *, mode: bool = False) -> State:
        """One step of a rollout, with a sampled latent or with the most likely one."""
        deter = self.advance(state, inputs)
        logp = self.prior(deter)
        return State(latents.mode(logp) if mode else latents.sample(logp), deter)

    def unroll(
        self, stoch: Tensor, inputs: Tensor, deter: Tensor, keep: Tensor | None = None
    ) -> Tensor:
        """States along sequences whose latents are known.

        Args:
            stoch: `(B, T, S, K)` latents before each step, that is s_{t-1}.
            inputs: `(B, T / n, U)` inputs, each of which leads to n steps.
            deter: `(B, H)` state before the first step.
            keep: `(B, T)`, 0 where an episode begins, so that state and input are dropped there.

        Returns:
            `(B, T, H)` deter at each step.
        """
        linear = self.embed.linear
        latent, driving = linear.weight.split([self.stoch * self.classes, inputs.shape[-1]], 1)
        x = F.linear(stoch.flatten(-2).transpose(0, 1), latent)
        u = F.linear(inputs.transpose(0, 1), driving)
        x = x + u.repeat_interleave(len(x) // len(u), 0)
        if keep is not None:
            keep = keep.t()
            x = x * keep.unsqueeze(-1)
        projected = self.cell.from_input(self.embed.activate(x + linear.bias))
        cell = self.cell
        return scan(projected, deter, cell.from_deter.weight, cell.norm, keep).transpose(0, 1)
