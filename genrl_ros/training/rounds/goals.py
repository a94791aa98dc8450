"""What policies of a round are learned for, beside the rewards of the seen tasks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genrl_ros.config.rounds import RoundsConfig
from genrl_ros.data.store.episode_store import CLIP, EpisodeStore
from genrl_ros.system.arrays import FloatArray
from genrl_ros.vlm.base import VideoTextEmbedder
from genrl_ros.vlm.grounding import KnowsConcepts

CANDIDATES = 4_096


@dataclass(frozen=True)
class Goal:
    """A goal that nobody asked for.

    Attributes:
        words: what it is, for people.
        embedding: `(D,)` float32 of unit length.
    """

    words: str
    embedding: FloatArray


def goals_of(
    store: EpisodeStore, embedder: VideoTextEmbedder, rounds: RoundsConfig, number: int
) -> tuple[Goal, ...]:
    """The goals of the round of that number.

    They are what the embedder knows of the domain, in a random order that goes on from round to
    round. Of an embedder that carries no concepts they are clips.

    Args:
        store: the dataset, with embeddings.
        embedder: that made them.
        rounds: how many goals there are.
        number: of the round, from 1 on.
    """
    count = rounds.goals_in(number)
    if not isinstance(embedder, KnowsConcepts):
        clips = far_apart(store, embedder.identity, count, seed=number)
        return tuple(Goal(f'clip {place}', clip) for place, clip in enumerate(clips))
    words, centroids = embedder.bank.known_to(store.spec.name)
    order = np.random.default_rng(0).permutation(len(words))
    before = sum(rounds.goals_in(earlier) for earlier in range(1, number))
    drawn = [order[place % len(order)] for place in range(before, before + count)]
    return tuple(Goal(words[each], centroids[each]) for each in drawn)


def far_apart(store: EpisodeStore, embedder: str, count: int, seed: int) -> FloatArray:
    """Embeddings of clips, each the farthest from those before among many drawn at random.

    Most clips of a dataset are alike: at random, nearly all would show the same few acts.

    Args:
        store: the dataset, with embeddings; held-out episodes are left out.
        embedder: identity of the embedder.
        count: number K of clips.
        seed: of the draws.

    Returns:
        `(K, D)` float32 of unit length.
    """
    rng, ids = np.random.default_rng(seed), store.training
    drawn = [ids[number] for number in rng.integers(len(ids), size=CANDIDATES)]
    ends = [int(rng.integers(CLIP - 1, store.length(name))) for name in drawn]
    clips = [store.embedding(embedder, name)[end] for name, end in zip(drawn, ends, strict=True)]
    candidates = np.stack(clips).astype(np.float32)
    chosen: list[int] = []
    nearest = np.zeros(CANDIDATES, np.float32)
    while len(chosen) < count:
        chosen.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, candidates @ candidates[chosen[-1]])
    return candidates[chosen]
