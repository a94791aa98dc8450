"""Embed every window of eight frames of a dataset, so that a connector can be trained on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from genrl_ros.cli.options import DomainName
from genrl_ros.cli.session import Deadline, saying_stopped, work_through
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.system.locks import exclusive
from genrl_ros.training.engine.run import Run
from genrl_ros.training.model.embeddings import embed_dataset
from genrl_ros.vlm import load_embedder


@dataclass(frozen=True)
class Config:
    """Arguments of `genrl embed`."""

    domain: DomainName
    """Domain of the dataset."""
    data: Path | None = None
    """Dataset; `data/DOMAIN` unless given."""
    embedder: str = 'embedded'
    """Video-language embedder."""


def main(config: Config) -> int:
    """Embed what is not embedded yet.

    Raises:
        OSError: if another process embeds the same dataset.
    """
    store = EpisodeStore.of(config.domain, config.data)
    embedder = load_embedder(config.embedder)
    with Deadline(None) as deadline, saying_stopped(), exclusive(store.path, 'embeddings'):
        run = Run(store.path, should_stop=deadline.passed)
        work_through('embed', store.num_frames, embed_dataset(store, embedder), run)
    return 0
