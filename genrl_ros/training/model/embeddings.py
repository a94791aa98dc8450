"""Embeddings of every window of eight frames of a dataset, stored beside the frames."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.data.store.replay import CLIP
from genrl_ros.system.arrays import FloatArray
from genrl_ros.vlm.base import VideoTextEmbedder


def embed_dataset(
    store: EpisodeStore, embedder: VideoTextEmbedder, ids: list[str] | None = None
) -> Iterator[int]:
    """Embed the episodes that have no embedding yet.

    Args:
        store: the dataset.
        embedder: its identity names the folder that the embeddings go to.
        ids: episodes to embed; all unless given.

    Yields:
        The number of frames of each episode, once it is done.

    Raises:
        OSError: naming the file that cannot be written.
    """

    def embed(episode: str) -> dict[str, FloatArray]:
        return {'video': embedder.embed_windows(store.image(episode))}

    return store.derive(ids, partial(store.embedding_path, embedder.identity), embed)


def mean_embedding(store: EpisodeStore, identity: str) -> FloatArray:
    """Mean `(D,)` float32 of the embeddings of all training episodes' clips.

    Args:
        store: the dataset, embedded.
        identity: of the embedder.

    Raises:
        EpisodeError: naming an embedding that cannot be read.
    """
    total, count = np.zeros(1), 0
    for episode in store.training:
        if store.embedding_path(identity, episode).exists():
            clips = store.embedding(identity, episode)[CLIP - 1 :]
            total, count = total + clips.sum(0, dtype=np.float64), count + len(clips)
    return np.asarray(total / max(count, 1), np.float32)
