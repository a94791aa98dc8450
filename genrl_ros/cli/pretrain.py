"""Train a world model on a dataset and connect it to a video-language embedder.

Stages, each of which resumes where it was interrupted: the world model itself, its dynamics once
more on finished latents, the dataset's embeddings, and connector with aligner. The result is a
folder that `genrl up`, `genrl learn` and `genrl eval` take; scores and pictures of it are beside
its checkpoints.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from genrl_ros.cli.connect import connect, encode, shown
from genrl_ros.cli.progress import bar
from genrl_ros.config import (
    ConnectConfig,
    DynamicsConfig,
    PriorConfig,
    WorldModelConfig,
    model_preset,
)
from genrl_ros.data.episode_store import EpisodeStore
from genrl_ros.data.replay import Replay
from genrl_ros.envs.registry import element_positions, env_spec
from genrl_ros.files import sha256
from genrl_ros.training.pretrain import prepare, train_dynamics, train_world_model
from genrl_ros.training.report import report_world_model
from genrl_ros.world_model.mfwm import MFWM


@dataclass(frozen=True)
class Config:
    """Arguments of `genrl pretrain`."""

    domain: Annotated[str, tyro.conf.Positional]
    """Domain of the dataset."""
    data: Path | None = None
    """Dataset; `data/DOMAIN` unless given."""
    run: Path | None = None
    """Folder of checkpoints, curves and pictures; `runs/pretrain/DOMAIN` unless given."""
    out: Path | None = None
    """Where the finished model goes; `RUN/model` unless given."""
    preset: Literal['small', 'base', 'paper'] = 'small'
    """Sizes of the model."""
    embedder: str = 'embedded'
    """Video-language embedder to connect it to."""
    seed: int = 0
    """Seed of all random numbers."""
    threads: int = 2
    """CPU threads."""
    stage: Literal['all', 'world-model'] = 'all'
    """Stop after the world model, which needs no embedder, or go on to the end."""
    world_model: WorldModelConfig = field(default_factory=WorldModelConfig)
    """Training of tokenizer and sequence model."""
    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    """Further training of the sequence model."""
    connect: ConnectConfig = field(default_factory=ConnectConfig)
    """Training of connector and aligner."""
    prior: PriorConfig = field(default_factory=PriorConfig)
    """Training of the action prior."""


def main(config: Config) -> int:
    """Run the stages that are not finished yet."""
    run = config.run or Path('runs/pretrain') / config.domain
    out = config.out or run / 'model'
    store = EpisodeStore.open(config.data or Path('data') / config.domain)
    spec = env_spec(config.domain)
    elements = element_positions(config.domain)
    prepare(config.threads, config.seed)
    model = MFWM(model_preset(config.preset, spec.action_dim))
    sizes = config.world_model
    replay = Replay(store, sizes.batch, sizes.length, config.seed)
    with bar('world model', sizes.updates) as show:
        train_world_model(model, replay, sizes, run, shown(show))
    second = config.dynamics
    replay = Replay(
        store, second.batch, second.length, config.seed, tokenizer=encode(store, model)
    )
    with bar('dynamics', second.updates) as show:
        train_dynamics(model, replay, second, run, shown(show))
    objects = slice(min(e.start for e in elements.values()), None)
    scores = {'open_loop': report_world_model(model, store, objects, run)}
    print(json.dumps(scores, indent=2))
    if config.stage == 'world-model':
        return 0

    training = {
        'seed': config.seed,
        'data': {
            'frames': store.num_frames,
            'manifest_sha256': sha256(store.path / 'manifest.json'),
        },
        'world_model': asdict(sizes),
        'dynamics': asdict(second),
    }
    connect(
        model, store, config.domain, config.embedder, config.connect, config.prior, run, out,
        training, scores,
    )  # fmt: skip
    return 0
