"""The published tokenizer's networks: strided convolutions (facts 1.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrl_ros.world_model.layers import CHANNEL_NORM_EPS, squared_norm


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of `(B, C, H, W)`, eps 1e-3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=CHANNEL_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvEncoder(nn.Module):
    """Four convolutions, kernel 4, stride 2, no padding: 64, 31, 14, 6, 2."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        sizes = [3, depth, 2 * depth, 4 * depth, 8 * depth]
        layers: list[nn.Module] = []
        for a, b in zip(sizes[:-1], sizes[1:], strict=True):
            layers += [nn.Conv2d(a, b, 4, 2), ChannelNorm(b), nn.SiLU()]
        self.layers = nn.Sequential(*layers)
        self.outputs = 8 * depth * 2 * 2

    def forward(self, pixels: Tensor) -> Tensor:
        """`(N, 3, 64, 64)` to `(N, outputs)`."""
        out: Tensor = self.layers(pixels)
        return out.flatten(1)


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

    def _quads(self, features: Tensor) -> Tensor:
        """Images as squares of 2x2 pixels, `(N, 3 * 4, 32, 32)`.

        With stride 2 and kernel 6, each pixel of a square sees the same 3x3 neighbours. So the
        last layer is an ordinary convolution to four times the channels, and twice as fast as one.
        """
        spread = self.spread(features).view(-1, 4 * self.depth, 5, 5)
        x = self.layers[:-1](spread + self.spread_bias.view(-1, 1, 1))
        last = self.layers[-1]
        assert isinstance(last, nn.ConvTranspose2d) and last.bias is not None
        taps = last.weight.view(self.depth, 3, 3, 2, 3, 2).flip(2, 4).permute(1, 3, 5, 0, 2, 4)
        return F.conv2d(x, taps.flatten(0, 2), last.bias.repeat_interleave(4), padding=2)

    def forward(self, features: Tensor) -> Tensor:
        """`(N, E)` features of `project` to images `(N, 3, 64, 64)`."""
        return F.pixel_shuffle(self._quads(features), 2)

    def squared_error(self, features: Tensor, pixels: Tensor) -> Tensor:
        """Sum of squared errors of features `(N, E)` and images `(N, 3, 64, 64)`."""
        squares = pixels.permute(0, 2, 3, 1).unflatten(2, (32, 2)).unflatten(1, (32, 2))
        target = squares.permute(0, 1, 3, 5, 2, 4).flatten(3).permute(0, 3, 1, 2)
        return squared_norm(self._quads(features).to(pixels.dtype).sub_(target))
