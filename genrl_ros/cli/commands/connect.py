"""Connect a finished world model to a video-language embedder, and train all that needs it.

The dataset's embeddings are made first, where they are missing. `genrl pretrain` ends with this;
alone it is for another embedder, or for a longer training.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genrl_ros.cli.options import DomainName, TrainingOptions
from genrl_ros.cli.session import stage, training_session, work_through
from genrl_ros.config.recipe import read_recipe
from genrl_ros.config.training import ConnectConfig, NearnessConfig, PriorConfig
from genrl_ros.data.pictures import grid, write_png
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.data.store.replay import Replay, StepReplay
from genrl_ros.data.store.stretches import StretchReplay
from genrl_ros.domains import registry
from genrl_ros.system.files import write_json
from genrl_ros.system.share import shipped_model
from genrl_ros.training.behavior.export import write_model
from genrl_ros.training.engine.run import Run
from genrl_ros.training.model.embeddings import embed_dataset
from genrl_ros.training.model.latents import dynamics_identity, encode_dataset, follow_dataset
from genrl_ros.training.model.pretrain import (
    prepare,
    train_connector,
    train_nearness,
    train_prior,
)
from genrl_ros.training.model.report import goal_strips, report_goals, video_goal_strips
from genrl_ros.training.model.stills import embed_stills, follow_stills
from genrl_ros.vlm import load_embedder
from genrl_ros.vlm.base import VideoTextEmbedder
from genrl_ros.vlm.grounding import KnowsConcepts
from genrl_ros.world_model.checkpoint import load_mfwm, weights_identity
from genrl_ros.world_model.mfwm import MFWM


@dataclass(frozen=True)
class Config(TrainingOptions):
    """Arguments of `genrl connect`."""

    domain: DomainName
    """Domain of the world model."""
    model: Path | None = None
    """World model; the shipped one unless given."""
    run: Path | None = None
    """Folder of checkpoints, curves and pictures; `runs/connect/DOMAIN` unless given."""
    out: Path | None = None
    """Where the connected model goes; `RUN/model` unless given."""


def main(config: Config) -> int:
    """Connect and write the model."""
    folder = config.run or Path('runs/connect') / config.domain
    embedder = load_embedder(config.embedder)
    store = EpisodeStore.of(config.domain, config.data)
    with training_session(
        folder, config.record, config.device, config.precision, config.budget_s
    ) as run:
        prepare(config.threads, config.seed)
        finished, card = load_mfwm(config.model or shipped_model(config.domain))
        store.check_robot(card.spec)
        scores = card.training.get('scores', {})
        sizes = replace(finished.config, embed_dim=embedder.dim)
        model = MFWM(sizes)  # connector and aligner begin anew
        model.tokenizer.load_state_dict(finished.tokenizer.state_dict())
        model.sequence.load_state_dict(finished.sequence.state_dict())
        known = {'scores': {k: score for k, score in scores.items() if k == 'open_loop'}}
        how = Connecting(
            config.connect, config.prior, config.nearness, config.seed,
            config.out or folder / 'model',
        )  # fmt: skip
        connect(model.to(config.device), store, embedder, how, run, {**card.training, **known})
    return 0


@dataclass(frozen=True)
class Connecting:
    """How to connect a world model, and where to put it then.

    Attributes:
        connect: training of connector and aligner.
        prior: training of the action prior.
        nearness: training of the nearness.
        seed: of the order of batches.
        out: folder of the finished model.
    """

    connect: ConnectConfig
    prior: PriorConfig
    nearness: NearnessConfig
    seed: int
    out: Path


def connect(
    model: MFWM,
    store: EpisodeStore,
    embedder: VideoTextEmbedder,
    how: Connecting,
    run: Run,
    known: Mapping[str, Any],
) -> None:
    """Embed the dataset, train all that needs embeddings, measure goals, write the model.

    Args:
        model: the world model, whose tokenizer is finished, of the embedder's size.
        store: the dataset.
        embedder: what to connect it to.
        how: the settings.
        run: where and how it is trained.
        known: what the model's description says so far: how it was made, and its `scores`.
    """
    name = store.spec.name
    objects, tasks = registry.objects(name), registry.tasks(name)
    run = replace(run, pictures={'connector': goal_strips(model, store, tasks, objects, embedder)})
    learn_goals(model, store, embedder, how, run)
    _train_prior(model, store, embedder.identity, how, run)
    learn_nearness(model, store, embedder, how, run)
    if not run.ranks.first:
        return
    model.cpu()
    if strips := video_goal_strips(model, store, objects, embedder):
        write_png(run.folder / 'video_goals.png', grid(strips))
    scores = known['scores']
    if domain := registry.find(name):
        scores = {**scores, 'goals': report_goals(model, store, domain, embedder, run.folder)}
    description = {
        **known,
        'date': datetime.now(UTC).date().isoformat(),
        'connect': {'seed': how.seed, **asdict(how.connect)},
        'prior': asdict(how.prior),
        'nearness': asdict(how.nearness),
        'learning': dict(read_recipe(name).learning),
        'scores': scores,
    }
    write_model(how.out, model, store.spec, embedder.name, embedder.identity, description)
    write_json(run.folder / 'scores.json', scores)
    print(json.dumps(scores, indent=2))
    print(f'model: {how.out}, pictures: {run.folder}')


def learn_goals(
    model: MFWM, store: EpisodeStore, embedder: VideoTextEmbedder, how: Connecting, run: Run
) -> None:
    """Embed the dataset, and train connector and aligner."""
    mine = run.ranks.deal(store.episode_ids)
    work_through('embed', store.num_frames, embed_dataset(store, embedder, mine), run)
    config, tokenizer = how.connect, encode(store, model, run)
    replay = Replay(
        store, config.batch, config.length, how.seed, embedder.identity, tokenizer,
        growing=run.ranks.world == 1,
    )  # fmt: skip
    with stage('connector', config.updates, run) as watched:
        train_connector(model, replay, config, watched)


def learn_nearness(
    model: MFWM,
    store: EpisodeStore,
    embedder: VideoTextEmbedder,
    how: Connecting,
    run: Run,
    name: str = 'nearness',
) -> None:
    """Train the nearness of a model whose goals are learned, under a name of its checkpoints."""
    config, alone = how.nearness, run.ranks.world == 1
    if not config.updates:
        return
    _follow(model, store, run)
    if config.stills:
        mine, frames = run.ranks.deal(store.episode_ids), store.num_frames
        work_through('embed stills', frames, embed_stills(store, embedder, mine), run)
        work_through('follow stills', frames, follow_stills(store, model, mine), run)
    known = None
    if isinstance(embedder, KnowsConcepts):
        _, known = embedder.bank.known_to(store.spec.name)
    stretches = StretchReplay(
        store, config.batch, config.stills, config.goals, config.same, how.seed,
        embedder.identity, weights_identity(model.tokenizer), dynamics_identity(model),
        growing=alone, known=known, named=config.named,
    )  # fmt: skip
    with stage(name, config.updates, run) as watched:
        train_nearness(model, stretches, config, watched, name)


def _train_prior(
    model: MFWM, store: EpisodeStore, embedder: str, how: Connecting, run: Run
) -> None:
    prior, alone = how.prior, run.ranks.world == 1
    if not prior.updates:
        return
    _follow(model, store, run)
    steps = StepReplay(
        store, prior.batch, prior.steps, prior.delay, prior.discount, how.seed,
        embedder, weights_identity(model.tokenizer), dynamics_identity(model), growing=alone,
    )  # fmt: skip
    with stage('action prior', prior.updates, run) as watched:
        train_prior(model, steps, prior, watched)


def _follow(model: MFWM, store: EpisodeStore, run: Run) -> None:
    """Make the states of the dataset where they are not yet."""
    mine = run.ranks.deal(store.episode_ids)
    work_through('follow', store.num_frames, follow_dataset(store, model, mine), run)


def encode(store: EpisodeStore, model: MFWM, run: Run) -> str:
    """Encode the dataset where it is not yet, and give the tokenizer's identity."""
    mine = run.ranks.deal(store.episode_ids)
    steps = encode_dataset(store, model.tokenizer, mine)
    work_through('encode', store.num_frames, steps, run)
    return weights_identity(model.tokenizer)
