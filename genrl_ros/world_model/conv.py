"""The published tokenizer's networks: strided convolutions (facts 1.2)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from genrl_ros.world_model.layers import CHANNEL_NORM_EPS, rounded, squared_norm

PORTION = 64 * 24
"""Images that convolutions take at once on a CPU, times the depth."""


def portions(images: Tensor, depth: int) -> tuple[Tensor, ...]:
    """Parts of a batch whose largest maps fit a CPU's caches."""
    size = max(1, PORTION // depth)
    whole = images.device.type != 'cpu' or len(images) <= size
    return (images,) if whole else images.split(size)


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of `(B, C, H, W)`, eps 1e-3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=CHANNEL_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape, and float32 where channels do not fill a register with bf16."""
        x = x.permute(0, 2, 3, 1)
        if x.dtype == torch.bfloat16 and x.shape[-1] < 32:
            x = x.float()
        return self.norm(x).permute(0, 3, 1, 2)


def _windows(maps: Tensor, side: int, apart: int = 2) -> Tensor:
    """Squares `(N, h, w, side, side, C)` of maps `(N, H, W, C)`, so many pixels apart."""
    return maps.unfold(1, side, apart).unfold(2, side, apart).permute(0, 1, 2, 4, 5, 3)


def _overlap(squares: Tensor) -> Tensor:
    """The transpose of `_windows`: the sum of all squares, each in its place."""
    n, h, w, side, _, c = squares.shape
    out = squares.new_zeros(n, 2 * h + side - 2, 2 * w + side - 2, c)
    for y in range(side):
        for x in range(side):
            out[:, y : y + 2 * h : 2, x : x + 2 * w : 2] += squares[:, :, :, y, x]
    return out


class _Windows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        return _windows(maps, 4)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _overlap(grad)


class _Overlap(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, squares: Tensor) -> Tensor:
        return _overlap(squares)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _windows(grad, 5)


def _rows(maps: Tensor) -> Tensor:
    """The pixels `(N * H * W, C)` of maps `(N, C, H, W)`."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2)


def _weight_gradient(of_output: Tensor, maps: Tensor, side: int, apart: int = 2) -> Tensor:
    """`(O, C, side, side)`: what each of `(N, O, h, w)` says of its window of `(N, C, H, W)`."""
    windows = _windows(maps.permute(0, 2, 3, 1), side, apart)
    gradient = _rows(of_output).t() @ windows.flatten(3).flatten(0, 2)
    return gradient.unflatten(1, windows.shape[3:]).permute(0, 3, 1, 2)


class _Convolution(torch.autograd.Function):
    """A convolution of stride 2 under mixed precision.

    The library's gradients are slow in bf16. A product over all windows gives the weight's several
    times faster.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        x, weight = rounded(x), rounded(weight)
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad_x, side = None, weight.shape[-1]
        if ctx.needs_input_grad[0]:
            left = x.shape[-1] - 2 * (grad.shape[-1] - 1) - side
            grad_x = F.conv_transpose2d(grad, weight, stride=2, output_padding=left)
        return grad_x, _weight_gradient(grad, x, side), grad.sum((0, 2, 3))


class _TransposedConvolution(torch.autograd.Function):
    """The same for a transposed one, whose gradient is a convolution."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        x, weight = rounded(x), rounded(weight)
        ctx.save_for_backward(x, weight)
        return F.conv_transpose2d(x, weight, bias, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad_weight = _weight_gradient(x, grad, weight.shape[-1])
        return F.conv2d(grad, weight, stride=2), grad_weight, grad.sum((0, 2, 3))


class _Taps(torch.autograd.Function):
    """A convolution of stride 1, kernel 3 and padding 2, to few channels.

    Both gradients are products with the same windows of the output's gradient.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        x, weight = rounded(x), rounded(weight)
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias, padding=2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        outputs, inputs = weight.shape[:2]
        windows = _windows(grad.permute(0, 2, 3, 1), 3, 1).flatten(3).flatten(0, 2)
        taps = weight.flip(2, 3).permute(1, 2, 3, 0).flatten(1)  # (C, 9 * O)
        grad_x = (windows @ taps.t()).view(x.permute(0, 2, 3, 1).shape).permute(0, 3, 1, 2)
        grad_taps = (_rows(x).t() @ windows).view(inputs, 3, 3, outputs)
        return grad_x, grad_taps.permute(3, 0, 1, 2).flip(2, 3), grad.sum((0, 2, 3))


def _apply(layer: nn.Module, maps: Tensor) -> Tensor:
    """`layer(maps)`, of which mixed precision takes the forms above."""
    assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    if not torch.is_autocast_enabled(maps.device.type):
        return layer(maps)
    kind = _Convolution if isinstance(layer, nn.Conv2d) else _TransposedConvolution
    out: Tensor = kind.apply(maps, layer.weight, layer.bias)  # type: ignore[no-untyped-call]
    return out


class ConvEncoder(nn.Module):
    """Four convolutions, kernel 4, stride 2, no padding: 64, 31, 14, 6, 2."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.depth = depth
        sizes = [3, depth, 2 * depth, 4 * depth, 8 * depth]
        layers: list[nn.Module] = []
        for a, b in zip(sizes[:-1], sizes[1:], strict=True):
            layers += [nn.Conv2d(a, b, 4, 2), ChannelNorm(b), nn.SiLU()]
        self.layers = nn.Sequential(*layers)
        self.outputs = 8 * depth * 2 * 2

    def forward(self, pixels: Tensor) -> Tensor:
        """`(N, 3, 64, 64)` to `(N, outputs)`.

        The last convolution sees four windows of its map. As a linear layer on them, for the whole
        batch at once, it is three times faster than what convolutions of such small maps reach.
        """
        parts = [self._maps(part) for part in portions(pixels, self.depth)]
        maps = (parts[0] if len(parts) == 1 else torch.cat(parts)).permute(0, 2, 3, 1)
        windows = _Windows.apply(maps).flatten(3)  # type: ignore[no-untyped-call]
        last = self.layers[-3]
        assert isinstance(last, nn.Conv2d)
        out = F.linear(windows, last.weight.permute(0, 2, 3, 1).flatten(1), last.bias)
        out = self.layers[-2:](out.permute(0, 3, 1, 2))
        return out.flatten(1)

    def _maps(self, pixels: Tensor) -> Tensor:
        for index in range(0, len(self.layers) - 3, 3):
            pixels = self.layers[index + 1 : index + 3](_apply(self.layers[index], pixels))
        return pixels


class ConvDecoder(nn.Module):
    """Linear, then four transposed convolutions: 1, 5, 13, 30, 64.

    The first transposed convolution acts on a 1x1 map, where it is a linear layer; written as one
    it is the same function (published code spends half its update there).
    """

    def __init__(self, inputs: int, depth: int) -> None:
        super().__init__()
        self.depth = depth
        self.project = nn.Linear(inputs, 32 * depth)
        self.spread = nn.Linear(32 * depth, 4 * depth * 5 * 5, bias=False)
        self.spread_bias = nn.Parameter(torch.zeros(4 * depth))
        bound = (4 * depth * 5 * 5) ** -0.5
        nn.init.uniform_(self.spread.weight, -bound, bound)
        nn.init.uniform_(self.spread_bias, -bound, bound)
        self.layers = nn.Sequential(
            ChannelNorm(4 * depth), nn.SiLU(),
            nn.ConvTranspose2d(4 * depth, 2 * depth, 5, 2), ChannelNorm(2 * depth), nn.SiLU(),
            nn.ConvTranspose2d(2 * depth, depth, 6, 2), ChannelNorm(depth), nn.SiLU(),
            nn.ConvTranspose2d(depth, 3, 6, 2),
        )  # fmt: skip

    def _maps(self, features: Tensor) -> Tensor:
        """The smallest maps, `(N, 4 * depth, 5, 5)`, of the whole batch at once."""
        spread = self.spread(features).view(-1, 4 * self.depth, 5, 5)
        return spread + self.spread_bias.view(-1, 1, 1)

    def _quads(self, maps: Tensor) -> Tensor:
        """Images as squares of 2x2 pixels, `(N, 3 * 4, 32, 32)`.

        The first layer's maps are so small that its squares are made as one matrix product.

        In the last, with stride 2 and kernel 6, each pixel of a square sees the same 3x3
        neighbours. So it is an ordinary convolution to four times the channels, twice as fast.
        """
        first, last = self.layers[2], self.layers[-1]
        assert isinstance(first, nn.ConvTranspose2d) and first.bias is not None
        assert isinstance(last, nn.ConvTranspose2d) and last.bias is not None
        x = self.layers[:2](maps).permute(0, 2, 3, 1)
        squares = (x @ first.weight.permute(0, 2, 3, 1).flatten(1)).unflatten(-1, (5, 5, -1))
        x = _Overlap.apply(squares) + first.bias  # type: ignore[no-untyped-call]
        x = self.layers[3:5](x.permute(0, 3, 1, 2))
        x = self.layers[6:-1](_apply(self.layers[5], x))
        taps = last.weight.view(self.depth, 3, 3, 2, 3, 2).flip(2, 4).permute(1, 3, 5, 0, 2, 4)
        weight, bias = taps.flatten(0, 2), last.bias.repeat_interleave(4)
        if not torch.is_autocast_enabled(x.device.type):
            return F.conv2d(x, weight, bias, padding=2)
        out: Tensor = _Taps.apply(x, weight, bias)  # type: ignore[no-untyped-call]
        return out

    def forward(self, features: Tensor) -> Tensor:
        """`(N, E)` features of `project` to images `(N, 3, 64, 64)`."""
        return F.pixel_shuffle(self._quads(self._maps(features)), 2)

    def squared_error(self, features: Tensor, pixels: Tensor) -> Tensor:
        """Sum of squared errors of features `(N, E)` and images `(N, 3, 64, 64)`."""
        parts = zip(
            portions(self._maps(features), self.depth), portions(pixels, self.depth), strict=True
        )
        return torch.stack([self._squared_error(maps, part) for maps, part in parts]).sum()

    def _squared_error(self, maps: Tensor, pixels: Tensor) -> Tensor:
        squares = pixels.permute(0, 2, 3, 1).unflatten(2, (32, 2)).unflatten(1, (32, 2))
        target = squares.permute(0, 1, 3, 5, 2, 4).flatten(3).permute(0, 3, 1, 2)
        return squared_norm(self._quads(maps).to(pixels.dtype).sub_(target))
