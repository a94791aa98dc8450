"""Climb the ladder: `python -m genrl_ros.bench.ladder DOMAIN --run FOLDER --json FILE`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro

from genrl_ros.behavior.actor_critic import Reward
from genrl_ros.behavior.rewards.sequence import Matcher
from genrl_ros.bench.ladder.anchor import train_anchor
from genrl_ros.bench.ladder.comparison import ahead, compare
from genrl_ros.bench.ladder.prediction import open_loop_steps, probes, surprise
from genrl_ros.bench.ladder.strips import dream_and_reality
from genrl_ros.bench.ladder.targets import best_clips, followed, goal_of
from genrl_ros.config.learning import LearnConfig
from genrl_ros.config.model import model_preset
from genrl_ros.config.presets import PresetName
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.domains import registry
from genrl_ros.domains.base import Domain
from genrl_ros.evaluation.reality import Reality
from genrl_ros.system.files import write_json
from genrl_ros.training.behavior.ground import matching_embedder
from genrl_ros.training.engine.speed import inspect
from genrl_ros.training.model.restore import restore_world_model
from genrl_ros.training.rounds.imagined import Learned, learn
from genrl_ros.training.rounds.recorded import Recorded, recorded
from genrl_ros.training.rounds.reward_head import explained, reward_of, train_reward_head
from genrl_ros.vlm.base import VideoTextEmbedder
from genrl_ros.world_model.checkpoint import load_mfwm
from genrl_ros.world_model.mfwm import MFWM

LEARNING = LearnConfig(
    updates=1_000, prior=0.0, critic_first=0, actor_lr=3e-4, target_every=50, precision='bf16',
    threads=2,
)  # fmt: skip


@dataclass(frozen=True)
class Config:
    """Arguments of the ladder."""

    domain: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar='DOMAIN')]
    """Domain of the world model."""
    run: Path | None = None
    """Folder of the run that trained it, finished or not."""
    model: Path | None = None
    """A finished model instead, which rungs 4 and 5 need."""
    data: Path | None = None
    """Its dataset; `data/DOMAIN` unless given."""
    preset: PresetName = 'medium'
    """Its sizes."""
    rungs: tuple[int, ...] = (1, 2)
    """1: predictions and probes; policies from 2: true rewards, 3: recorded clips as they are, 4:
    the same as video prompts, 5: sentences."""
    tasks: tuple[str, ...] = ()
    """Tasks to learn; all unless given, and for true rewards the seen ones."""
    windows: int = 1_600
    """Recorded windows that rewards are read from and imagination starts from."""
    episodes: int = 8
    """Episodes that a policy is run in."""
    seeds: int = 1
    """Learning seeds."""
    json: Path | None = None
    """File to write what was found to."""
    pictures: Path | None = None
    """Folder of film strips, the dream above reality."""
    learning: LearnConfig = field(default_factory=lambda: LEARNING)
    """How to learn; with a prior, the anchor is an unconditional clone of the dataset."""

    def __post_init__(self) -> None:
        if (self.run is None) == (self.model is None):
            raise ValueError('name either --run or --model')


def main(config: Config) -> None:
    """Climb the rungs that are asked for."""
    torch.set_num_threads(config.learning.threads)
    torch.manual_seed(0)
    domain = registry.get(config.domain)
    store = EpisodeStore.of(config.domain, config.data)
    model, embedder, known = _load(config, domain)
    found: dict[str, Any] = {
        'date': time.strftime('%Y-%m-%d'),
        'machine': asdict(inspect('cpu')),
        'frames': store.num_frames,
        **known,
        'learning': asdict(config.learning),
    }
    train = recorded(model, domain, store, store.training, config.windows)
    held_out = recorded(model, domain, store, store.held_out, config.windows // 4, seed=1)
    found['kl'] = surprise(model, store)
    if 1 in config.rungs:
        found['open_loop'] = open_loop_steps(model, store)
        found['probes'] = probes(domain, train, held_out)
        print(json.dumps(found, indent=1))
    if config.learning.prior > 0 and config.model is None:
        train_anchor(model, train)
    if 2 in config.rungs:
        found |= _true_rewards(config, model, train, held_out)
    for rung in (3, 4, 5):
        if rung in config.rungs:
            found[f'rung {rung}'] = _goals(config, rung, model, embedder, train, store)
    if config.json is not None:
        write_json(config.json, found)


def _load(config: Config, domain: Domain) -> tuple[MFWM, VideoTextEmbedder | None, dict[str, Any]]:
    """The model, its embedder if it is connected to one, and what it is known by."""
    if config.model is not None:
        model, card = load_mfwm(config.model)
        return model.requires_grad_(False), matching_embedder(card), {'model': card.sha256}
    assert config.run is not None
    model = MFWM(model_preset(config.preset, domain.robot.action_dim))
    updates = restore_world_model(model, config.run)
    return model.requires_grad_(False), None, {'updates': updates}


def _true_rewards(
    config: Config, model: MFWM, train: Recorded, held_out: Recorded
) -> dict[str, Any]:
    domain = registry.get(config.domain)
    names = [task.name for task in domain.tasks]
    head = train_reward_head(model.config, train)
    told = dict(zip(names, [round(each, 3) for each in explained(head, held_out)], strict=True))
    print('reward head:', told)
    tasks = config.tasks or tuple(task.name for task in domain.tasks if task.split == 'seen')
    policies: dict[str, Any] = {}
    for name in tasks:
        index = names.index(name)
        reward = reward_of(head, index, model.config.flat_stoch)

        def more(
            learned: Learned, reality: Reality, index: int = index, reward: Reward = reward
        ) -> dict[str, Any]:
            return {'ahead': ahead(model, learned, reality, reward, index)}

        policies[name] = _policies(config, name, model, reward, train, more)
    return {'reward_head': told, 'policies': policies}


def _goals(
    config: Config,
    rung: int,
    model: MFWM,
    embedder: VideoTextEmbedder | None,
    train: Recorded,
    store: EpisodeStore,
) -> dict[str, Any]:
    domain, how = registry.get(config.domain), config.learning
    clips = best_clips(domain, store, how.horizon + 1)
    found: dict[str, Any] = {}
    for name in config.tasks or tuple(task.name for task in domain.tasks):
        target = goal_of(rung, model, domain.task(name), clips[name], embedder, how.starts)
        matcher = Matcher(model.tokenizer.decoder.project, target, model.config.stoch, how.align)

        def more(_: Learned, reality: Reality, target: torch.Tensor = target) -> dict[str, Any]:
            return {'followed': round(followed(model, target, reality, how), 3)}

        rows = _policies(config, f'{name}-{rung}', model, matcher, train, more)
        found[name] = {'clip': clips[name].reward, 'policies': rows}
    return found


def _policies(
    config: Config,
    title: str,
    model: MFWM,
    reward: Reward,
    train: Recorded,
    more: Callable[[Learned, Reality], dict[str, Any]],
) -> list[dict[str, Any]]:
    """One policy a learning seed, and what each does in reality."""
    domain, rows = registry.get(config.domain), []
    for seed in range(config.seeds):
        how = replace(config.learning, seed=seed)
        began = time.monotonic()
        learned = learn(model, reward, train, how, _teller(title))
        seconds = round(time.monotonic() - began, 1)
        row, reality = compare(model, domain, learned, config.episodes, 100)
        rows.append(row | more(learned, reality) | {'seconds': seconds})
        print(title, seed, json.dumps(rows[-1]), flush=True)
        if config.pictures is not None:
            place = config.pictures / f'{title}-{seed}.png'
            dream_and_reality(place, model, learned, reality)
    return rows


def _teller(name: str) -> Callable[[int, dict[str, float]], None]:
    history: list[dict[str, float]] = []

    def tell(update: int, metrics: dict[str, float]) -> None:
        history.append(metrics)
        if update % 100 == 0:
            means = {key: round(float(np.mean([m[key] for m in history])), 3) for key in metrics}
            print(name, update, means, flush=True)
            history.clear()

    return tell


if __name__ == '__main__':
    main(tyro.cli(Config, description=__doc__))
