"""Train a world model on images and actions, refine its dynamics, connect it to an embedder.

The published code does both in one loop, but no gradient ever goes from the connector into the
world model (facts 1.5). Done one after the other, the connector learns from latents that no longer
change, and a world model can be connected to another embedder without training it anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from genrl_ros.config import ConnectConfig, DynamicsConfig, PriorConfig, WorldModelConfig
from genrl_ros.data.replay import Replay
from genrl_ros.training.fit import Progress, fit
from genrl_ros.world_model.losses import (
    connect_loss,
    dynamics_loss,
    prior_loss,
    world_model_loss,
)
from genrl_ros.world_model.mfwm import MFWM

OnProgress = Callable[[Progress], None]


def train_world_model(
    model: MFWM, replay: Replay, config: WorldModelConfig, run: Path, on_progress: OnProgress
) -> None:
    """Train tokenizer and sequence model; resumes from `run/world_model.safetensors`."""

    def loss(batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return world_model_loss(model, batch, config)

    network = nn.ModuleDict({'tokenizer': model.tokenizer, 'sequence': model.sequence})
    fit('world_model', network, loss, replay, config.updates, config.optim, run, on_progress)


def train_dynamics(
    model: MFWM, replay: Replay, config: DynamicsConfig, run: Path, on_progress: OnProgress
) -> None:
    """Train the sequence model on logits; resumes from `run/dynamics.safetensors`."""

    def loss(batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return dynamics_loss(model, batch, config)

    fit('dynamics', model.sequence, loss, replay, config.updates, config.optim, run, on_progress)


def train_connector(
    model: MFWM, replay: Replay, config: ConnectConfig, run: Path, on_progress: OnProgress
) -> None:
    """Train connector and aligner; resumes from `run/connector.safetensors`."""

    def loss(batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return connect_loss(model, batch, config)

    network = nn.ModuleDict({'connector': model.connector, 'aligner': model.aligner})
    fit('connector', network, loss, replay, config.updates, config.optim, run, on_progress)


def train_prior(
    model: MFWM, replay: Replay, config: PriorConfig, run: Path, on_progress: OnProgress
) -> None:
    """Train the action prior; resumes from `run/prior.safetensors`."""

    def loss(batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return prior_loss(model, batch)

    fit('prior', model.prior, loss, replay, config.updates, config.optim, run, on_progress)


def prepare(threads: int, seed: int) -> None:
    """Set the number of CPU threads and the seed of all random numbers."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
