"""Measures a trained embedder with clips and sentences that its training has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from genrl_ros.system.arrays import FloatArray
from genrl_ros.training.embedder.clips import SPLITS, Clips
from genrl_ros.vlm.embedded import Towers
from genrl_ros.vlm.grounding import choose_threshold
from genrl_ros.vlm.labels import FALSE, TRUE, Labels
from genrl_ros.vlm.phrases import Phrases
from genrl_ros.vlm.sentence import SentenceModel

CENTROID_TAKES = 800
LEAST_RELATED = 0.95
"""Share of related sentences that the score has to let through: the reader sees them all, too."""
TOP = 5
BATCH = 32

Scores = dict[str, Any]


@dataclass(frozen=True)
class Shown:
    """Embedded clips `(N, D)` and what they show `(N, C)`."""

    video: FloatArray
    labels: Labels


@torch.inference_mode()
def embed_takes(towers: Towers, clips: Clips, split: str, most: int | None = None) -> Shown:
    """Embed all clips of a split, forwards and backwards, without augmentation."""
    chosen = np.flatnonzero(clips.split == SPLITS.index(split))
    if most is not None and most < len(chosen):  # some of each domain
        chosen = chosen[np.linspace(0, len(chosen) - 1, most).astype(int)]
    parts = []
    for i in range(0, len(chosen), BATCH):
        frames = torch.from_numpy(np.asarray(clips.frames[chosen[i : i + BATCH]])).float() / 255
        both = torch.stack([towers.video(frames), towers.video(frames.flip(1))], 1)
        parts.append(both.flatten(0, 2).numpy())
    labels = np.asarray(clips.labels[chosen])
    return Shown(np.concatenate(parts), labels.reshape(-1, labels.shape[-1]))


def centroids(shown: Shown, concepts: Sequence[str]) -> FloatArray:
    """Unit mean `(C, D)` of the clips that show each concept.

    Raises:
        ValueError: if a concept is shown by no clip.
    """
    rows = []
    for c, name in enumerate(concepts):
        members = shown.video[shown.labels[:, c] == TRUE]
        if not len(members):
            raise ValueError(f'no clip shows {name}: make more takes')
        rows.append(members.mean(0) / np.linalg.norm(members.mean(0)))
    return np.asarray(rows, np.float32)


@torch.inference_mode()
def embed_phrases(
    towers: Towers, model: SentenceModel, phrases: Phrases
) -> Mapping[str, FloatArray]:
    """Embedded sentences `(N, D)` of each concept."""
    return {
        name: towers.text(torch.from_numpy(model.embed(texts))).numpy()
        for name, texts in phrases.items()
    }


def retrieval(
    shown: Shown,
    phrases: Mapping[str, FloatArray],
    bank: FloatArray,
    opposites: Mapping[str, tuple[str, str]],
    groups: Mapping[str, Sequence[str]],
) -> Scores:
    """How often clips and phrases find each other.

    Args:
        shown: clips to find.
        phrases: sentences of each concept.
        bank: `(C, D)` where the videos of each concept lie.
        opposites: for things that go two ways, the concepts of either way.
        groups: concepts of each domain.

    Returns:
        For each concept, and as mean over the concepts of each domain: `clips`, how many show it;
        `clip_to_concept`, share of these clips whose nearest concept (by the mean of its phrases)
        they do show; `phrase_to_concept`, share of phrases whose nearest video centroid is their
        own; `phrase_to_clips`, share of the nearest five clips that show it.
    """
    said = np.stack([embedded.mean(0) for embedded in phrases.values()])
    said /= np.linalg.norm(said, axis=1, keepdims=True)
    cosine = shown.video @ said.T
    sure = np.where(shown.labels >= FALSE, cosine, -np.inf)
    hit = np.take_along_axis(shown.labels, sure.argmax(1)[:, None], 1)[:, 0] == TRUE
    table = {}
    for c, name in enumerate(phrases):
        members = shown.labels[:, c] == TRUE
        own = phrases[name]
        order = np.argsort(-(own @ shown.video[shown.labels[:, c] >= FALSE].T), 1)[:, :TOP]
        relevant = shown.labels[shown.labels[:, c] >= FALSE, c] == TRUE
        table[name] = {
            'clips': int(members.sum()),
            'clip_to_concept': _share(hit[members]),
            'phrase_to_concept': _share((own @ bank.T).argmax(1) == c),
            'phrase_to_clips': _share(relevant[order]) if members.any() else None,
        }
    keys = ('clip_to_concept', 'phrase_to_concept', 'phrase_to_clips')
    means = {
        domain: {key: _mean([table[name][key] for name in names]) for key in keys}
        for domain, names in groups.items()
    }
    return {
        'mean': means,
        'concepts': table,
        'open_against_close': _pairs(shown, said, [*phrases], opposites),
    }


def placed(
    phrases: Mapping[str, FloatArray], bank: FloatArray, groups: Mapping[str, Sequence[str]]
) -> Scores:
    """How many sentences of each domain lie nearest to their own concept."""
    hits = {
        name: (embedded @ bank.T).argmax(1) == number
        for number, (name, embedded) in enumerate(phrases.items())
    }
    found = {}
    for domain, names in groups.items():
        own = np.concatenate([hits[name] for name in names])
        found[domain] = {'sentences': len(own), 'right': int(own.sum()), 'share': _share(own)}
    return found


def _pairs(
    shown: Shown,
    names: FloatArray,
    concepts: list[str],
    opposites: Mapping[str, tuple[str, str]],
) -> dict[str, float | None]:
    """For each thing that goes two ways, how often clips of either way are told apart."""
    result = {}
    for element, ways in opposites.items():
        there, back = map(concepts.index, ways)
        opens = shown.labels[:, there] == TRUE
        closes = shown.labels[:, back] == TRUE
        leans = shown.video @ (names[there] - names[back]) > 0
        result[element] = _mean([_share(leans[opens]), _share(~leans[closes])])
    return result


def grounding_scores(
    phrases: Mapping[str, FloatArray], unrelated: FloatArray, bank: FloatArray
) -> Scores:
    """Choose both thresholds on every second sentence, and measure them on the others.

    Args:
        phrases: held-out sentences of each concept.
        unrelated: `(N, D)` held-out sentences about something else.
        bank: `(C, D)` centroids.
    """
    cosine = np.concatenate([*phrases.values()]) @ bank.T
    own = np.repeat(np.arange(len(phrases)), [*map(len, phrases.values())])
    right = cosine.argmax(1) == own
    ordered = np.sort(cosine, 1)
    best, margin = ordered[:, -1], ordered[:, -1] - ordered[:, -2]
    other = (unrelated @ bank.T).max(1)
    fit, test = np.s_[::2], np.s_[1::2]
    least_score = choose_threshold(best[fit], other[fit], LEAST_RELATED)
    least_margin = choose_threshold(margin[fit][right[fit]], margin[fit][~right[fit]])
    return {
        'least_score': least_score,
        'least_margin': least_margin,
        'related_accepted': _share(best[test] >= least_score),
        'unrelated_refused': _share(other[test] < least_score),
        'right_called_clear': _share(margin[test][right[test]] >= least_margin),
        'wrong_called_ambiguous': _share(margin[test][~right[test]] < least_margin),
    }


def prompt_scores(
    prompts: Sequence[str], embedded: FloatArray, bank: FloatArray, concepts: Sequence[str]
) -> Scores:
    """Where prompts `(N, D)` land; for looking at, never for choosing a model."""
    found = {}
    for prompt, scores in zip(prompts, embedded @ bank.T, strict=True):
        second, first = np.argsort(scores)[-2:]
        found[prompt] = {
            'concept': concepts[first],
            'score': round(float(scores[first]), 3),
            'runner_up': concepts[second],
            'margin': round(float(scores[first] - scores[second]), 3),
        }
    return found


def _share(hits: npt.NDArray[np.bool_]) -> float | None:
    return round(float(hits.mean()), 3) if hits.size else None


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 3) if known else None
