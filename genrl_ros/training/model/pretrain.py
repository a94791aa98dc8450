"""Train a world model on images and actions, refine its dynamics, connect it to an embedder.

The published code does both in one loop, but no gradient ever goes from the connector into the
world model (facts 1.5). Done one after the other, the connector learns from latents that no longer
change, and a world model can be connected to another embedder without training it anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from genrl_ros.config.training import (
    ConnectConfig,
    DynamicsConfig,
    NearnessConfig,
    PriorConfig,
    WorldModelConfig,
)
from genrl_ros.data.store.replay import Replay, StepReplay
from genrl_ros.data.store.stretches import StretchReplay
from genrl_ros.training.engine.fit import NetworkTraining, fit
from genrl_ros.training.engine.run import Run
from genrl_ros.training.model.latents import dynamics_identity
from genrl_ros.world_model.checkpoint import weights_identity
from genrl_ros.world_model.losses import (
    connect_loss,
    dynamics_loss,
    nearness_loss,
    prior_loss,
    world_model_loss,
)
from genrl_ros.world_model.mfwm import MFWM

Config = WorldModelConfig | DynamicsConfig | ConnectConfig | PriorConfig | NearnessConfig


def train_world_model(model: MFWM, replay: Replay, config: WorldModelConfig, run: Run) -> None:
    """Train tokenizer and sequence model; resumes from `world_model.safetensors`."""

    def loss(batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return world_model_loss(model, batch, config)

    network = nn.ModuleDict({'tokenizer': model.tokenizer, 'sequence': model.sequence})
    asked = _settings(config)
    training = NetworkTraining(
        'world_model', network, loss, replay, config.updates, config.optim, run, '', asked
    )
    fit(training)


def train_dynamics(model: MFWM, replay: Replay, config: DynamicsConfig, run: Run) -> None:
    """Train the sequence model on logits; resumes from `dynamics.safetensors`."""

    def loss(batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return dynamics_loss(model, batch, config)

    built_on = weights_identity(model.tokenizer)
    asked = _settings(config)
    sequence = model.sequence
    training = NetworkTraining(
        'dynamics', sequence, loss, replay, config.updates, config.optim, run, built_on, asked
    )
    fit(training)


def train_connector(model: MFWM, replay: Replay, config: ConnectConfig, run: Run) -> None:
    """Train connector and aligner; resumes from `connector.safetensors`."""

    def loss(batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return connect_loss(model, batch, config)

    network = nn.ModuleDict({'connector': model.connector, 'aligner': model.aligner})
    built_on = f'{weights_identity(model.tokenizer)} {replay.embedder}'
    asked = _settings(config) | {'embedder': replay.embedder}
    training = NetworkTraining(
        'connector', network, loss, replay, config.updates, config.optim, run, built_on, asked
    )
    fit(training)


def train_prior(model: MFWM, replay: StepReplay, config: PriorConfig, run: Run) -> None:
    """Train the action prior; resumes from `prior.safetensors`."""

    def loss(batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return prior_loss(model, batch, config)

    built_on = f'{dynamics_identity(model)} {weights_identity(model.aligner)}'
    asked = _settings(config)
    if not config.conditional:  # and zeros stay zeros, as nothing is put in
        nn.init.zeros_(model.prior.condition.weight)
    training = NetworkTraining(
        'prior', model.prior, loss, replay, config.updates, config.optim, run, built_on, asked
    )
    fit(training)


def train_nearness(
    model: MFWM, replay: StretchReplay, config: NearnessConfig, run: Run, name: str = 'nearness'
) -> None:
    """Train the nearness; resumes from `nearness.safetensors`, or another name."""
    known = None if replay.known is None else torch.from_numpy(replay.known).to(run.device)

    def loss(batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return nearness_loss(model, batch, config, known)

    built_on = f'{dynamics_identity(model)} {weights_identity(model.aligner)}'
    asked = _settings(config) | {'embedder': replay.embedder}
    net = model.nearness
    training = NetworkTraining(
        name, net, loss, replay, config.updates, config.optim, run, built_on, asked
    )
    fit(training)


def _settings(config: Config) -> dict[str, Any]:
    """All that a stage is configured with, except for how long it is trained."""
    return {name: value for name, value in asdict(config).items() if name != 'updates'}


def prepare(threads: int, seed: int) -> None:
    """Set the number of CPU threads and the seed of all random numbers."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
