"""Images as bytes, as squares of them, and as numbers."""

from __future__ import annotations

import torch
from torch import Tensor


def pixels(image: Tensor) -> Tensor:
    """uint8 of any shape to float32 in [-0.5, 0.5]."""
    return image.float().div_(255).sub_(0.5)


def to_uint8(image: Tensor) -> Tensor:
    """float32 in [-0.5, 0.5] to uint8."""
    return ((image + 0.5) * 255).round().clamp_(0, 255).to(torch.uint8)


def patches(image: Tensor, side: int) -> Tensor:
    """Squares `(N, 64 / side, 64 / side, 3 * side * side)` of images `(N, 3, 64, 64)` uint8.

    In each, the order is channel, row, column. A row of it is four or eight bytes. Moved as one
    word, it costs a fifth of moving each.
    """
    n, c, h, w = image.shape
    if torch.onnx.is_in_onnx_export():  # an exported graph knows no words
        x = image.view(n, c, h // side, side, w // side, side).permute(0, 2, 4, 1, 3, 5)
    else:
        words = image.contiguous().view({4: torch.int32, 8: torch.int64}[side])
        words = words.view(n, c, h // side, side, w // side).permute(0, 2, 4, 1, 3)
        x = words.contiguous().view(torch.uint8)
    return x.reshape(n, h // side, w // side, c * side * side)


def joined(squares: Tensor, side: int) -> Tensor:
    """The inverse: images `(N, 3, H, W)` of squares `(N, H / side, W / side, 3 * side * side)`."""
    x = squares.unflatten(-1, (3, side, side)).permute(0, 3, 1, 4, 2, 5)
    return x.flatten(4).flatten(2, 3)
