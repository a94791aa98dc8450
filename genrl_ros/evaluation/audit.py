"""Does the reward know success when it sees it?

Recorded clips are rewarded as dreams are, for the sentence of each task, and compared with the
true reward. Each clip is also shown frozen: its first frame again and again, without action, which
does no task that moves. The measures are those of FOUNDER's audit (arXiv 2507.12496).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genrl_ros.behavior.actor_critic import Dream
from genrl_ros.behavior.rewards.named import reward_of
from genrl_ros.behavior.rewards.sequence import target_features
from genrl_ros.config.learning import LearnConfig, RewardKind
from genrl_ros.data.store.episode_file import EpisodeError
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.domains.base import Domain
from genrl_ros.domains.relabel import rewards_of
from genrl_ros.system.arrays import FloatArray
from genrl_ros.world_model import latents
from genrl_ros.world_model.mfwm import MFWM

PORTION = 50
"""Clips encoded at once."""
BEFORE = 7
"""Frames that lead up to a clip, so that its first state knows how it came about."""
BEST = 0.01
"""Share of the clips that count as the best ones."""

Values = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Clips:
    """N recorded clips, as if they had been dreamt.

    Attributes:
        moving: their states, T of each.
        frozen: the first state of each again and again.
        true: `(N, R)` their mean true rewards, of all tasks of the domain.
    """

    moving: Dream
    frozen: Dream
    true: FloatArray


@torch.no_grad()
def draw_clips(
    model: MFWM,
    domain: Domain,
    store: EpisodeStore,
    count: int,
    steps: int,
    tell: Callable[[int], None] = lambda done: None,
) -> Clips:
    """Clips of `steps` frames from anywhere in the training episodes.

    Args:
        model: the world model.
        domain: whose tasks are meant.
        store: the dataset, with states of the simulator.
        count: number N of clips.
        steps: frames T of each.
        tell: called with the number of clips that are done.

    Raises:
        EpisodeError: if no episode is long enough.
    """
    rng, length = np.random.default_rng(0), BEFORE + steps
    ids = [name for name in store.training if store.length(name) >= length]
    if not ids:
        raise EpisodeError(f'{store.path} has no training episode of {length} frames or more')
    places = []
    for _ in range(count):
        name = ids[rng.integers(len(ids))]
        places.append((name, int(rng.integers(store.length(name) - length + 1))))

    def frames(of: Callable[[str], Any], portion: Sequence[tuple[str, int]]) -> Any:
        return np.stack([of(name)[start : start + length] for name, start in portion])

    states = frames(store.state, places)[:, BEFORE:]
    true = rewards_of(domain, states, [task.name for task in domain.tasks]).mean(1)
    action = torch.from_numpy(frames(store.action, places))
    parts: list[Tensor] = []
    for first in range(0, count, PORTION):
        image = frames(store.image, places[first : first + PORTION])
        logq = latents.log_probs(model.tokenizer.encode(torch.from_numpy(image)))
        parts.append(logq.argmax(-1))
        tell(min(count, first + PORTION))
    tokens = torch.cat(parts)
    still = tokens[:, BEFORE : BEFORE + 1].expand_as(tokens)
    moving = _dream(model, tokens, action)
    return Clips(moving, _dream(model, still, torch.zeros_like(action)), true)


def _dream(model: MFWM, tokens: Tensor, action: Tensor) -> Dream:
    """Tokens `(N, T, S)` and actions `(N, T, A)` as the last states of a dream."""
    stoch = latents.one_hot(tokens, model.config.classes)
    deter = model.deter_along(stoch, action, torch.zeros(tokens.shape[:2]))
    stoch, tokens, deter = (
        each[:, BEFORE:].transpose(0, 1).contiguous() for each in (stoch, tokens, deter)
    )
    return Dream(stoch, tokens, deter, raw=action.new_zeros(0))


@torch.no_grad()
def reward_clips(
    model: MFWM, prompt: FloatArray, clips: Clips, kind: RewardKind, how: LearnConfig
) -> tuple[Values, Values]:
    """Mean rewards `(N,)` of clips, moving and frozen, by one reward for the prompt `(D,)`."""
    steps, count = clips.moving.tokens.shape[:2]
    embedding = torch.from_numpy(prompt)
    target = target_features(model, embedding, count, steps).contiguous()
    score = reward_of(model, embedding, target, replace(how, reward=kind))
    moving, frozen = (score(each).mean(0).numpy() for each in (clips.moving, clips.frozen))
    return moving, frozen


def judge(moving: Values, frozen: Values, true: Values) -> dict[str, float | None]:
    """How well the rewards `(N,)` of clips, moving and frozen, tell their true rewards `(N,)`.

    Returns:
        `rank_correlation` (Spearman's; None where all true rewards or all rewards are alike);
        `true_of_best`, the mean true reward of the hundredth of clips with the highest reward,
        `best_true`, that of the best hundredth there is, and the difference, `regret`;
        `precision` and `recall` of the clips that the reward calls good, where rewards and true
        rewards are split in two each by 2-means; `reward_of_good`, of the truly best hundredth,
        and of the same frozen; `reward_of_best` and `reward_of_best_frozen`, of the hundredth of
        each with the highest reward.
    """
    best = max(1, round(BEST * len(true)))
    chosen, good = np.argsort(-moving)[:best], np.argsort(-true)[:best]
    called, truly = _upper(moving), _upper(true)
    both = float((called & truly).sum())
    alike = np.ptp(moving) == 0 or np.ptp(true) == 0
    found: dict[str, float | None] = {
        'rank_correlation': None if alike else np.corrcoef(_ranks(moving), _ranks(true))[0, 1],
        'regret': true[good].mean() - true[chosen].mean(),
        'precision': both / called.sum() if called.any() else None,
        'recall': both / truly.sum() if truly.any() else None,
        'true_of_best': true[chosen].mean(),
        'best_true': true[good].mean(),
        'reward_of_good': moving[good].mean(),
        'reward_of_good_frozen': frozen[good].mean(),
        'reward_of_best_frozen': np.sort(frozen)[-best:].mean(),
        'reward_of_best': np.sort(moving)[-best:].mean(),
    }
    return {
        name: None if value is None else round(float(value), 3) for name, value in found.items()
    }


def _ranks(values: Values) -> npt.NDArray[np.float64]:
    """Ranks, of equal values their mean."""
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    last = count.cumsum()
    ranks: npt.NDArray[np.float64] = (last - (count - 1) / 2)[group]
    return ranks


def _upper(values: Values) -> npt.NDArray[np.bool_]:
    """Which values are in the upper of two clusters, by 2-means; none if all are alike."""
    low, high = float(values.min()), float(values.max())
    upper = np.zeros(len(values), bool)
    while low < high:
        upper = values > (low + high) / 2
        ends = float(values[~upper].mean()), float(values[upper].mean())
        if ends == (low, high):
            break
        low, high = ends
    return upper
