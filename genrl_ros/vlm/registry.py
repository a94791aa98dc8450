"""Finds the video-text embedder that a name stands for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from genrl_ros.system.share import share_path
from genrl_ros.vlm.base import VideoTextEmbedder
from genrl_ros.vlm.grounding import KnowsConcepts

HUGGING_FACE = ('clip', 'siglip', 'xclip')
PLAIN = ('open the door', 'lift a cup', 'turn left now', 'dogs run fast')
"""Sentences of as many words, which mean different things."""
SAME = 0.9999
"""Cosine above which two sentences are one and the same to an embedder."""


def load_embedder(name: str) -> VideoTextEmbedder:
    """Load an embedder, and see whether it tells sentences apart.

    Args:
        name: `embedded` for the shipped one, `embedded:FOLDER` for one of your own, or
            `clip:FOLDER`, `siglip:FOLDER`, `xclip:FOLDER` for weights from Hugging Face that lie
            in a folder.

    Raises:
        FileNotFoundError: if its files are missing.
        ValueError: if there is no embedder of that name, its files are not what they should be,
            or all sentences are the same to it.
    """
    embedder = _load(name)
    check_sentences(embedder)
    return embedder


def check_sentences(embedder: VideoTextEmbedder) -> None:
    """Check that an embedder tells a few sentences apart: its own concepts, if it has some.

    Raises:
        ValueError: if they are all the same to it, or not finite.
    """
    texts = embedder.bank.words[::8] if isinstance(embedder, KnowsConcepts) else PLAIN
    vectors = embedder.embed_text(texts)
    if not np.isfinite(vectors).all():
        raise ValueError(f'{embedder.name} gives embeddings that are not finite: damaged weights')
    if (vectors @ vectors.T).min() > SAME:
        raise ValueError(
            f'{embedder.name} gives every sentence the same embedding: its tokenizer is missing, '
            'or of another model, or its weights are damaged'
        )


def _load(name: str) -> VideoTextEmbedder:
    kind, _, folder = name.partition(':')
    if kind == 'embedded':
        from genrl_ros.vlm.embedded import EmbeddedEmbedder

        return EmbeddedEmbedder(Path(folder) if folder else share_path('models', 'embedder'), name)
    if kind in HUGGING_FACE:
        from genrl_ros.vlm.hugging_face import load_hugging_face

        if not folder:
            raise ValueError(f'{kind} needs the folder of its weights, as in {kind}:FOLDER')
        return load_hugging_face(kind, Path(folder))
    raise ValueError(
        f'there is no embedder {name!r}; there are: embedded, '
        + ', '.join(f'{kind}:FOLDER' for kind in HUGGING_FACE)
    )
