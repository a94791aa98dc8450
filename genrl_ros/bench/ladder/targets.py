"""Rungs 3 to 5: goals that imagination is to follow, and how reality follows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genrl_ros.behavior.rewards.sequence import Matcher, target_features
from genrl_ros.config.learning import LearnConfig
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.domains.base import Domain, Task
from genrl_ros.domains.relabel import rewards_of
from genrl_ros.evaluation.reality import Reality
from genrl_ros.system.arrays import Image
from genrl_ros.vlm.base import VideoTextEmbedder
from genrl_ros.world_model import latents
from genrl_ros.world_model.mfwm import MFWM

CANDIDATES = 4_000
"""Recorded clips that the best one of a task is chosen among."""


@dataclass(frozen=True)
class Clip:
    """What was recorded of a task at its best.

    Attributes:
        image: `(T, 3, 64, 64)` uint8.
        reward: true reward of its states, their mean.
    """

    image: Image
    reward: float


def best_clips(
    domain: Domain, store: EpisodeStore, steps: int, seed: int = 0
) -> Mapping[str, Clip]:
    """For each task, the recorded clip of the highest mean reward among many drawn at random."""
    rng, ids = np.random.default_rng(seed), store.training
    places = []
    for _ in range(CANDIDATES):
        name = ids[rng.integers(len(ids))]
        places.append((name, int(rng.integers(store.length(name) - steps + 1))))
    states = np.stack([store.state(name)[start : start + steps] for name, start in places])
    names = [task.name for task in domain.tasks]
    reward = rewards_of(domain, states, names).mean(1)
    found = {}
    for task, column in zip(names, reward.T, strict=True):
        name, start = places[int(column.argmax())]
        image = np.array(store.image(name)[start : start + steps])
        found[task] = Clip(image, round(float(column.max()), 3))
    return found


def goal_of(
    rung: int, model: MFWM, task: Task, clip: Clip, embedder: VideoTextEmbedder | None, count: int
) -> Tensor:
    """Targets `(T, B, E)` of a task: 3, the clip itself; 4, as a video prompt; 5, the sentence.

    Raises:
        ValueError: if a prompt is asked for without an embedder.
    """
    steps = len(clip.image)
    if rung == 3:
        return clip_features(model, clip.image)[:, None].expand(-1, count, -1).contiguous()
    if embedder is None:
        raise ValueError('rungs 4 and 5 need a connected model: --model')
    if rung == 4:
        middle = (steps - embedder.n_frames) // 2
        frames = clip.image[middle : middle + embedder.n_frames]
        prompt = embedder.embed_video(frames[None])[0]
    else:
        prompt = embedder.embed_text([task.prompt])[0]
    return target_features(model, torch.from_numpy(prompt), count, steps).contiguous()


@torch.no_grad()
def followed(model: MFWM, target: Tensor, reality: Reality, config: LearnConfig) -> float:
    """Mean reward of real episodes by the goal, in windows as long as a dream's."""
    steps = len(target)
    episodes, length = reality.kl.shape
    count = length // steps
    tokens = torch.from_numpy(reality.tokens[:, : count * steps]).reshape(
        episodes * count, steps, -1
    )
    goal = target[:, torch.arange(len(tokens)) % target.shape[1]].contiguous()
    matcher = Matcher(model.tokenizer.decoder.project, goal, model.config.stoch, config.align)
    tokens = tokens.transpose(0, 1).contiguous()
    return float(matcher.reward(latents.one_hot(tokens, model.config.classes), tokens).mean())


@torch.no_grad()
def clip_features(model: MFWM, image: Image) -> Tensor:
    """Features `(T, E)` of recorded frames `(T, 3, 64, 64)` uint8."""
    stoch = latents.mode(latents.log_probs(model.tokenizer.encode(torch.from_numpy(image))))
    return model.tokenizer.project(stoch)
