"""The published tokenizer's networks: strided convolutions (facts 1.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from genrl_ros.world_model import squares
from genrl_ros.world_model.images import joined, pixels
from genrl_ros.world_model.layers import CHANNEL_NORM_EPS, squared_distance

PORTION = 128
"""Images that convolutions take at once on a CPU."""
CACHED = 2**17
"""Numbers that a CPU's second cache holds several times."""


def portions(images: Tensor) -> tuple[Tensor, ...]:
    """Parts of a batch: maps of all of it would go through a CPU's memory at each step."""
    return images.split(PORTION) if images.device.type == 'cpu' else (images,)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        loss: Callable[[Tensor, Tensor], Tensor],
        maps: Tensor,
        target: Tensor,
        *others: Tensor,
    ) -> Tensor:
        values, of_maps = [], []
        of_others = [torch.zeros_like(other) for other in others]
        for part, goal in zip(portions(maps), portions(target), strict=True):
            start = part.detach().requires_grad_()
            with torch.enable_grad():
                value = loss(start, goal)
            first, *rest = torch.autograd.grad(value, (start, *others))
            values.append(value.detach())
            of_maps.append(first)
            torch._foreach_add_(of_others, rest)
        ctx.save_for_backward(torch.cat(of_maps), *of_others)
        return torch.stack(values).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        of_maps, *of_others = (gradient * grad for gradient in ctx.saved_tensors)
        return None, of_maps, None, *of_others


def sum_of_portions(
    loss: Callable[[Tensor, Tensor], Tensor],
    maps: Tensor,
    target: Tensor,
    others: Sequence[Tensor],
) -> Tensor:
    """The sum of `loss(maps, target)` over portions, whose gradients are computed at once.

    While a portion's maps are in the caches, that is, and nothing of it is kept.

    Args:
        loss: of a portion, a sum over images.
        maps: `(N, ...)`.
        target: `(N, ...)`, without a gradient.
        others: what else the loss depends on.
    """
    if torch.is_grad_enabled():
        out: Tensor = _Sum.apply(  # type: ignore[no-untyped-call]
            loss, maps, target, *others
        )
        return out
    parts = zip(portions(maps), portions(target), strict=True)
    return torch.stack([loss(part, goal) for part, goal in parts]).sum()


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


