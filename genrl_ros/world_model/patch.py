"""The tokenizer's networks that learn on a CPU: patches, merged by linear layers.

Ours, for the `small` preset. It spends its arithmetic in large matrix products and needs about a
tenth of the published work.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from genrl_ros.world_model.fast.norm_silu import NormSiLU
from genrl_ros.world_model.fast.squares import squares
from genrl_ros.world_model.layers import Dense

SIDE = 8
"""Height and width of a patch, and also patches in a row and in a column of an image."""
VALUES = 3 * SIDE * SIDE
SQUARES = 16
"""Squares of 16x16 pixels in an image."""


def _channel_first(parameter: Tensor) -> Tensor:
    """The last axis `(192,)` of a parameter, channel innermost, in the order of squares."""
    return parameter.unflatten(-1, (SIDE * SIDE, 3)).transpose(-1, -2).flatten(-2)


def _join(x: Tensor, size: int) -> Tensor:
    """The inverse of `squares`, of any size."""
    n, h, w, c = x.shape
    x = x.view(n, h, w, size, size, c // (size * size)).transpose(2, 3)
    return x.reshape(n, h * size, w * size, c // (size * size))


class PatchEncoder(nn.Module):
    """8x8 patches to tokens, 2x2 of them merged: a token for each square of 16x16 pixels."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.patch = Dense(VALUES, 2 * depth)
        self.merge = Dense(4 * 2 * depth, 4 * depth)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels by squares, `(N, 8, 8, 192)`, to tokens `(N, 16, 4 * depth)`."""
        linear = self.patch.linear
        tokens = F.linear(pixels, _channel_first(linear.weight), linear.bias)
        out: Tensor = self.merge(squares(self.patch.activate(tokens)))
        return out.flatten(1, 2)


class PatchPosterior(nn.Module):
    """Tokens to logits: each categorical sees the whole image, and one square more directly.

    A robot's arm is most of what moves in an image, and a network that sees everything at once
    learns the arm and passes over a knob of a few pixels. A categorical with a square of its own
    has, most of the time, nothing else to tell.
    """

    def __init__(self, depth: int, hidden: int, stoch: int, classes: int) -> None:
        super().__init__()
        self.stoch, self.classes = stoch, classes
        self.whole = nn.Sequential(
            Dense(SQUARES * 4 * depth, 16 * depth),
            Dense(16 * depth, hidden),
            nn.Linear(hidden, stoch * classes),
        )
        shared = -(-stoch // SQUARES)  # categoricals of a square
        bound = (4 * depth) ** -0.5
        self.square = nn.Parameter(torch.empty(SQUARES, 4 * depth, shared * classes))
        nn.init.uniform_(self.square, -bound, bound)

    def forward(self, tokens: Tensor) -> Tensor:
        """`(N, 16, 4 * depth)` to `(N, S * K)`."""
        own = (tokens.transpose(0, 1) @ self.square).transpose(0, 1)
        logits: Tensor = self.whole(tokens.flatten(1))
        return logits + own.flatten(1)[:, : self.stoch * self.classes]


class _SquaredError(torch.autograd.Function):
    """Sum of `(emphasis * (tokens @ weight.T + offset - pixels))^2`, in place where it can be.

    For tokens `(N, P, C)`, weight `(192, C)`, offset `(P, 192)`, pixels `(N, P, 192)`, emphasis
    `(P, 192)` or none. Of large tensors, it makes and keeps only the difference.
    """

    @staticmethod
    def forward(
        ctx: Any,
        tokens: Tensor,
        weight: Tensor,
        offset: Tensor,
        pixels: Tensor,
        emphasis: Tensor | None,
    ) -> Tensor:
        difference = offset - pixels
        difference.view(-1, VALUES).addmm_(tokens.flatten(0, 1), weight.t())
        if emphasis is not None:
            difference *= emphasis
        error = torch.linalg.vector_norm(difference, dim=(1, 2)).square().sum()
        if emphasis is not None:
            difference *= emphasis  # half the gradient
        ctx.save_for_backward(tokens, weight, difference)
        return error

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        tokens, weight, difference = ctx.saved_tensors
        flat = difference.view(-1, VALUES)
        grad_tokens = (flat @ (2 * grad * weight)).view_as(tokens)
        grad_weight = 2 * grad * (flat.t() @ tokens.flatten(0, 1))
        return grad_tokens, grad_weight, 2 * grad * difference.sum(0), None, None


class PatchDecoder(nn.Module):
    """The mirror image of `PatchEncoder`, with a learned background that all images share."""

    def __init__(self, inputs: int, depth: int) -> None:
        super().__init__()
        self.depth = depth
        self.project = nn.Linear(inputs, 16 * depth)
        self.norm = NormSiLU(16 * depth)
        self.spread = Dense(16 * depth, 4 * 4 * 4 * depth)
        self.split = nn.Sequential(nn.Linear(4 * depth, 4 * 2 * depth), nn.SiLU())
        self.patch = nn.Linear(2 * depth, VALUES)
        self.background = nn.Parameter(torch.zeros(SIDE, SIDE, VALUES))

    def _tokens(self, features: Tensor) -> Tensor:
        tokens = self.spread(self.norm(features)).view(-1, 4, 4, 4 * self.depth)
        return _join(self.split(tokens), 2)

    def forward(self, features: Tensor) -> Tensor:
        """`(N, E)` features of `project` to images `(N, 3, 64, 64)`."""
        joined = _join(self.patch(self._tokens(features)) + self.background, SIDE)
        return joined.permute(0, 3, 1, 2)

    def squared_error(
        self, features: Tensor, pixels: Tensor, emphasis: Tensor | None = None
    ) -> Tensor:
        """Sum of squared errors of features `(N, E)` and pixels by squares.

        Differences are multiplied by `emphasis` `(1, 8, 8, 192)` before, if it is given.
        """
        tokens = self._tokens(features).flatten(1, 2)
        offset = _channel_first(self.background + self.patch.bias).flatten(0, 1)
        weight = _channel_first(self.patch.weight.t()).t().contiguous()
        if emphasis is not None:
            emphasis = emphasis.view(-1, VALUES).to(pixels.dtype)
        with torch.autocast(pixels.device.type, enabled=False):  # a sum of squares needs its bits
            error: Tensor = _SquaredError.apply(  # type: ignore[no-untyped-call]
                tokens.to(pixels.dtype), weight, offset, pixels.flatten(1, 2), emphasis
            )
        return error
