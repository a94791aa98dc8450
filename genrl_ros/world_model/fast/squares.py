"""Strided convolutions as ordinary ones: on squares of pixels in place of pixels.

A convolution of stride 2 moves by one square of 2x2 pixels at a time. On maps whose squares are
their pixels, with four times the channels, it has stride 1 and half the kernel, and so has a
transposed one that writes squares. Libraries compute such convolutions near the speed of matrix
products, in float32 as in bf16; strided ones they do not.

Maps are `(N, H, W, C)` here, and a square's channels are ordered row, column, channel.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from genrl_ros.world_model.layers import rounded

SMALL = 3
"""Height and width of maps that are so small that a product of windows is faster."""
CACHED = 2**21
"""Numbers in windows that are made at once on a CPU."""


def squares(maps: Tensor) -> Tensor:
    """Maps `(N, H, W, C)` by squares of 2x2 pixels, `(N, H / 2, W / 2, 4 * C)`."""
    n, h, w, c = maps.shape
    return maps.view(n, h // 2, 2, w // 2, 2, c).transpose(2, 3).reshape(n, h // 2, w // 2, 4 * c)


class Kernel(NamedTuple):
    """Of a convolution: `weight (O, C, side, side)` and `bias (O,)`."""

    weight: Tensor
    bias: Tensor


def strided(layer: nn.Module) -> Kernel:
    """Of a convolution of stride 2: `(4 * C, O)` and half the kernel, on squares."""
    assert isinstance(layer, nn.Conv2d) and layer.bias is not None
    o, c, side, _ = layer.weight.shape
    taps = layer.weight.view(o, c, side // 2, 2, side // 2, 2)
    return Kernel(taps.permute(0, 3, 5, 1, 2, 4).flatten(1, 3), layer.bias)


def transposed(layer: nn.Module) -> Kernel:
    """Of a transposed one: `(C, 4 * O)` and half the kernel, to squares."""
    assert isinstance(layer, nn.ConvTranspose2d) and layer.bias is not None
    c, o, side, _ = layer.weight.shape
    taps = layer.weight.view(c, o, side // 2, 2, side // 2, 2).flip(2, 4)
    weight = taps.permute(3, 5, 1, 0, 2, 4).flatten(0, 2)
    return Kernel(weight.contiguous(memory_format=torch.channels_last), layer.bias.repeat(4))


def strided_from_fours(layer: nn.Module) -> Kernel:
    """Of a convolution of stride 2, from squares of 4x4 pixels to those of 2x2: kernel 2.

    In a square of 4x4 pixels, channels are ordered channel, row, column, like images.
    """
    assert isinstance(layer, nn.Conv2d) and layer.bias is not None
    taps = _four_times(layer.weight)  # (4, O, C, 2, 4, 2, 4)
    weight = taps.permute(0, 1, 2, 4, 6, 3, 5).flatten(2, 4).flatten(0, 1)
    return Kernel(weight, layer.bias.repeat(4))


def transposed_to_fours(layer: nn.Module) -> Kernel:
    """Of a transposed one, from squares of 2x2 pixels to those of 4x4: kernel 2."""
    assert isinstance(layer, nn.ConvTranspose2d) and layer.bias is not None
    taps = _four_times(layer.weight).flip(3, 5)  # (4, C, O, 2, 4, 2, 4)
    weight = taps.permute(2, 4, 6, 0, 1, 3, 5).flatten(3, 4).flatten(0, 2)
    return Kernel(weight, layer.bias.repeat_interleave(16))


def _four_times(weight: Tensor) -> Tensor:
    """`(4, A, B, 2, 4, 2, 4)`: a kernel at each pixel of a square, on two squares of 4x4."""
    room = 8 - weight.shape[-1]
    shifted = [F.pad(weight, (x, room - x, y, room - y)) for y in (0, 2) for x in (0, 2)]
    return torch.stack(shifted).unflatten(-1, (2, 4)).unflatten(-3, (2, 4))


def _windows(maps: Tensor, side: int, padding: int) -> Tensor:
    """All windows `(N, h, w, side * side * C)` of maps with a border of zeros."""
    maps = F.pad(maps, (0, 0, *(padding,) * 4)) if padding else maps
    return maps.unfold(1, side, 1).unfold(2, side, 1).permute(0, 1, 2, 4, 5, 3).flatten(3)


def _convolved(maps: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    if maps.shape[1] <= SMALL:
        taps = weight.permute(0, 2, 3, 1).flatten(1)
        return F.linear(_windows(maps, weight.shape[-1], padding), taps, bias)
    return F.conv2d(maps.permute(0, 3, 1, 2), weight, bias, 1, padding).permute(0, 2, 3, 1)


class _Convolution(torch.autograd.Function):
    """A convolution whose gradient is another one, and one product with all windows."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
        maps, weight = rounded(maps), rounded(weight)
        ctx.save_for_backward(maps, weight, bias)
        ctx.padding = padding
        return _convolved(maps, weight, bias, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        maps, weight, bias = ctx.saved_tensors
        outputs, inputs, side, _ = weight.shape
        back = weight.transpose(0, 1).flip(2, 3)
        grad_maps = _convolved(grad, back, None, side - 1 - ctx.padding)
        size = len(maps)
        if maps.device.type == 'cpu':
            size = max(1, CACHED // (grad[0, :, :, 0].numel() * side * side * inputs))
        taps = maps.new_zeros(outputs, side * side * inputs, dtype=bias.dtype)
        for part, of_part in zip(maps.split(size), grad.split(size), strict=True):
            windows = _windows(part, side, ctx.padding).flatten(0, 2)
            taps += of_part.reshape(-1, outputs).t() @ windows
        grad_weight = taps.view(outputs, side, side, inputs).permute(0, 3, 1, 2)
        return grad_maps, grad_weight, grad.sum((0, 1, 2)), None


def convolution(maps: Tensor, kernel: Kernel, padding: int = 0) -> Tensor:
    """A convolution of stride 1, `(N, H, W, C)` to `(N, h, w, O)`, with zeros around the input.

    The library's own gradient is as fast as products where the kernel is 2, and half as fast where
    it is 3; on the smallest maps, its convolutions themselves are slow.
    """
    if kernel.weight.shape[-1] == 2 and maps.shape[1] > SMALL:
        return _convolved(maps, *kernel, padding)
    out: Tensor = _Convolution.apply(maps, *kernel, padding)  # type: ignore[no-untyped-call]
    return out


class _Overlap(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, taps: Tensor) -> Tensor:
        maps, taps = rounded(maps), rounded(taps)
        ctx.save_for_backward(maps, taps)
        n, h, w, c = maps.shape
        _, side, _, o = taps.shape
        pairs = (side + 1) // 2
        taps = F.pad(taps, (0, 0, 0, 2 * pairs - side)).flatten(1)
        windows = (maps.view(-1, c) @ taps).view(n, h, w, side, pairs, 2 * o)
        out = maps.new_zeros(n, 2 * h + side - 2, w + pairs - 1, 2 * o)
        for y in range(side):
            for x in range(pairs):  # two pixels at once, for then whole rows are contiguous
                out[:, y : y + 2 * h : 2, x : x + w] += windows[:, :, :, y, x]
        return out.view(n, 2 * h + side - 2, -1, o)[:, :, : 2 * w + side - 2].contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        maps, taps = ctx.saved_tensors
        side, rows = taps.shape[1], maps.flatten(0, 2)
        windows = grad.unfold(1, side, 2).unfold(2, side, 2).permute(0, 1, 2, 4, 5, 3)
        windows = windows.reshape(len(rows), -1)
        grad_taps = (rows.t() @ windows).view_as(taps)
        return (windows @ taps.flatten(1).t()).view_as(maps), grad_taps


def overlap(maps: Tensor, kernel: Kernel) -> Tensor:
    """A transposed convolution of stride 2, `(N, H, W, C)` to `(N, h, w, O)`, of small maps.

    It is one product, whose windows are added up: half the work that there is by squares, where
    most of them are at an edge.

    Args:
        maps: the input.
        kernel: its weight is `(C, side, side, O)`.
    """
    windows: Tensor = _Overlap.apply(maps, kernel.weight)  # type: ignore[no-untyped-call]
    return windows + kernel.bias.to(windows.dtype)


def overlapping(layer: nn.Module) -> Kernel:
    """Of a transposed convolution, for `overlap`."""
    assert isinstance(layer, nn.ConvTranspose2d) and layer.bias is not None
    return Kernel(layer.weight.permute(0, 2, 3, 1).contiguous(), layer.bias)
