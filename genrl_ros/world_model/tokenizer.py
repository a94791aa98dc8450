"""Visual tokenizer: q(s|x) and p(x|s). Neither of them sees the sequence model's state.

Two forms of the same thing. `conv` is the published one. `patch` is ours for presets that must
learn on a CPU: non-overlapping patches merged by linear layers, which spends its arithmetic in
large matrix products and needs about a tenth of the work.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrl_ros.config import ModelConfig
from genrl_ros.world_model.layers import CHANNEL_NORM_EPS, Dense


def pixels(image: Tensor) -> Tensor:
    """uint8 `(..., 3, 64, 64)` to float32 in [-0.5, 0.5]."""
    return image.float().div_(255).sub_(0.5)


def to_uint8(image: Tensor) -> Tensor:
    """float32 in [-0.5, 0.5] to uint8."""
    return ((image + 0.5) * 255).round().clamp_(0, 255).to(torch.uint8)


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of `(B, C, H, W)`, eps 1e-3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=CHANNEL_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvEncoder(nn.Module):
    """Four convolutions, kernel 4, stride 2, no padding: 64, 31, 14, 6, 2 (facts 1.2)."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        sizes = [3, depth, 2 * depth, 4 * depth, 8 * depth]
        layers: list[nn.Module] = []
        for a, b in zip(sizes[:-1], sizes[1:], strict=True):
            layers += [nn.Conv2d(a, b, 4, 2), ChannelNorm(b), nn.SiLU()]
        self.layers = nn.Sequential(*layers)
        self.outputs = 8 * depth * 2 * 2

    def forward(self, image: Tensor) -> Tensor:
        """`(N, 3, 64, 64)` uint8 to `(N, outputs)`."""
        out: Tensor = self.layers(pixels(image))
        return out.flatten(1)


class ConvDecoder(nn.Module):
    """Linear, then four transposed convolutions: 1, 5, 13, 30, 64 (facts 1.2).

    The first transposed convolution acts on a 1x1 map, where it is a linear layer; written as one
    it is the same function (facts: published code spends half its update there).
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

    def forward(self, features: Tensor) -> Tensor:
        """`(N, E)` features of `project` to `(N, 3, 64, 64)`."""
        spread = self.spread(features).view(-1, 4 * self.depth, 5, 5)
        out: Tensor = self.layers(spread + self.spread_bias.view(-1, 1, 1))
        return out

    def squared_error(self, features: Tensor, image: Tensor) -> Tensor:
        """Sum of squared errors over all images `(N, 3, 64, 64)` uint8."""
        return F.mse_loss(self(features), pixels(image), reduction='sum')


def _split(x: Tensor, size: int) -> Tensor:
    """`(N, H, W, C)` to `(N, H/size, W/size, size*size*C)`."""
    n, h, w, c = x.shape
    x = x.view(n, h // size, size, w // size, size, c).transpose(2, 3)
    return x.reshape(n, h // size, w // size, size * size * c)


def _join(x: Tensor, size: int) -> Tensor:
    """The inverse of `_split`."""
    n, h, w, c = x.shape
    x = x.view(n, h, w, size, size, c // (size * size)).transpose(2, 3)
    return x.reshape(n, h * size, w * size, c // (size * size))


def patches(image: Tensor) -> Tensor:
    """8x8 patches `(N, 8, 8, 192)` of images `(N, 3, 64, 64)`, of the same dtype."""
    n, c, h, w = image.shape
    x = image.view(n, c, h // 8, 8, w // 8, 8).permute(0, 2, 4, 3, 5, 1)
    return x.reshape(n, h // 8, w // 8, 8 * 8 * c)


class PatchEncoder(nn.Module):
    """8x8 patches to tokens, 2x2 tokens merged, all positions to one vector."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.patch = Dense(8 * 8 * 3, 2 * depth)
        self.merge = Dense(4 * 2 * depth, 4 * depth)
        self.gather = Dense(4 * 4 * 4 * depth, 16 * depth)
        self.outputs = 16 * depth

    def forward(self, image: Tensor) -> Tensor:
        """`(N, 3, 64, 64)` uint8 to `(N, outputs)`."""
        tokens = self.patch(pixels(patches(image)))
        tokens = self.merge(_split(tokens, 2))
        out: Tensor = self.gather(tokens.flatten(1))
        return out


