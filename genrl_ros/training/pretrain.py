"""Train a world model on images and actions, refine its dynamics, connect it to an embedder.

The published code does both in one loop, but no gradient ever goes from the connector into the
world model (facts 1.5). Done one after the other, the connector learns from latents that no longer
change, and a world model can be connected to another embedder without training it anew.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from genrl_ros.config import ConnectConfig, DynamicsConfig, PriorConfig, WorldModelConfig
from genrl_ros.data.replay import Replay
from genrl_ros.training.fit import fit
from genrl_ros.training.run import Run
from genrl_ros.world_model.checkpoint import weights_identity
from genrl_ros.world_model.losses import (
    connect_loss,
    dynamics_loss,
    prior_loss,
    world_model_loss,
)
from genrl_ros.world_model.mfwm import MFWM


def train_world_model(model: MFWM, replay: Replay, config: WorldModelConfig, run: Run) -> None:
    """Train tokenizer and sequence model; resumes from `world_model.safetensors`."""

    def loss(batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return world_model_loss(model, batch, config)

    network = nn.ModuleDict({'tokenizer': model.tokenizer, 'sequence': model.sequence})
    fit('world_model', network, loss, replay, config.updates, config.optim, run)


def train_dynamics(model: MFWM, replay: Replay, config: DynamicsConfig, run: Run) -> None:
    """Train the sequence model on logits; resumes from `dynamics.safetensors`."""

    def loss(batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return dynamics_loss(model, batch, config)

    built_on = weights_identity(model.tokenizer)
    fit('dynamics', model.sequence, loss, replay, config.updates, config.optim, run, built_on)


def train_connector(model: MFWM, replay: Replay, config: ConnectConfig, run: Run) -> None:
    """Train connector and aligner; resumes from `connector.safetensors`."""

    def loss(batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return connect_loss(model, batch, config)

    network = nn.ModuleDict({'connector': model.connector, 'aligner': model.aligner})
    built_on = f'{weights_identity(model.tokenizer)} {replay.embedder}'
    fit('connector', network, loss, replay, config.updates, config.optim, run, built_on)


def train_prior(model: MFWM, replay: Replay, config: PriorConfig, run: Run) -> None:
    """Train the action prior; resumes from `prior.safetensors`."""

    def loss(batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return prior_loss(model, batch, config)

    parts = {'tokenizer': model.tokenizer, 'sequence': model.sequence, 'aligner': model.aligner}
    built_on = weights_identity(nn.ModuleDict(parts))
    fit('prior', model.prior, loss, replay, config.updates, config.optim, run, built_on)


def prepare(threads: int, seed: int) -> None:
    """Set the number of CPU threads and the seed of all random numbers."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
