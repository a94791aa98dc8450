"""How well a prompt grounds: whether it says something that the embedder has seen happen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from genrl_ros.system.arrays import FloatArray
from genrl_ros.vlm.base import VideoTextEmbedder


@dataclass(frozen=True)
class ConceptBank:
    """Where the videos of each known concept lie.

    Attributes:
        names: of the C concepts, such as `microwave/opening`.
        words: the same for people, such as `opening the microwave`.
        centroids: `(C, D)` float32 of unit length.
        least_score: a prompt that scores less is about something else.
        least_margin: a prompt whose two nearest concepts are less apart is ambiguous.
    """

    names: tuple[str, ...]
    words: tuple[str, ...]
    centroids: FloatArray
    least_score: float
    least_margin: float


@runtime_checkable
class KnowsConcepts(Protocol):
    """An embedder that carries a bank of concepts."""

    bank: ConceptBank


@dataclass(frozen=True)
class Grounding:
    """What a prompt means to the embedder.

    Attributes:
        score: cosine between the prompt and the videos of the nearest concept, in [-1, 1].
        concept: the nearest concept in words, such as `opening the microwave`.
        runner_up: the second nearest.
        margin: how much nearer the nearest is.
        known: whether the score suffices, or could not be judged; else it must not be acted on.
        well_grounded: whether score and margin both suffice.
        warning: why the prompt may not mean what the user thinks; '' if it is clear.
    """

    score: float
    concept: str
    runner_up: str
    margin: float
    known: bool
    well_grounded: bool
    warning: str


def ground(embedder: VideoTextEmbedder, embedding: npt.NDArray[np.floating]) -> Grounding:
    """Compare the embedding `(D,)` of a prompt with the concepts that its embedder knows.

    Raises:
        ValueError: if the embedding has another size than the embedder's, or no length.
    """
    vector = np.asarray(embedding, np.float32)
    length = float(np.linalg.norm(vector))
    if vector.shape != (embedder.dim,):
        raise ValueError(
            f'an embedding of shape {vector.shape} does not come from {embedder.name}, '
            f'which makes vectors of {embedder.dim} numbers'
        )
    if not np.isfinite(length) or length == 0.0:
        raise ValueError('an embedding without length cannot be grounded')
    if not isinstance(embedder, KnowsConcepts):
        warning = f'{embedder.name} carries no known concepts, so the prompt was not checked'
        return Grounding(0.0, '', '', 0.0, True, False, warning)
    bank = embedder.bank
    scores = np.clip(bank.centroids @ (vector / length), -1.0, 1.0)
    second, first = np.argsort(scores)[-2:]
    score, margin = float(scores[first]), float(scores[first] - scores[second])
    concept, runner_up = bank.words[first], bank.words[second]
    warning, known = '', score >= bank.least_score
    if not known:
        warning = f'this resembles nothing that the embedder knows; the nearest is: {concept}'
    elif margin < bank.least_margin:
        warning = f'this may mean: {concept}, or: {runner_up}'
    return Grounding(score, concept, runner_up, margin, known, not warning, warning)


def choose_threshold(good: FloatArray, bad: FloatArray) -> float:
    """The value that best tells good from bad sentences, both errors weighing the same.

    Args:
        good: values of sentences that should reach the threshold.
        bad: values of sentences that should not.
    """
    values = np.sort(np.concatenate([good, bad]))
    cuts = (values[1:] + values[:-1]) / 2
    kept = (good[None] >= cuts[:, None]).mean(1)
    refused = (bad[None] < cuts[:, None]).mean(1)
    balanced = kept + refused
    best = np.flatnonzero(balanced == balanced.max())
    return float(cuts[best[len(best) // 2]])
