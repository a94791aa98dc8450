"""Clips of a dataset that are far apart, whose policies go to different places."""

from __future__ import annotations

import numpy as np

from genrl_ros.data.store.episode_store import CLIP, EpisodeStore
from genrl_ros.system.arrays import FloatArray

CANDIDATES = 4_096


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
