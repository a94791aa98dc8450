"""Does each round bring dreams nearer to reality? `python -m genrl_ros.bench.rounds DOMAIN`.

The policies that a round learned for the seen tasks are run in the simulator. From states of these
episodes the model that they were learned in dreams on; dream and reality are rewarded alike, by
the reader of true rewards. How much the episodes surprise that model is compared with how much
they surprise the model that came of the round.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro

from genrl_ros.bench.dreams import gap, policy_of
from genrl_ros.bench.ladder.comparison import AHEAD
from genrl_ros.config.rounds import RoundsConfig
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.domains import registry
from genrl_ros.domains.base import Domain
from genrl_ros.evaluation.reality import Reality, drive, scores
from genrl_ros.serving.policy.bundle import load_bundle
from genrl_ros.system.files import write_json
from genrl_ros.training.engine.speed import inspect
from genrl_ros.training.rounds.recorded import recorded
from genrl_ros.training.rounds.reward_head import reward_of, train_reward_head
from genrl_ros.world_model import latents
from genrl_ros.world_model.checkpoint import load_mfwm
from genrl_ros.world_model.mfwm import MFWM


@dataclass(frozen=True)
class Config:
    """Arguments of the comparison."""

    domain: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar='DOMAIN')]
    """Domain to run in."""
    run: Path | None = None
    """Folder of the training, with its rounds; `runs/pretrain/DOMAIN` unless given."""
    model: Path | None = None
    """The model that came of the last round; `RUN/model` unless given."""
    data: Path | None = None
    """Dataset; `data/DOMAIN` unless given."""
    episodes: int = 8
    """Episodes that a policy is run in."""
    seed: int = 100
    """First seed of the episodes."""
    json: Path | None = None
    """File to write the table to."""


def main(config: Config) -> None:
    """Print a line for each policy of each round."""
    torch.set_num_threads(1)
    domain = registry.get(config.domain)
    run = config.run or Path('runs/pretrain') / domain.name
    store = EpisodeStore.of(domain.name, config.data)
    numbers = sorted(int(each.name) for each in (run / 'rounds').glob('[0-9]*'))
    if not numbers:
        raise FileNotFoundError(f'{run} has no rounds: `genrl pretrain --rounds.count` makes them')
    models = [run / 'rounds' / str(number) / 'model' for number in numbers]
    models.append(config.model or run / 'model')
    rounds: dict[str, Any] = {}
    for number, before, after in zip(numbers, models, models[1:], strict=False):
        rounds[str(number)] = {}
        for task, row in _round(config, domain, store, number, before, after):
            rounds[str(number)][task] = row
            print(f'round {number}, {task}: {json.dumps(row)}', flush=True)
    if config.json is not None:
        found = {
            'date': time.strftime('%Y-%m-%d'),
            'machine': asdict(inspect('cpu')),
            'domain': domain.name,
            'episodes': config.episodes,
            'rounds': rounds,
        }
        write_json(config.json, found)


def _round(
    config: Config, domain: Domain, store: EpisodeStore, number: int, before: Path, after: Path
) -> Iterator[tuple[str, dict[str, float]]]:
    """Tasks and rows of one round's policies."""
    torch.manual_seed(number)
    model, later = load_mfwm(before)[0], load_mfwm(after)[0]
    earlier = [name for name in store.training if _rounds_of(name) < number]
    states = recorded(model, domain, store, earlier, RoundsConfig().windows, seed=number)
    head = train_reward_head(model.config, states)
    for place, task in enumerate(domain.tasks):
        if task.split != 'seen':
            continue
        policy = policy_of(load_bundle(before.parent / task.name))
        reality = drive(model, domain, policy, config.episodes, domain.episode_steps, config.seed)
        reward = reward_of(head, place, model.config.flat_stoch)
        yield (
            task.name,
            {
                'score': round(float(np.mean(scores(domain, reality)[task.name])), 3),
                **gap(model, policy, reality, reward, AHEAD),
                'kl': round(float(reality.kl.mean()), 2),
                'kl_after': round(surprise_of(later, reality), 2),
            },
        )


def _rounds_of(name: str) -> int:
    """Number of the round that an episode is of; 0 if it is of none."""
    series, _, _ = name.partition('-')
    return int(series.removeprefix('round')) if series.startswith('round') else 0


@torch.no_grad()
def surprise_of(model: MFWM, reality: Reality) -> float:
    """Mean KL in nats of posterior and prior of a model along real episodes."""
    found = []
    for image, action in zip(reality.image, reality.action, strict=True):
        logq = latents.log_probs(model.tokenizer.encode(torch.from_numpy(image)))[None]
        led = torch.from_numpy(np.concatenate([np.zeros_like(action[:1]), action[:-1]]))[None]
        first = torch.zeros(led.shape[:2])
        first[0, 0] = 1
        deter = model.deter_along(latents.mode(logq), led, first)
        found.append(float(latents.kl(logq, model.sequence.prior(deter)).mean()))
    return float(np.mean(found))


if __name__ == '__main__':
    main(tyro.cli(Config, description=__doc__))
