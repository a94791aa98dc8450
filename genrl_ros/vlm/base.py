"""What a video-text embedder is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from genrl_ros.system.arrays import FloatArray, Image


@runtime_checkable
class VideoTextEmbedder(Protocol):
    """Maps clips and sentences into one space, where what belongs together is close.

    Attributes:
        name: as given to `genrl --embedder`.
        identity: sha256 over the weights; a world model refuses embeddings of another identity.
        dim: size D of the embedding.
        n_frames: frames of a clip.
    """

    name: str
    identity: str
    dim: int
    n_frames: int

    def embed_text(self, texts: Sequence[str]) -> FloatArray:
        """`(N, D)` float32 of unit length for N sentences."""
        ...

    def embed_video(self, clips: Image) -> FloatArray:
        """`(N, D)` float32 of unit length for clips `(N, n_frames, 3, H, W)` uint8."""
        ...

    def embed_windows(self, frames: Image) -> FloatArray:
        """`(T, D)` for frames `(T, 3, H, W)`: at t the clip that ends there, zeros before one.

        The same as `embed_video` on every window, computed without doing a frame twice.
        """
        ...
