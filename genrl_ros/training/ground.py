"""From a prompt, in words or as a video, to its embedding."""

from __future__ import annotations

from pathlib import Path

from genrl_ros.data.video import read_video, sample_frames
from genrl_ros.types import FloatArray, VideoTextEmbedder
from genrl_ros.vlm import load_embedder
from genrl_ros.world_model.checkpoint import ModelCard


def matching_embedder(card: ModelCard) -> VideoTextEmbedder:
    """The embedder that a world model is connected to.

    Raises:
        ValueError: if the installed one has other weights.
    """
    embedder = load_embedder(card.embedder)
    if embedder.identity != card.embedder_identity:
        raise ValueError(
            f'the world model is connected to {card.embedder} {card.embedder_identity[:12]}, but '
            f'the installed one is {embedder.identity[:12]}: connect it anew (genrl pretrain), or '
            f'install the embedder that it was made with'
        )
    return embedder


def embed_prompt(card: ModelCard, prompt: str, video: Path | None) -> FloatArray:
    """Embedding `(D,)` of a sentence or of a video, of which just one must be given.

    Raises:
        ValueError: if neither or both are given, or the video cannot be read.
    """
    if bool(prompt.strip()) == (video is not None):
        raise ValueError('give either a prompt or a video')
    embedder = matching_embedder(card)
    if video is None:
        return embedder.embed_text([prompt])[0]
    clip = sample_frames(read_video(video), embedder.n_frames)
    return embedder.embed_video(clip[None])[0]
