"""Train a world model on a dataset and connect it to a video-language embedder.

Stages, each of which resumes where it was interrupted: the world model itself; its dynamics once
more on finished latents, with rounds of policies that are learned in it and tried in the
simulator; the dataset's embeddings; connector with aligner. The result is a folder that
`genrl up`, `genrl learn` and `genrl eval` take; scores and pictures are beside its checkpoints.

On several processes, of one machine or many: `torchrun --nproc-per-node N --no-python -- genrl
pretrain ...`, which trains as one process would.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from genrl_ros.cli.commands.connect import (
    Connecting,
    connect,
    encode,
    learn_goals,
    learn_nearness,
)
from genrl_ros.cli.options import DomainName, TrainingOptions
from genrl_ros.cli.session import stage, training_session
from genrl_ros.config.model import model_preset
from genrl_ros.config.rounds import RoundsConfig
from genrl_ros.config.training import (
    DynamicsConfig,
    WorldModelConfig,
)
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.data.store.replay import Replay
from genrl_ros.domains import registry
from genrl_ros.system.files import check_writable
from genrl_ros.system.locks import exclusive
from genrl_ros.training.engine.run import Run
from genrl_ros.training.model.pretrain import prepare, train_dynamics, train_world_model
from genrl_ros.training.model.report import open_loop_picture, report_world_model
from genrl_ros.training.rounds.goals import goals_of
from genrl_ros.training.rounds.round import Round
from genrl_ros.vlm import load_embedder
from genrl_ros.vlm.base import VideoTextEmbedder
from genrl_ros.world_model.mfwm import MFWM


@dataclass(frozen=True)
class Config(TrainingOptions):
    """Arguments of `genrl pretrain`."""

    domain: DomainName
    """Domain of the dataset."""
    run: Path | None = None
    """Folder of checkpoints, curves and pictures; `runs/pretrain/DOMAIN` unless given."""
    out: Path | None = None
    """Where the finished model goes; `RUN/model` unless given."""
    stage: Literal['all', 'world-model'] = 'all'
    """Stop after the world model and its dynamics, which need no embedder, or go on to the end."""
    world_model: WorldModelConfig = field(default_factory=WorldModelConfig)
    """Training of tokenizer and sequence model."""
    rounds: RoundsConfig = field(default_factory=RoundsConfig)
    """Rounds in which it is tried in the simulator, and trained on."""
    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    """Further training of the sequence model."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stage == 'world-model' and self.rounds.needs_embedder:
            raise ValueError(
                '--stage world-model is without the embedder that --rounds.goals need'
            )
        if self.rounds.needs_embedder and not self.nearness.updates:
            raise ValueError('--rounds.goals need the nearness: --nearness.updates is 0')


def main(config: Config) -> int:
    """Run the stages that are not finished yet."""
    folder = config.run or Path('runs/pretrain') / config.domain
    with training_session(
        folder, config.record, config.device, config.precision, config.budget_s
    ) as run:
        pretrain(config, run)
    return 0


def pretrain(config: Config, run: Run) -> None:
    """Run the stages that are not finished yet, in the run's folder.

    Raises:
        StoppedError: if there was no time to finish.
    """
    out = config.out or run.folder / 'model'
    # Before all else: a mistyped name is told at once, and not after hours of training.
    embedder = load_embedder(config.embedder) if config.stage == 'all' else None
    store = EpisodeStore.of(config.domain, config.data)
    check_writable(store.path)  # where latents and embeddings are put
    spec, objects = store.spec, registry.objects(store.spec.name)
    prepare(config.threads, config.seed)
    sizes = model_preset(config.preset, spec.action_dim)
    if embedder is not None:
        sizes = replace(sizes, embed_dim=embedder.dim)
    model = MFWM(sizes).to(config.device)
    picture = open_loop_picture(model, store, objects)
    run = replace(run, pictures={'world_model': picture, 'dynamics': picture} if picture else {})
    alone = run.ranks.world == 1
    first = config.world_model
    replay = Replay(store, first.batch, first.length, config.seed, growing=alone)
    with stage('world model', first.updates, run) as watched:
        train_world_model(model, replay, first, watched)
    second, tokenizer = config.dynamics, encode(store, model, run)
    replay = Replay(
        store, second.batch, second.length, config.seed, tokenizer=tokenizer, growing=alone
    )
    with stage('dynamics', second.updates, run) as watched:
        train_dynamics(model, replay, second, watched)
    how = Connecting(config.connect, config.prior, config.nearness, config.seed, out)
    for number in range(1, config.rounds.count + 1):
        store = _round(config, number, model, store, embedder, how, run)
    scores: dict[str, Any] = {}
    if run.ranks.first and picture is not None:
        scores = {'open_loop': report_world_model(model.cpu(), store, objects, run.folder)}
        print(json.dumps(scores, indent=2))
    if embedder is None:
        return

    known = {
        'seed': config.seed,
        'data': {
            'frames': store.num_frames,
            'manifest_sha256': store.identity,
        },
        'world_model': asdict(first),
        'dynamics': asdict(second),
        'rounds': asdict(config.rounds),
        'scores': scores,
    }
    connect(model.to(config.device), store, embedder, how, run, known)


def _round(
    config: Config,
    number: int,
    model: MFWM,
    store: EpisodeStore,
    embedder: VideoTextEmbedder | None,
    how: Connecting,
    run: Run,
) -> EpisodeStore:
    """Try the model in the simulator, and train its dynamics on; the dataset as it is then.

    Raises:
        StoppedError: if there was no time to finish.
        ValueError: if there is no simulator, or several processes train.
    """
    rounds, second = config.rounds, config.dynamics
    if run.ranks.world > 1:
        raise ValueError('--rounds.count needs a training of one process')
    played = Round(
        number, model, store, registry.get(config.domain), rounds,
        run.folder / 'rounds' / str(number), os.cpu_count() or 1,
    )  # fmt: skip
    if embedder is not None and rounds.goals_in(number) and not played.is_learned:
        learn_goals(model, store, embedder, how, run)
        learn_nearness(model, store, embedder, how, run, f'nearness_round{number}')
        played = replace(played, goals=goals_of(store, embedder, rounds, number))
    with stage(f'round {number}', played.frames, run) as watched, exclusive(store.path):
        store = played.everything(watched)
    further = replace(second, updates=second.updates + number * rounds.updates)
    replay = Replay(
        store, second.batch, second.length, config.seed, tokenizer=encode(store, model, run),
        tried=rounds.share,
    )  # fmt: skip
    with stage(f'dynamics, round {number}', further.updates, run) as watched:
        train_dynamics(model, replay, further, watched)
    return store
