"""The published tokenizer's networks: strided convolutions (facts 1.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genrl_ros.world_model.fast import squares
from genrl_ros.world_model.fast.norm_silu import norm_silu
from genrl_ros.world_model.fast.portions import portions, sum_of_portions
from genrl_ros.world_model.images import joined, pixels
from genrl_ros.world_model.layers import CHANNEL_NORM_EPS, squared_distance


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of `(B, C, H, W)`, eps 1e-3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=CHANNEL_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def activate(maps: Tensor, layer: nn.Module) -> Tensor:
    """What ChannelNorm and SiLU do, to maps or squares `(N, H, W, n * C)`."""
    assert isinstance(layer, ChannelNorm)
    channels = len(layer.norm.weight)
    return norm_silu(maps.unflatten(-1, (-1, channels)), layer.norm).flatten(-2)


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
            return self.layers(pixels(joined(image, 4))).flatten(1)
        first, *others = (self.layers[index] for index in range(0, 12, 3))
        *kernels, last = squares.strided_from_fours(first), *map(squares.strided, others)
        parts = [self._maps(part, kernels) for part in portions(image)]
        maps = squares.squares(parts[0] if len(parts) == 1 else torch.cat(parts))
        out = activate(squares.convolution(maps, last), self.layers[10])
        return out.permute(0, 3, 1, 2).flatten(1)

    def _maps(self, image: Tensor, kernels: list[squares.Kernel]) -> Tensor:
        """All but the last layer's."""
        first, second, third = kernels
        x = pixels(image).to(first.weight.dtype)
        x = activate(squares.convolution(x, first), self.layers[1])
        x = activate(squares.convolution(x, second), self.layers[4])
        return activate(squares.convolution(squares.squares(x), third), self.layers[7])


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
        return joined(self._images(self._start(features), self._kernels()), 4)

    def squared_error(
        self, features: Tensor, image: Tensor, emphasis: Tensor | None = None
    ) -> Tensor:
        """Sum of squared errors of `(N, E)` and squares of images `(N, 16, 16, 48)` uint8.

        Differences are multiplied by `emphasis` `(1, 16, 16, 48)` before, if it is given.
        """
        kernels = self._kernels()

        def loss(maps: Tensor, part: Tensor) -> Tensor:
            decoded, target = self._images(maps, kernels), pixels(part)
            if emphasis is not None:
                decoded, target = decoded * emphasis, target * emphasis
            return squared_distance(decoded, target)

        norms = [layer for layer in self.layers if isinstance(layer, ChannelNorm)]
        others: list[Tensor] = [parameter for norm in norms for parameter in norm.parameters()]
        others += [tensor for kernel in kernels for tensor in kernel]
        return sum_of_portions(loss, self._start(features), image, others)
