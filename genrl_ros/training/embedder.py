"""Trains the embedded embedder: clips and sentences of one concept attract each other."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from genrl_ros.training.clips import SPLITS, TAKE_FRAMES, Clips
from genrl_ros.training.concepts import FALSE, TRUE
from genrl_ros.vlm.embedded import TowerConfig, Towers
from genrl_ros.vlm.phrases import Phrases
from genrl_ros.vlm.phrases.kitchen import CONCEPTS
from genrl_ros.vlm.sentence import SentenceModel

MAX_SCALE = 50.0


@dataclass(frozen=True)
class TrainConfig:
    """How the embedder is trained."""

    steps: int = 900
    """Updates."""
    takes: int = 20
    """Takes in a batch; each has five clips."""
    phrases: int = 3
    """Sentences of each concept in a batch."""
    unrelated: int = 48
    """Sentences in a batch that no clip shows."""
    learning_rate: float = 2e-3
    """Peak learning rate of AdamW."""
    weight_decay: float = 0.02
    """Decoupled weight decay."""
    pull: float = 0.5
    """Weight of the plain cosine distance between a clip and its sentences."""
    average: float = 0.995
    """Decay of the moving average of the weights, which is what is kept."""
    seed: int = 0
    """Of the initial weights and of every draw."""

    def __post_init__(self) -> None:
        for name in ('steps', 'takes', 'phrases', 'unrelated'):
            if getattr(self, name) <= 0:
                raise ValueError(f'train.{name} must be positive')
        if not 0.0 < self.average < 1.0:
            raise ValueError('train.average must be between 0 and 1')


class Sentences:
    """Frozen sentence features of every concept's training phrases.

    Args:
        phrases: sentences of each concept.
        unrelated: sentences that no clip shows.
    """

    def __init__(self, model: SentenceModel, phrases: Phrases, unrelated: tuple[str, ...]) -> None:
        self.concepts = [torch.from_numpy(model.embed(phrases[name])) for name in CONCEPTS]
        self._unrelated = torch.from_numpy(model.embed(unrelated))

    def draw(self, count: int, unrelated: int, generator: torch.Generator) -> Tensor:
        """`(C * count + unrelated, 384)`: blends of two phrases of one concept, then others."""
        parts = []
        for features in self.concepts:
            a, b = torch.randint(len(features), (2, count), generator=generator)
            blend = torch.rand(count, 1, generator=generator)
            parts.append(F.normalize(torch.lerp(features[a], features[b], blend), dim=-1))
        other = torch.randint(len(self._unrelated), (unrelated,), generator=generator)
        drawn = torch.cat([*parts, self._unrelated[other]])
        noise = torch.randn(drawn.shape, generator=generator) * 0.01
        return F.normalize(drawn + noise, dim=-1)


class TakeSampler:
    """Draws takes so that every concept is seen equally often.

    Args:
        clips: the finished takes.
        rng: source of randomness.
    """

    def __init__(self, clips: Clips, rng: np.random.Generator) -> None:
        self._clips, self._rng = clips, rng
        train = np.flatnonzero(clips.split == SPLITS.index('train'))
        shown = (np.asarray(clips.labels)[train] == TRUE).any(2)
        self._where = [np.argwhere(shown[:, :, c]) for c in range(len(CONCEPTS))]
        self._train = train
        self._filled = [c for c, where in enumerate(self._where) if len(where)]

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Frames `(B, 12, 3, 64, 64)` uint8 and labels `(B, 5, C)` int8."""
        frames = np.empty((count, TAKE_FRAMES, 3, 64, 64), np.uint8)
        labels = np.empty((count, *self._clips.labels.shape[2:]), np.int8)
        for i in range(count):
            where = self._where[self._rng.choice(self._filled)]
            row, backwards = where[self._rng.integers(len(where))]
            take = self._train[row]
            frames[i] = self._clips.frames[take, :: -1 if backwards else 1]
            labels[i] = self._clips.labels[take, backwards]
        return torch.from_numpy(frames), torch.from_numpy(labels)


