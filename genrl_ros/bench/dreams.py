"""Do dreams of learned policies come true? `python -m genrl_ros.bench.dreams DOMAIN BUNDLE ...`.

Policies are run in the simulator. From states of these episodes the world model dreams on, with
the same policy; dream and reality are rewarded alike, by the sentence that the policy was learned
for. How much the model is surprised by the episodes is compared with held-out ones of the dataset.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime as ort
import torch
import tyro
from torch import Tensor

from genrl_ros.behavior.actor_critic import Dream, Reward
from genrl_ros.behavior.rewards.named import reward_of
from genrl_ros.behavior.rewards.sequence import target_features
from genrl_ros.bench.ladder.comparison import LEAD, dream_on
from genrl_ros.bench.ladder.prediction import surprise
from genrl_ros.config.learning import LearnConfig
from genrl_ros.config.mapping import from_mapping
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.domains import registry
from genrl_ros.evaluation.reality import Policy, Reality, drive, scores
from genrl_ros.serving.policy.bundle import ACTOR, PolicyBundle, load_bundle
from genrl_ros.system.files import write_json
from genrl_ros.system.share import shipped_model
from genrl_ros.training.behavior.ground import matching_embedder
from genrl_ros.training.engine.speed import inspect
from genrl_ros.world_model import latents
from genrl_ros.world_model.checkpoint import load_mfwm
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.sequence import State


@dataclass(frozen=True)
class Config:
    """Arguments of the comparison."""

    domain: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar='DOMAIN')]
    """Domain to run in."""
    policies: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar='BUNDLE')]
    """Policies of tasks, learned for sentences."""
    model: Path | None = None
    """World model that they were learned in; the shipped one unless given."""
    data: Path | None = None
    """Dataset with held-out episodes; `data/DOMAIN` unless given."""
    episodes: int = 8
    """Episodes that a policy is run in."""
    seed: int = 100
    """First seed of the episodes."""
    json: Path | None = None
    """File to write the table to."""


def main(config: Config) -> None:
    """Print a line for each policy."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    domain = registry.get(config.domain)
    model, card = load_mfwm(config.model or shipped_model(config.domain))
    how = from_mapping(LearnConfig, card.training.get('learning', {}), 'learning')
    embedder = matching_embedder(card)
    by_kind = surprise(model, EpisodeStore.of(config.domain, config.data))
    found: dict[str, Any] = {
        'date': time.strftime('%Y-%m-%d'),
        'machine': asdict(inspect('cpu')),
        'model': card.sha256,
        'held_out_kl': round(float(np.mean(list(by_kind.values()))), 2),
        'held_out_kl_by_kind': by_kind,
        'policies': {},
    }
    print('held-out episodes, KL by kind:', json.dumps(by_kind))
    for path in config.policies:
        bundle = load_bundle(path)
        task = domain.task_of(bundle.description.prompt)
        if task is None:
            raise ValueError(f'{path}: no task of {domain.name} has its prompt')
        policy = policy_of(bundle)
        reality = drive(model, domain, policy, config.episodes, domain.episode_steps, config.seed)
        prompt = torch.from_numpy(embedder.embed_text([bundle.description.prompt])[0])
        target = target_features(model, prompt, config.episodes, how.horizon + 1).contiguous()
        reward = reward_of(model, prompt, target, how)
        row = {
            'score': round(float(np.mean(scores(domain, reality)[task.name])), 3),
            **gap(model, policy, reality, reward, how.horizon),
            'kl': round(float(reality.kl.mean()), 2),
        }
        found['policies'][task.name] = row
        print(task.name, json.dumps(row), flush=True)
    if config.json is not None:
        write_json(config.json, found)


def policy_of(bundle: PolicyBundle) -> Policy:
    """The bundle's own actor, for several episodes at once."""
    session = ort.InferenceSession(bundle.graphs[ACTOR])

    def act(state: State) -> Tensor:
        tokens, deter = state.stoch.argmax(-1).numpy(), state.deter.numpy()
        rows = [
            session.run(None, {'tokens': tokens[row : row + 1], 'deter': deter[row : row + 1]})[0]
            for row in range(len(tokens))
        ]
        return torch.from_numpy(np.concatenate(rows))

    return act


@torch.no_grad()
def gap(
    model: MFWM, policy: Policy, reality: Reality, reward: Reward, horizon: int
) -> dict[str, float]:
    """Mean reward of a step as `dreamt` from real states, and the `real` one of the same steps."""
    tokens = torch.from_numpy(reality.tokens).transpose(0, 1)
    stoch = latents.one_hot(tokens, model.config.classes)
    deter = torch.from_numpy(reality.deter).transpose(0, 1)
    dreamt, real = [], []
    for step in range(LEAD, reality.kl.shape[1] - horizon, horizon):
        dreamt.append(reward(dream_on(model, policy, reality, step, horizon)))
        part = slice(step, step + horizon + 1)
        came = (each[part].contiguous() for each in (stoch, tokens, deter))
        real.append(reward(Dream(*came, raw=deter.new_zeros(0))))  # type: ignore[misc]
    means = {
        name: float(torch.stack(each)[:, 1:].mean())
        for name, each in (('dreamt', dreamt), ('real', real))
    }
    means['gap'] = means['dreamt'] - means['real']
    return {name: round(value, 3) for name, value in means.items()}


if __name__ == '__main__':
    main(tyro.cli(Config, description=__doc__))
