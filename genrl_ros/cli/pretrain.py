"""Train a world model on a dataset and connect it to a video-language embedder.

Three stages, each of which resumes where it was interrupted: the world model itself, the dataset's
embeddings, and connector with aligner. The result is a folder that `genrl up`, `genrl learn` and
`genrl eval` take; scores and pictures of it are beside its checkpoints.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import tyro

from genrl_ros.cli.progress import Show, bar
from genrl_ros.config import ConnectConfig, WorldModelConfig, model_preset
from genrl_ros.data.episode_store import EpisodeStore
from genrl_ros.data.replay import Replay
from genrl_ros.envs.registry import element_positions, env_spec
from genrl_ros.files import atomic_file, sha256, write_json
from genrl_ros.training.embeddings import embed_dataset
from genrl_ros.training.export import export_encoder
from genrl_ros.training.fit import Progress
from genrl_ros.training.pretrain import OnProgress, prepare, train_connector, train_world_model
from genrl_ros.training.report import report_goals, report_world_model
from genrl_ros.vlm import load_embedder
from genrl_ros.world_model.checkpoint import save_mfwm
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
    connect: ConnectConfig = field(default_factory=ConnectConfig)
    """Training of connector and aligner."""


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
    objects = slice(min(e.start for e in elements.values()), None)
    scores = {'open_loop': report_world_model(model, store, objects, run)}
    print(json.dumps(scores, indent=2))
    if config.stage == 'world-model':
        return 0

    embedder = load_embedder(config.embedder)
    with bar('embed', store.num_frames) as show:
        done = 0
        for frames in embed_dataset(store, embedder):
            done += frames
            show(done, embedder.name)
    second = config.connect
    replay = Replay(store, second.batch, second.length, config.seed, embedder=embedder.identity)
    with bar('connector', second.updates) as show:
        train_connector(model, replay, second, run, shown(show))
    scores |= {'goals': report_goals(model, store, spec, elements, embedder, run)}
    print(json.dumps(scores, indent=2))

    training = {
        'seed': config.seed,
        'date': datetime.now(UTC).date().isoformat(),
        'data': {'frames': store.num_frames, 'manifest_sha256': sha256(store.path / 'manifest.json')},
        'world_model': asdict(sizes),
        'connect': asdict(second),
        'scores': scores,
    }
    save_mfwm(out, model, spec, embedder.name, embedder.identity, training)
    with atomic_file(out / 'encoder.onnx') as temporary:
        temporary.write_bytes(export_encoder(model))
    write_json(run / 'scores.json', scores)
    print(f'model: {out}, pictures: {run}')
    return 0


def shown(show: Show) -> OnProgress:
    """A progress callback that shows rate and metrics beside the bar."""

    def on_progress(progress: Progress) -> None:
        metrics = ' '.join(
            f'{name} {value:.3g}' for name, value in progress.metrics.items() if math.isfinite(value)
        )
        show(progress.update, f'{progress.updates_per_s:.1f}/s  {metrics}')

    return on_progress
