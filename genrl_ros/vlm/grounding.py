"""How well a prompt grounds: whether it says something that the embedder has seen happen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genrl_ros.types import FloatArray
from genrl_ros.vlm.embedded import ConceptBank


@dataclass(frozen=True)
class Grounding:
    """What a prompt means to the embedder.

    Attributes:
        score: cosine between the prompt and the videos of the nearest concept, in [-1, 1].
        concept: name of the nearest concept, such as `microwave/opening`.
        runner_up: name of the second nearest.
        margin: how much nearer the nearest is.
        well_grounded: whether the score reaches the threshold that tells prompts about the domain
            from sentences about something else.
    """

    score: float
    concept: str
    runner_up: str
    margin: float
    well_grounded: bool


def ground(embedding: npt.NDArray[np.floating], bank: ConceptBank) -> Grounding:
    """Compare one embedding `(D,)`, of a sentence or a video, with the known concepts.

    Raises:
        ValueError: if the embedding has another size than the bank's, or no length.
    """
    vector = np.asarray(embedding, np.float32)
    if vector.shape != bank.centroids.shape[1:]:
        raise ValueError(
            f'an embedding of shape {vector.shape} cannot be compared with concepts of '
            f'{bank.centroids.shape[1]} numbers: it comes from another embedder'
        )
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length == 0.0:
        raise ValueError('an embedding without length cannot be grounded')
    scores = bank.centroids @ (vector / length)
    second, first = np.argsort(scores)[-2:]
    return Grounding(
        score=float(scores[first]),
        concept=bank.names[first],
        runner_up=bank.names[second],
        margin=float(scores[first] - scores[second]),
        well_grounded=bool(scores[first] >= bank.threshold),
    )


def choose_threshold(related: FloatArray, unrelated: FloatArray) -> float:
    """The score that best tells related from unrelated sentences, both errors weighing the same.

    Args:
        related: best scores of sentences about the domain.
        unrelated: best scores of other sentences.
    """
    values = np.sort(np.concatenate([related, unrelated]))
    cuts = (values[1:] + values[:-1]) / 2
    kept = (related[None] >= cuts[:, None]).mean(1)
    turned_away = (unrelated[None] < cuts[:, None]).mean(1)
    balanced = kept + turned_away
    best = np.flatnonzero(balanced == balanced.max())
    return float(cuts[best[len(best) // 2]])
