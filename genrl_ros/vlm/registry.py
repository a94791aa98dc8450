"""Finds the video-text embedder that a name stands for."""

from __future__ import annotations

from pathlib import Path

from genrl_ros.system.share import share_path
from genrl_ros.vlm.base import VideoTextEmbedder

HUGGING_FACE = ('clip', 'siglip', 'xclip')


def load_embedder(name: str) -> VideoTextEmbedder:
    """Load an embedder.

    Args:
        name: `embedded` for the shipped one, `embedded:FOLDER` for one of your own, or
            `clip:FOLDER`, `siglip:FOLDER`, `xclip:FOLDER` for weights from Hugging Face that lie
            in a folder.

    Raises:
        FileNotFoundError: if its files are missing.
        ValueError: if there is no embedder of that name, or its files are not what they should be.
    """
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
