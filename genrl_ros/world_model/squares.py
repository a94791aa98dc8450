"""Strided convolutions as ordinary ones: on squares of pixels in place of pixels.

A convolution of stride 2 moves by one square of 2x2 pixels at a time. On maps whose squares are
their pixels, with four times the channels, it has stride 1 and half the kernel, and so has a
transposed one that writes squares. Libraries compute such convolutions near the speed of matrix
products, in float32 as in bf16; strided ones, and above all their gradients, they do not.

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


def squares(maps: Tensor) -> Tensor:
    """Maps `(N, H, W, C)` by squares of 2x2 pixels, `(N, H / 2, W / 2, 4 * C)`."""
    n, h, w, c = maps.shape
    return maps.view(n, h // 2, 2, w // 2, 2, c).transpose(2, 3).reshape(n, h // 2, w // 2, 4 * c)


def joined(maps: Tensor) -> Tensor:
    """The inverse of `squares`."""
    n, h, w, c = maps.shape
    return maps.view(n, h, w, 2, 2, c // 4).transpose(2, 3).reshape(n, 2 * h, 2 * w, c // 4)


class Kernel(NamedTuple):
    """A weight of `convolution`, in the orders that its products need.

    It is made once for all portions of a batch. `there` and `back` are the same numbers; the
    gradient is given to the one in whose order it comes, and the other one is detached.

    Attributes:
        there: `(O, side, side, C)`, for windows of the input.
        back: `(C, side, side, O)`, for windows of the output's gradient, hence mirrored.
        bias: `(O,)`.
    """

    there: Tensor
    back: Tensor
    bias: Tensor

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor) -> Kernel:
        """From a weight `(O, C, side, side)`."""
        there = weight.permute(0, 2, 3, 1).contiguous()
        back = weight.flip(2, 3).permute(1, 2, 3, 0).contiguous()
        if weight.shape[1] < weight.shape[0]:
            return cls(there, back.detach(), bias)
        return cls(there.detach(), back, bias)


def strided(layer: nn.Module) -> Kernel:
    """Of a convolution of stride 2: `(4 * C, O)` and half the kernel, on squares."""
    assert isinstance(layer, nn.Conv2d) and layer.bias is not None
    o, c, side, _ = layer.weight.shape
    taps = layer.weight.view(o, c, side // 2, 2, side // 2, 2)
    return Kernel.of(taps.permute(0, 3, 5, 1, 2, 4).flatten(1, 3), layer.bias)


def transposed(layer: nn.Module) -> Kernel:
    """Of a transposed one: `(C, 4 * O)` and half the kernel, to squares.

    An odd kernel is rounded up, so that a last row and column that do not count come out.
    """
    assert isinstance(layer, nn.ConvTranspose2d) and layer.bias is not None
    odd = layer.weight.shape[-1] % 2
    weight = F.pad(layer.weight, (0, odd, 0, odd))
    c, o, side, _ = weight.shape
    taps = weight.view(c, o, side // 2, 2, side // 2, 2).flip(2, 4)
    return Kernel.of(taps.permute(3, 5, 1, 0, 2, 4).flatten(0, 2), layer.bias.repeat(4))


def strided_from_fours(layer: nn.Module) -> Kernel:
    """Of a convolution of stride 2, from squares of 4x4 pixels to those of 2x2: kernel 2.

    In a square of 4x4 pixels, channels are ordered channel, row, column, like images.
    """
    assert isinstance(layer, nn.Conv2d) and layer.bias is not None
    taps = _four_times(layer.weight)  # (4, O, C, 2, 4, 2, 4)
    taps = taps.permute(0, 1, 2, 4, 6, 3, 5).flatten(2, 4).flatten(0, 1)
    return Kernel.of(taps, layer.bias.repeat(4))


def transposed_to_fours(layer: nn.Module) -> Kernel:
    """Of a transposed one, from squares of 2x2 pixels to those of 4x4: kernel 2."""
    assert isinstance(layer, nn.ConvTranspose2d) and layer.bias is not None
    taps = _four_times(layer.weight).flip(3, 5)  # (4, C, O, 2, 4, 2, 4)
    taps = taps.permute(2, 4, 6, 0, 1, 3, 5).flatten(3, 4).flatten(0, 2)
    return Kernel.of(taps, layer.bias.repeat_interleave(16))


def _four_times(weight: Tensor) -> Tensor:
    """`(4, A, B, 2, 4, 2, 4)`: a kernel at each pixel of a square, on two squares of 4x4."""
    room = 8 - weight.shape[-1]
    shifted = [F.pad(weight, (x, room - x, y, room - y)) for y in (0, 2) for x in (0, 2)]
    return torch.stack(shifted).unflatten(-1, (2, 4)).unflatten(-3, (2, 4))


def _windows(maps: Tensor, side: int, padding: int) -> Tensor:
    """All windows `(N * h * w, side * side * C)` of maps with a border of zeros."""
    maps = F.pad(maps, (0, 0, *(padding,) * 4)) if padding else maps
    out = maps.unfold(1, side, 1).unfold(2, side, 1).permute(0, 1, 2, 4, 5, 3)
    return out.reshape(-1, side * side * maps.shape[-1])


def _library(maps: Tensor, taps: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    weight = taps.permute(0, 3, 1, 2)
    return F.conv2d(maps.permute(0, 3, 1, 2), weight, bias, 1, padding).permute(0, 2, 3, 1)


class _Convolution(torch.autograd.Function):
    """The library's own, but for what it is slow at: smallest maps, and the gradients of weights.

    Those are products with all windows of the narrower side, the input or the output's gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, maps: Tensor, there: Tensor, back: Tensor, bias: Tensor, padding: int
    ) -> Tensor:
        maps, there = rounded(maps), rounded(there)
        ctx.save_for_backward(maps, back)
        ctx.padding = padding
        side = there.shape[1]
        if maps.shape[1] <= SMALL:
            size = maps.shape[1] + 2 * padding - side + 1
            out = F.linear(_windows(maps, side, padding), there.flatten(1), bias)
            return out.view(-1, size, size, len(there))
        return _library(maps, there, bias, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        maps, back = ctx.saved_tensors
        inputs, side, _, outputs = back.shape
        back, padding = back.to(grad.dtype), side - 1 - ctx.padding
        grad_maps = grad_there = grad_back = None
        if ctx.needs_input_grad[1]:
            windows = _windows(maps, side, ctx.padding)
            grad_there = (grad.reshape(-1, outputs).t() @ windows).view(outputs, side, side, -1)
            if ctx.needs_input_grad[0]:
                grad_maps = _library(grad, back, None, padding)
        else:
            windows = _windows(grad, side, padding)
            grad_back = (maps.reshape(-1, inputs).t() @ windows).view_as(back)
            grad_maps = (windows @ back.flatten(1).t()).view(maps.shape)
        return grad_maps, grad_there, grad_back, grad.sum((0, 1, 2)), None


def convolution(maps: Tensor, kernel: Kernel, padding: int = 0) -> Tensor:
    """A convolution of stride 1, `(N, H, W, C)` to `(N, h, w, O)`, with zeros around the input."""
    out: Tensor = _Convolution.apply(maps, *kernel, padding)  # type: ignore[no-untyped-call]
    return out
