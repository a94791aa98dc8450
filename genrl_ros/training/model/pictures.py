"""Pictures of what a world model has learned."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.system.arrays import Image
from genrl_ros.system.files import atomic_file
from genrl_ros.training.engine.run import Strip
from genrl_ros.training.model.measure import batch, predict
from genrl_ros.world_model.images import to_uint8
from genrl_ros.world_model.mfwm import MFWM

GAP, SCALE, CAPTION = 2, 2, 18
"""Pixels between frames, the factor that they are enlarged by, and pixels of a line of text."""


def grid(strips: list[Strip]) -> Image:
    """Strips, one below the other, each under its caption, as one picture `(H, W, 3)`."""
    rows = [_row(strip.frames).repeat(SCALE, 0).repeat(SCALE, 1) for strip in strips]
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


def write_grid(path: Path, strips: list[Strip]) -> None:
    """Write what `grid` makes of strips as a PNG file."""
    _, png = cv2.imencode('.png', grid(strips)[..., ::-1])
    with atomic_file(path) as temporary:
        temporary.write_bytes(png.tobytes())


def _row(frames: Image) -> npt.NDArray[np.uint8]:
    spaced = np.pad(frames, ((0, 0), (0, 0), (0, GAP), (0, GAP)), constant_values=255)
    return np.concatenate(list(spaced.transpose(0, 2, 3, 1)), 1)


def open_loop_strips(
    model: MFWM, store: EpisodeStore, windows: list[tuple[str, int]], context: int, horizon: int
) -> list[Strip]:
    """For each window: every other frame, and reconstructions that turn into predictions."""
    image, action = batch(store, windows, context + horizon)
    guess = to_uint8(predict(model, image, action, context))
    strips = []
    for (episode, start), true, predicted in zip(windows, image, guess, strict=True):
        where = f'episode {episode}, held out, every other frame from {start} on'
        after = f'the model: reconstructed up to frame {start + context - 1}, then predicted'
        strips += [Strip(where, true[::2].numpy()), Strip(after, predicted[::2].numpy())]
    return strips
