"""Pictures: frames side by side, strips under captions, and the one writer of PNG files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from genrl_ros.system.arrays import Image
from genrl_ros.system.files import atomic_file

GAP, SCALE, CAPTION = 2, 2, 18
"""Pixels between frames, the factor that they are enlarged by, and pixels of a line of text."""


@dataclass(frozen=True)
class Strip:
    """A row of a picture: frames `(T, 3, H, W)` uint8, and what they are in words."""

    caption: str
    frames: Image


Strips = Callable[[], list[Strip]]


def write_png(path: Path, picture: Image) -> None:
    """Write an RGB picture `(H, W, 3)` uint8 as a PNG file, which appears once it is complete.

    Raises:
        OSError: naming the file, if it cannot be written.
    """
    _, png = cv2.imencode('.png', picture[..., ::-1])
    with atomic_file(path) as temporary:
        temporary.write_bytes(png.tobytes())


def side_by_side(frames: Image, count: int = 8, scale: int = SCALE) -> Image:
    """`count` of the frames `(T, 3, H, W)`, evenly spread, as one picture `(H, W, 3)`."""
    chosen = frames[np.linspace(0, len(frames) - 1, count).round().astype(int)]
    return _enlarged(np.concatenate(list(chosen.transpose(0, 2, 3, 1)), 1), scale)


def grid(strips: list[Strip]) -> Image:
    """Strips, one below the other, each under its caption, as one picture `(H, W, 3)`."""
    rows = [_enlarged(_spaced(strip.frames), SCALE) for strip in strips]
    width = max(row.shape[1] for row in rows)
    lines = []
    for strip, row in zip(strips, rows, strict=True):
        text = np.full((CAPTION, width, 3), 255, np.uint8)
        cv2.putText(
            text, strip.caption, (1, CAPTION - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0),
            lineType=cv2.LINE_AA,
        )  # fmt: skip
        rest = np.full((row.shape[0], width - row.shape[1], 3), 255, np.uint8)
        lines += [text, np.concatenate([row, rest], 1)]
    return np.concatenate(lines)


def _spaced(frames: Image) -> Image:
    spaced = np.pad(frames, ((0, 0), (0, 0), (0, GAP), (0, GAP)), constant_values=255)
    return np.concatenate(list(spaced.transpose(0, 2, 3, 1)), 1)


def _enlarged(picture: Image, factor: int) -> Image:
    return picture.repeat(factor, 0).repeat(factor, 1)
