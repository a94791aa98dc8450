"""Connect a finished world model to a video-language embedder: connector, aligner and prior.

The dataset's embeddings are made first, where they are missing. `genrl pretrain` ends with this;
alone it is for another embedder, or for a longer training.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import tyro

from genrl_ros.cli.progress import Show, bar
from genrl_ros.config import ConnectConfig, PriorConfig
from genrl_ros.data.episode_store import EpisodeStore
from genrl_ros.data.replay import Replay
from genrl_ros.envs.registry import element_positions, env_spec
from genrl_ros.files import write_json
from genrl_ros.share import share_path
from genrl_ros.training.embeddings import embed_dataset
from genrl_ros.training.export import write_model
from genrl_ros.training.fit import Progress
from genrl_ros.training.latents import encode_dataset, tokenizer_identity
from genrl_ros.training.pretrain import OnProgress, prepare, train_connector, train_prior
from genrl_ros.training.report import report_goals
from genrl_ros.vlm import load_embedder
from genrl_ros.world_model.checkpoint import load_mfwm
from genrl_ros.world_model.mfwm import MFWM


@dataclass(frozen=True)
class Config:
    """Arguments of `genrl connect`."""

    domain: Annotated[str, tyro.conf.Positional]
    """Domain of the world model."""
    model: Path | None = None
    """World model; the shipped one unless given."""
    data: Path | None = None
    """Dataset; `data/DOMAIN` unless given."""
    run: Path | None = None
    """Folder of checkpoints, curves and pictures; `runs/connect/DOMAIN` unless given."""
    out: Path | None = None
    """Where the connected model goes; `RUN/model` unless given."""
    embedder: str = 'embedded'
    """Video-language embedder to connect it to."""
    seed: int = 0
    """Seed of all random numbers."""
    threads: int = 2
    """CPU threads."""
    connect: ConnectConfig = field(default_factory=ConnectConfig)
    """Training of connector and aligner."""
    prior: PriorConfig = field(default_factory=PriorConfig)
    """Training of the action prior."""


def main(config: Config) -> int:
    """Connect and write the model."""
    run = config.run or Path('runs/connect') / config.domain
    store = EpisodeStore.open(config.data or Path('data') / config.domain)
    prepare(config.threads, config.seed)
    finished, card = load_mfwm(config.model or share_path('models', config.domain))
    model = MFWM(finished.config)  # connector and aligner begin anew
    model.tokenizer.load_state_dict(finished.tokenizer.state_dict())
    model.sequence.load_state_dict(finished.sequence.state_dict())
    connect(
        model, store, config.domain, config.embedder, config.connect, config.prior, run,
        config.out or run / 'model', card.training,
        {'open_loop': card.training['scores']['open_loop']},
    )  # fmt: skip
    return 0


def connect(
    model: MFWM,
    store: EpisodeStore,
    domain: str,
    embedder_name: str,
    config: ConnectConfig,
    prior: PriorConfig,
    run: Path,
    out: Path,
    training: Mapping[str, Any],
    scores: Mapping[str, Any],
) -> None:
    """Embed the dataset, train connector, aligner and prior, measure goals, write the model.

    Args:
        model: the world model, whose tokenizer is finished.
        store: the dataset.
        domain: its domain.
        embedder_name: which embedder.
        config: how to train connector and aligner.
        prior: how to train the action prior.
        run: folder of checkpoints, curves and pictures.
        out: folder of the finished model.
        training: what the model's description says of how the world model was made.
        scores: scores so far.
    """
    spec = env_spec(domain)
    embedder = load_embedder(embedder_name)
    with bar('embed', store.num_frames) as show:
        done = 0
        for frames in embed_dataset(store, embedder):
            done += frames
            show(done, embedder.name)
    seed, tokenizer = int(training['seed']), encode(store, model)
    replay = Replay(store, config.batch, config.length, seed, embedder.identity, tokenizer)
    with bar('connector', config.updates) as show:
        train_connector(model, replay, config, run, shown(show))
    replay = Replay(store, prior.batch, prior.length, seed, embedder.identity, tokenizer)
    with bar('action prior', prior.updates) as show:
        train_prior(model, replay, prior, run, shown(show))
    goals = report_goals(model, store, spec, element_positions(domain), embedder, run)
    scores = {**scores, 'goals': goals}
    print(json.dumps(scores, indent=2))
    description = {
        **training,
        'date': datetime.now(UTC).date().isoformat(),
        'connect': asdict(config),
        'prior': asdict(prior),
        'scores': scores,
    }
    write_model(out, model, spec, embedder.name, embedder.identity, description)
    write_json(run / 'scores.json', scores)
    print(f'model: {out}, pictures: {run}')


def encode(store: EpisodeStore, model: MFWM) -> str:
    """Encode the dataset where it is not yet, and give the tokenizer's identity."""
    with bar('encode', store.num_frames) as show:
        done = 0
        for frames in encode_dataset(store, model.tokenizer):
            done += frames
            show(done, '')
    return tokenizer_identity(model.tokenizer)


def shown(show: Show) -> OnProgress:
    """A progress callback that shows rate and metrics beside the bar."""

    def on_progress(progress: Progress) -> None:
        metrics = ' '.join(
            f'{name} {value:.3g}'
            for name, value in progress.metrics.items()
            if math.isfinite(value)
        )
        show(progress.update, f'{progress.updates_per_s:.1f}/s  {metrics}')

    return on_progress