def augment(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Shift, tint and noise: `(B, T, 3, 64, 64)` uint8 -> float in [0, 1], one change a take."""
    batch, size, most = len(frames), frames.shape[-1], 3
    padded = F.pad(frames.flatten(1, 2).float() / 255, (most,) * 4, mode='replicate')
    corner = torch.randint(2 * most + 1, (batch, 2), generator=generator).tolist()
    cut = [p[:, y : y + size, x : x + size] for p, (y, x) in zip(padded, corner, strict=True)]
    moved = torch.stack(cut).unflatten(1, frames.shape[1:3])
    one_a_take = (batch, 1, 1, 1, 1)
    gain = 1 + 0.15 * (2 * torch.rand(one_a_take, generator=generator) - 1)
    tint = 1 + 0.06 * (2 * torch.rand((batch, 1, 3, 1, 1), generator=generator) - 1)
    shade = 0.06 * (2 * torch.rand(one_a_take, generator=generator) - 1)
    sigma = 0.025 * torch.rand(one_a_take, generator=generator)
    noise = torch.randn(moved.shape, generator=generator) * sigma
    return (moved * gain * tint + shade + noise).clamp(0, 1)


def contrast(logits: Tensor, true: Tensor, false: Tensor, weight: Tensor) -> Tensor:
    """Every true pair of a row against all false pairs of that row.

    Args:
        logits: `(N, M)`.
        true: `(N, M)` bool; the pairs that belong together.
        false: `(N, M)` bool; those that do not. A pair may be neither.
        weight: `(N, M)`; how much a true pair counts.

    Returns:
        The weighted mean of `-log(exp(l) / (exp(l) + sum of exp over the false))`.
    """
    against = logits.masked_fill(~false, -torch.inf).logsumexp(1, keepdim=True)
    loss = F.softplus(against - logits)
    weight = weight * true
    return (loss * weight).sum() / weight.sum().clamp_min(1e-6)


def pair_loss(
    video: Tensor, text: Tensor, labels: Tensor, phrases: int, scale: Tensor, pull: float
) -> Tensor:
    """Both directions of the contrast, and the plain cosine distance of true pairs.

    Args:
        video: `(N, D)` unit.
        text: `(C * phrases + U, D)` unit, ordered by concept, then U unrelated sentences.
        labels: `(N, C)` int8.
        phrases: sentences of each concept.
        scale: factor on cosines.
        pull: weight of the cosine distance.
    """
    cosine = video @ text.T
    labels = labels.repeat_interleave(phrases, 1)
    unrelated = len(text) - labels.shape[1]
    labels = F.pad(labels, (0, unrelated), value=FALSE)
    true, false = labels == TRUE, labels == FALSE
    weight = true.sum(0, keepdim=True).clamp_min(1).rsqrt().expand_as(cosine)
    forth = contrast(scale * cosine, true, false, weight)
    back = contrast(scale * cosine.T, true.T, false.T, weight.T)
    distance = ((1 - cosine) * weight * true).sum() / (weight * true).sum().clamp_min(1e-6)
    return forth + back + pull * distance


def fit(clips: Clips, sentences: Sentences, config: TrainConfig) -> Towers:
    """Train the towers; returns the moving average of their weights, in evaluation mode."""
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    sampler = TakeSampler(clips, np.random.default_rng(config.seed))
    towers = Towers(TowerConfig())
    log_scale = nn.Parameter(torch.tensor(14.0).log())
    averaged = AveragedModel(
        towers, multi_avg_fn=get_ema_multi_avg_fn(config.average), use_buffers=True
    )
    parameters = [*towers.parameters(), log_scale]
    optimiser = torch.optim.AdamW(
        parameters, config.learning_rate, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, config.steps, pct_start=0.1
    )
    towers.train()
    began = time.perf_counter()
    for step in range(1, config.steps + 1):
        frames, labels = sampler.draw(config.takes)
        video = towers.video(augment(frames, generator)).flatten(0, 1)
        text = towers.sentences(sentences.draw(config.phrases, config.unrelated, generator))
        scale = log_scale.exp().clamp_max(MAX_SCALE)
        loss = pair_loss(video, text, labels.flatten(0, 1), config.phrases, scale, config.pull)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        averaged.update_parameters(towers)
        if step % 50 == 0:
            seconds = time.perf_counter() - began
            sys.stderr.write(
                f'update {step}/{config.steps}, loss {loss.item():.3f}, {seconds:.0f} s\n'
            )
    result = averaged.module
    assert isinstance(result, Towers)
    return result.eval()
