"""Embeddings of every window of eight frames of a dataset, stored beside the frames."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from genrl_ros.data.store.episode_store import EpisodeStore
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
