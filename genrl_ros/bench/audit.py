"""Does the reward know success when it sees it? `python -m genrl_ros.bench.audit DOMAIN`.

Recorded clips are rewarded as dreams are, for the sentence of each task, and compared with the
true reward. Each clip is also shown frozen: its first frame again and again, without action, which
does no task that moves.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, get_args

import numpy as np
import numpy.typing as npt
import torch
import tyro
from torch import Tensor

from genrl_ros.behavior.actor_critic import Dream
from genrl_ros.behavior.rewards.named import reward_of
from genrl_ros.behavior.rewards.sequence import target_features
from genrl_ros.config.learning import LearnConfig, RewardKind
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.domains import registry
from genrl_ros.domains.base import Domain
from genrl_ros.domains.relabel import rewards_of
from genrl_ros.system.arrays import FloatArray
from genrl_ros.system.files import write_json
from genrl_ros.system.share import shipped_model
from genrl_ros.training.behavior.ground import matching_embedder
from genrl_ros.training.engine.speed import inspect
from genrl_ros.world_model import latents
from genrl_ros.world_model.checkpoint import load_mfwm
from genrl_ros.world_model.mfwm import MFWM

PORTION = 50
"""Clips encoded at once."""
BEFORE = 7
"""Frames that lead up to a clip, so that its first state knows how it came about."""
BEST = 0.01
"""Share of the clips that count as the best ones."""


@dataclass(frozen=True)
class Config:
    """Arguments of the audit."""

    domain: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar='DOMAIN')]
    """Domain of the model."""
    model: Path | None = None
    """World model; the shipped one unless given."""
    data: Path | None = None
    """Dataset with clips; `data/DOMAIN` unless given."""
    clips: int = 2_500
    """Clips, drawn at random."""
    kinds: tuple[RewardKind, ...] = get_args(RewardKind)
    """Rewards to audit."""
    json: Path | None = None
    """File to write the table to."""


@torch.no_grad()
def main(config: Config) -> None:
    """Print a line for each task and reward."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    domain, how = registry.get(config.domain), LearnConfig()
    model, card = load_mfwm(config.model or shipped_model(config.domain))
    embedder = matching_embedder(card)
    store = EpisodeStore.of(config.domain, config.data)
    moving, frozen, true = _clips(model, domain, store, config.clips, how.horizon + 1)
    found: dict[str, Any] = {
        'date': time.strftime('%Y-%m-%d'),
        'machine': asdict(inspect('cpu')),
        'model': card.sha256,
        'clips': config.clips,
    }
    for kind in config.kinds:
        rows = found[kind] = {}
        for index, task in enumerate(domain.tasks):
            prompt = torch.from_numpy(embedder.embed_text([task.prompt])[0])
            target = target_features(model, prompt, config.clips, how.horizon + 1).contiguous()
            score = reward_of(model, prompt, target, replace(how, reward=kind))
            told, held = (score(clips).mean(0).numpy() for clips in (moving, frozen))
            rows[task.name] = judge(told, held, true[:, index])
            print(kind, task.name, json.dumps(rows[task.name]), flush=True)
    if config.json is not None:
        write_json(config.json, found)


def _clips(
    model: MFWM, domain: Domain, store: EpisodeStore, count: int, steps: int
) -> tuple[Dream, Dream, FloatArray]:
    """Clips as dreams of T states, the same frozen, and their mean true rewards `(N, R)`."""
    rng, ids, length = np.random.default_rng(0), store.training, BEFORE + steps
    places = []
    for _ in range(count):
        name = ids[rng.integers(len(ids))]
        places.append((name, int(rng.integers(store.length(name) - length + 1))))

    def frames(of: Callable[[str], Any], portion: Sequence[tuple[str, int]]) -> Any:
        return np.stack([of(name)[start : start + length] for name, start in portion])

    states = frames(store.state, places)[:, BEFORE:]
    true = rewards_of(domain, states, [task.name for task in domain.tasks]).mean(1)
    action = torch.from_numpy(frames(store.action, places))
    parts = []
    for first in range(0, count, PORTION):
        image = frames(store.image, places[first : first + PORTION])
        logq = latents.log_probs(model.tokenizer.encode(torch.from_numpy(image)))
        parts.append(logq.argmax(-1))
    tokens = torch.cat(parts)
    still = tokens[:, BEFORE : BEFORE + 1].expand_as(tokens)
    moving = _dream(model, tokens, action)
    return moving, _dream(model, still, torch.zeros_like(action)), true


def _dream(model: MFWM, tokens: Tensor, action: Tensor) -> Dream:
    """Tokens `(N, T, S)` and actions `(N, T, A)` as the last states of a dream."""
    stoch = latents.one_hot(tokens, model.config.classes)
    deter = model.deter_along(stoch, action, torch.zeros(tokens.shape[:2]))
    stoch, tokens, deter = (
        each[:, BEFORE:].transpose(0, 1).contiguous() for each in (stoch, tokens, deter)
    )
    return Dream(stoch, tokens, deter, raw=action.new_zeros(0))


def _ranks(values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    return values.argsort().argsort().astype(np.float64)


def judge(
    moving: npt.NDArray[np.floating[Any]],
    frozen: npt.NDArray[np.floating[Any]],
    true: npt.NDArray[np.floating[Any]],
) -> dict[str, float]:
    """How well the rewards `(N,)` of clips, moving and frozen, tell their true rewards `(N,)`."""
    best = max(1, round(BEST * len(true)))
    chosen, good = np.argsort(-moving)[:best], np.argsort(-true)[:best]
    found = {
        'rank_correlation': np.corrcoef(_ranks(moving), _ranks(true))[0, 1],
        'true_of_best': true[chosen].mean(),
        'best_true': true[good].mean(),
        'reward_of_good': moving[good].mean(),
        'reward_of_good_frozen': frozen[good].mean(),
        'reward_of_best_frozen': np.sort(frozen)[-best:].mean(),
        'reward_of_best': np.sort(moving)[-best:].mean(),
    }
    return {name: round(float(value), 3) for name, value in found.items()}


if __name__ == '__main__':
    main(tyro.cli(Config, description=__doc__))