class PatchDecoder(nn.Module):
    """The mirror image of `PatchEncoder`, with a learned background that all images share."""

    def __init__(self, inputs: int, depth: int) -> None:
        super().__init__()
        self.depth = depth
        self.project = nn.Linear(inputs, 16 * depth)
        self.norm = nn.Sequential(nn.LayerNorm(16 * depth), nn.SiLU())
        self.spread = Dense(16 * depth, 4 * 4 * 4 * depth)
        self.split = nn.Sequential(nn.Linear(4 * depth, 4 * 2 * depth), nn.SiLU())
        self.patch = nn.Linear(2 * depth, 8 * 8 * 3)
        self.background = nn.Parameter(torch.zeros(8, 8, 8 * 8 * 3))

    def patches(self, features: Tensor) -> Tensor:
        """`(N, E)` features of `project` to patches `(N, 8, 8, 192)`."""
        tokens = self.spread(self.norm(features)).view(-1, 4, 4, 4 * self.depth)
        tokens = _join(self.split(tokens), 2)
        out: Tensor = self.patch(tokens) + self.background
        return out

    def forward(self, features: Tensor) -> Tensor:
        """`(N, E)` features of `project` to `(N, 3, 64, 64)`."""
        return _join(self.patches(features), 8).permute(0, 3, 1, 2)

    def squared_error(self, features: Tensor, image: Tensor) -> Tensor:
        """Sum of squared errors over all images `(N, 3, 64, 64)` uint8, without joining them."""
        return F.mse_loss(self.patches(features), pixels(patches(image)), reduction='sum')


class Tokenizer(nn.Module):
    """Encoder, posterior head and decoder."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.stoch, self.classes = config.stoch, config.classes
        if config.tokenizer == 'conv':
            self.encoder: ConvEncoder | PatchEncoder = ConvEncoder(config.depth)
            self.decoder: ConvDecoder | PatchDecoder = ConvDecoder(config.flat_stoch, config.depth)
        else:
            self.encoder = PatchEncoder(config.depth)
            self.decoder = PatchDecoder(config.flat_stoch, config.depth)
        self.posterior = nn.Sequential(
            Dense(self.encoder.outputs, config.hidden),
            nn.Linear(config.hidden, config.flat_stoch),
        )

    def encode(self, image: Tensor) -> Tensor:
        """Posterior logits `(..., S, K)` of images `(..., 3, 64, 64)` uint8."""
        lead = image.shape[:-3]
        flat = self.posterior(self.encoder(image.reshape(-1, *image.shape[-3:])))
        return flat.view(*lead, self.stoch, self.classes)

    def project(self, stoch: Tensor) -> Tensor:
        """g: the decoder's first linear layer, `(..., S, K)` to `(..., E)` (facts 1.1)."""
        out: Tensor = self.decoder.project(stoch.flatten(-2))
        return out

    def decode(self, stoch: Tensor) -> Tensor:
        """Images `(..., 3, 64, 64)` float32 in about [-0.5, 0.5] of latents `(..., S, K)`."""
        lead = stoch.shape[:-2]
        features = self.project(stoch.reshape(-1, *stoch.shape[-2:]))
        out: Tensor = self.decoder(features)
        return out.view(*lead, *out.shape[1:])

    def reconstruction_loss(self, stoch: Tensor, image: Tensor) -> Tensor:
        """Squared error summed over channels and pixels, mean over images (facts 1.3).

        Args:
            stoch: `(B, T, S, K)`.
            image: `(B, T, 3, 64, 64)` uint8.
        """
        features = self.project(stoch.flatten(0, 1))
        error = self.decoder.squared_error(features, image.flatten(0, 1))
        return error / features.shape[0]
