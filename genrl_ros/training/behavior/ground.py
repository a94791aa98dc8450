"""From a prompt, in words or as a video, to its embedding and its meaning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from genrl_ros.data.video import Video, read_video
from genrl_ros.system.arrays import FloatArray
from genrl_ros.vlm import load_embedder
from genrl_ros.vlm.base import VideoTextEmbedder
from genrl_ros.vlm.grounding import Grounding, ground, ground_sentence
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


def ground_prompt(
    card: ModelCard, prompt: str, video: Path | None
) -> tuple[FloatArray, Grounding]:
    """Embedding `(D,)` of a sentence or of a video, and what it means to the embedder.

    Raises:
        ValueError: if neither or both are given, or the video cannot be read.
    """
    if bool(prompt.strip()) == (video is not None):
        raise ValueError('give either --prompt or --video')
    embedder = matching_embedder(card)
    if video is None:
        return ground_sentence(embedder, prompt, card.spec.name)
    return ground_video(embedder, read_video(video), card.spec.name)


def ground_video(
    embedder: VideoTextEmbedder, video: Video, robot: str = ''
) -> tuple[FloatArray, Grounding]:
    """Embedding `(D,)` of a video and what it means, with a warning if some of it is missing."""
    embedding = embedder.embed_video(video.clip(embedder.n_frames)[None])[0]
    grounding = ground(embedder, embedding, robot)
    warning = '; '.join(filter(None, (video.missing, grounding.warning)))
    return embedding, replace(grounding, warning=warning)
