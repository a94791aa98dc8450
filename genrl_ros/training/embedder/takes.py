"""What the embedded embedder is trained with: takes, losses, and its head for sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genrl_ros.config.training import Precision
from genrl_ros.training.embedder.clips import SPLITS, TAKE_FRAMES, Clips
from genrl_ros.vlm.embedded import TextHead, TowerConfig
from genrl_ros.vlm.labels import FALSE, TRUE

MAX_SCALE = 50.0
TEXT_ITERATIONS = 300
OTHERWISE = 4.0
"""How often a take that shows no concept is drawn, for each that shows a certain one."""


@dataclass(frozen=True)
class TrainConfig:
    """How the embedder is trained."""

    start: Path | None = None
    """Folder of an embedder whose video tower is trained on; a new one unless given."""
    steps: int = 6000
    """Updates of the video tower."""
    takes: int = 16
    """Takes in a batch; each has five clips."""
    learning_rate: float = 1.5e-3
    """Peak learning rate of AdamW."""
    weight_decay: float = 0.02
    """Decoupled weight decay."""
    average: float = 0.995
    """Decay of the moving average of the weights, which is what is kept."""
    save_every: int = 500
    """Updates between two checkpoints."""
    text_penalty: float = 1e-6
    """Weight of the squared weights of the head on the sentence features."""
    precision: Precision = 'float32'
    """Of the video tower's arithmetic; `bf16` is faster on processors that have it."""
    seed: int = 0
    """Of the initial weights and of every draw."""

    def __post_init__(self) -> None:
        for name in ('takes', 'save_every'):
            if getattr(self, name) <= 0:
                raise ValueError(f'train.{name} must be positive')
        if self.steps < 20:
            raise ValueError('train.steps must be at least 20: the rate rises for a tenth of them')
        if self.precision not in get_args(Precision):
            raise ValueError(f'train.precision must be one of {", ".join(get_args(Precision))}')
        if not 0.0 < self.average < 1.0:
            raise ValueError('train.average must be between 0 and 1')


class TakeSampler:
    """Draws takes so that every concept is seen equally often, and more that show none of them.

    Args:
        clips: the finished takes.
        rng: source of randomness.
    """

    def __init__(self, clips: Clips, rng: np.random.Generator) -> None:
        self._clips, self._rng = clips, rng
        train = np.flatnonzero(clips.split == SPLITS.index('train'))
        shown = (np.asarray(clips.labels)[train] == TRUE).any(2)
        self._where = [np.argwhere(shown[:, :, c]) for c in range(len(clips.concepts))]
        self._train = train
        self._filled = [c for c, where in enumerate(self._where) if len(where)]
        odds = [OTHERWISE if clips.concepts[c] == 'wandering' else 1.0 for c in self._filled]
        self._odds = np.array(odds) / sum(odds)

    def state_dict(self) -> dict[str, Any]:
        """What is needed to go on drawing where this sampler is."""
        return dict(self._rng.bit_generator.state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""
        self._rng.bit_generator.state = state

    def reseed(self, number: int) -> None:
        """Draw others from here on; which ones depends on the number."""
        self._rng = np.random.default_rng([number, int(self._rng.integers(2**32))])

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Frames `(B, 12, 3, 64, 64)` uint8 and labels `(B, 5, C)` int8."""
        frames = np.empty((count, TAKE_FRAMES, 3, 64, 64), np.uint8)
        labels = np.empty((count, *self._clips.labels.shape[2:]), np.int8)
        for i in range(count):
            where = self._where[self._rng.choice(self._filled, p=self._odds)]
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
    sigma = 0.01 * torch.rand(one_a_take, generator=generator)
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


def video_loss(video: Tensor, concepts: Tensor, labels: Tensor, scale: Tensor) -> Tensor:
    """Contrast in both directions between clips and the vectors that stand for the concepts.

    Args:
        video: `(N, D)` unit.
        concepts: `(C, D)` unit.
        labels: `(N, C)` int8.
        scale: factor on cosines.
    """
    logits = scale * video @ concepts.T
    true, false = labels == TRUE, labels == FALSE
    weight = true.sum(0, keepdim=True).clamp_min(1).reciprocal().expand_as(logits)
    forth = contrast(logits, true, false, weight)
    return forth + contrast(logits.T, true.T, false.T, weight.T)


def fit_text(
    features: Tensor, concept: Tensor, centroids: Tensor, config: TrainConfig
) -> TextHead:
    """Learn which concept a sentence speaks of: a penalised linear classifier, solved at once.

    Args:
        features: `(N, 384)` unit sentence features.
        concept: `(N,)` int64 concept of each sentence; C for sentences about something else.
        centroids: `(C, D)` unit; where the videos of each concept lie.
        config: how.
    """
    head = TextHead(TowerConfig(concepts=len(centroids)))
    head.anchors[:-1] = centroids
    head.anchors[-1] = away_from(centroids)
    nn.init.zeros_(head.choose.weight)
    nn.init.zeros_(head.choose.bias)
    weight = 1 / concept.bincount(minlength=len(centroids) + 1).clamp_min(1)
    optimiser = torch.optim.LBFGS(
        head.choose.parameters(), max_iter=TEXT_ITERATIONS, line_search_fn='strong_wolfe'
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = F.cross_entropy(head.choose(features), concept, weight=weight)
        value = value + config.text_penalty * head.choose.weight.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    return head.eval()


def away_from(vectors: Tensor) -> Tensor:
    """A unit vector `(D,)` at right angles to all of `(C, D)`, C < D."""
    basis = torch.linalg.qr(vectors.T, mode='complete').Q
    return basis[:, -1]