class _RoundedActivation(torch.autograd.Function):
    """ChannelNorm and SiLU of rows `(N, C)` in bf16, of which the norm is computed in float32.

    The library is slow at norms of few channels in bf16. It goes so few rows at a time that what
    is float32 never leaves a CPU's caches: passes over memory are what this costs.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        normed, out, moments = torch.empty_like(rows), torch.empty_like(rows), []
        for part, normed_part, out_part in zip(*map(_parts, (rows, normed, out)), strict=True):
            exact, mean, rstd = torch.native_layer_norm(
                part.float(), scale.shape, scale, shift, CHANNEL_NORM_EPS
            )
            torch.ops.aten.silu.out(normed_part.copy_(exact), out=out_part)
            moments += [mean, rstd]
        ctx.save_for_backward(rows, normed, scale, shift, *moments)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, normed, scale, shift, *moments = ctx.saved_tensors
        out = torch.empty_like(rows)
        grad_scale, grad_shift = torch.zeros_like(scale), torch.zeros_like(shift)
        parts = zip(*map(_parts, (grad, normed, rows, out)), strict=True)
        for part, (grad_part, normed_part, rows_part, out_part) in enumerate(parts):
            mean, rstd = moments[2 * part : 2 * part + 2]
            slope = torch.ops.aten.silu_backward(grad_part, normed_part)
            exact, of_scale, of_shift = torch.ops.aten.native_layer_norm_backward(
                slope.float(), rows_part.float(), scale.shape, mean, rstd, scale, shift,
                (True, True, True),
            )  # fmt: skip
            out_part.copy_(exact)
            grad_scale += of_scale
            grad_shift += of_shift
        return out, grad_scale, grad_shift


def _parts(rows: Tensor) -> tuple[Tensor, ...]:
    whole = rows.device.type != 'cpu'
    return (rows,) if whole else rows.split(CACHED // rows.shape[1])


def activate(maps: Tensor, layer: nn.Module) -> Tensor:
    """What ChannelNorm and SiLU do, to maps or squares `(N, H, W, n * C)`."""
    assert isinstance(layer, ChannelNorm)
    channels = len(layer.norm.weight)
    if maps.dtype != torch.bfloat16:
        return F.silu(layer.norm(maps.unflatten(-1, (-1, channels)))).flatten(-2)
    out: Tensor = _RoundedActivation.apply(  # type: ignore[no-untyped-call]
        maps.reshape(-1, channels), layer.norm.weight, layer.norm.bias
    )
    return out.view_as(maps)


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

    def forward(self, image: Tensor) -> Tensor:
        """Squares of 4x4 pixels, `(N, 16, 16, 48)` uint8, to `(N, outputs)`.

        The first map is 31x31 as published, and its last row and column are not used.
        """
        if torch.onnx.is_in_onnx_export():  # where nothing is trained, as published
            return self.layers(pixels(joined(image))).flatten(1)
        first, *others = (self.layers[index] for index in range(0, 12, 3))
        *kernels, last = squares.strided_from_fours(first), *map(squares.strided, others)
        parts = [self._maps(part, kernels) for part in portions(image)]
        maps = squares.squares(parts[0] if len(parts) == 1 else torch.cat(parts))
        out = activate(squares.convolution(maps, last), self.layers[10])
        return out.permute(0, 3, 1, 2).flatten(1)

    def _maps(self, image: Tensor, kernels: list[squares.Kernel]) -> Tensor:
        """All but the last layer's."""
        first, second, third = kernels
        x = activate(
            squares.convolution(pixels(image).to(first.weight.dtype), first), self.layers[1]
        )
        x = activate(squares.convolution(x, second), self.layers[4])
        return activate(squares.convolution(squares.squares(x), third), self.layers[7])

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

    def _start(self, features: Tensor) -> Tensor:
        """The smallest maps, `(N, 5, 5, 4 * depth)`, of the whole batch at once."""
        spread = self.spread(features).view(-1, 4 * self.depth, 5, 5)
        return (spread + self.spread_bias.view(-1, 1, 1)).permute(0, 2, 3, 1).contiguous()

    def _kernels(self) -> list[squares.Kernel]:
        first, second, last = (self.layers[index] for index in (2, 5, 8))
        return [
            squares.overlapping(first),
            squares.transposed(second),
            squares.transposed_to_fours(last),
        ]

    def _images(self, maps: Tensor, kernels: list[squares.Kernel]) -> Tensor:
        """Maps of `_start` to squares of 4x4 pixels, `(N, 16, 16, 48)`."""
        first, second, last = kernels
        x = squares.overlap(activate(maps, self.layers[0]), first)
        x = squares.convolution(activate(x, self.layers[3]), second, 2)
        return squares.convolution(activate(x, self.layers[6]), last, 1)

    def forward(self, features: Tensor) -> Tensor:
        """`(N, E)` features of `project` to images `(N, 3, 64, 64)`."""
        return joined(self._images(self._start(features), self._kernels()))

    def squared_error(self, features: Tensor, image: Tensor) -> Tensor:
        """Sum of squared errors of `(N, E)` and squares of images `(N, 16, 16, 48)` uint8."""
        kernels = self._kernels()

        def loss(maps: Tensor, part: Tensor) -> Tensor:
            return squared_distance(self._images(maps, kernels), pixels(part))

        norms = [
            p
            for layer in self.layers
            if isinstance(layer, ChannelNorm)
            for p in layer.parameters()
        ]
        others = [*norms, *(tensor for kernel in kernels for tensor in kernel)]
        return sum_of_portions(loss, self._start(features), image, others)
