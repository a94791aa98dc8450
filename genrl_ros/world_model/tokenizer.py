"""Visual tokenizer: q(s|x) and p(x|s). Neither of them sees the sequence model's state.

Two forms of the same thing: `conv` is the published one, `patch` is ours for a CPU.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genrl_ros.config.model import ModelConfig
from genrl_ros.config.training import FocusConfig
from genrl_ros.world_model.conv import ConvDecoder, ConvEncoder
from genrl_ros.world_model.images import patches, pixels
from genrl_ros.world_model.layers import Dense
from genrl_ros.world_model.patch import SIDE, PatchDecoder, PatchEncoder, PatchPosterior


class Tokenizer(nn.Module):
    """Encoder, posterior head and decoder."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.stoch, self.classes = config.stoch, config.classes
        if config.tokenizer == 'conv':
            self._side = 4
            self.encoder: ConvEncoder | PatchEncoder = ConvEncoder(config.depth)
            self.decoder: ConvDecoder | PatchDecoder = ConvDecoder(config.flat_stoch, config.depth)
            self.posterior: nn.Module = nn.Sequential(
                Dense(self.encoder.outputs, config.hidden),
                nn.Linear(config.hidden, config.flat_stoch),
            )
        else:
            self._side = SIDE
            self.encoder = PatchEncoder(config.depth)
            self.decoder = PatchDecoder(config.flat_stoch, config.depth)
            self.posterior = PatchPosterior(
                config.depth, config.hidden, config.stoch, config.classes
            )

    def canvas(self, image: Tensor) -> Tensor:
        """Images `(N, 3, 64, 64)` uint8 by squares, as encoder and decoder see them.

        Float32 in [-0.5, 0.5] for patches; for convolutions still uint8, since they take images
        in portions and are limited by memory.
        """
        by_patches = patches(image, self._side)
        return pixels(by_patches) if isinstance(self.encoder, PatchEncoder) else by_patches

    def emphasis(self, focus: FocusConfig) -> Tensor | None:
        """What to multiply differences of a canvas by, for their squares to have the weight."""
        if focus.weight == 1:
            return None
        device = self.decoder.project.weight.device
        inside = torch.zeros(1, 3, 64, 64, dtype=torch.uint8, device=device)
        inside[..., focus.top : focus.bottom, focus.left : focus.right] = 1
        return 1 + (focus.weight**0.5 - 1) * patches(inside, self._side)

    def embed(self, canvas: Tensor) -> Tensor:
        """Embedded images `(N, ...)` of a `canvas`, as the posterior takes them."""
        out: Tensor = self.encoder(canvas)
        return out

    def posterior_logits(self, canvas: Tensor) -> Tensor:
        """Posterior logits `(N, S, K)` of a `canvas`."""
        logits: Tensor = self.posterior(self.embed(canvas))
        return logits.view(-1, self.stoch, self.classes)

    def encode(self, image: Tensor) -> Tensor:
        """Posterior logits `(..., S, K)` of images `(..., 3, 64, 64)` uint8."""
        logits = self.posterior_logits(self.canvas(image.reshape(-1, *image.shape[-3:])))
        return logits.view(*image.shape[:-3], self.stoch, self.classes)

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

    def reconstruction_loss(
        self, stoch: Tensor, canvas: Tensor, emphasis: Tensor | None = None
    ) -> Tensor:
        """Squared error summed over channels and pixels, mean over images (facts 1.3).

        Args:
            stoch: `(N, S, K)`.
            canvas: the images.
            emphasis: factors of the differences, as `emphasis` gives them; of none, all are one.
        """
        return self.decoder.squared_error(self.project(stoch), canvas, emphasis) / len(stoch)
