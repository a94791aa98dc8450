"""Pictures of what a world model has learned."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from genrl_ros.files import atomic_file
from genrl_ros.training.measure import predict
from genrl_ros.types import Image
from genrl_ros.world_model.images import to_uint8
from genrl_ros.world_model.mfwm import MFWM

GAP = 2


def grid(rows: list[Image], scale: int = 2) -> Image:
    """Rows of frames `(T, 3, H, W)` uint8, one below the other, as one picture `(H, W, 3)`."""
    lines = [_line(row) for row in rows]
    width = max(line.shape[1] for line in lines)
    padded = [
        np.pad(line, ((0, GAP), (0, width - line.shape[1]), (0, 0)), constant_values=255)
        for line in lines
    ]
    return np.concatenate(padded).repeat(scale, 0).repeat(scale, 1)


def write_grid(path: Path, rows: list[Image], scale: int = 2) -> None:
    """Write what `grid` makes of the rows as a PNG file."""
    _, png = cv2.imencode('.png', grid(rows, scale)[..., ::-1])
    with atomic_file(path) as temporary:
        temporary.write_bytes(png.tobytes())


def _line(row: Image) -> npt.NDArray[np.uint8]:
    frames = row.transpose(0, 2, 3, 1)
    return np.concatenate(
        [np.pad(f, ((0, 0), (0, GAP), (0, 0)), constant_values=255) for f in frames], 1
    )


def open_loop_rows(
    model: MFWM, image: torch.Tensor, action: torch.Tensor, context: int, every: int = 2
) -> list[Image]:
    """For each sequence: the true frames, and reconstructions that turn into predictions."""
    guess = to_uint8(predict(model, image, action, context))
    rows: list[Image] = []
    for true, predicted in zip(image, guess, strict=True):
        rows += [true[::every].numpy(), predicted[::every].numpy()]
    return rows
