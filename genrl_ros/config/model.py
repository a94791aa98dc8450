"""Sizes of a multimodal-foundation world model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from genrl_ros.config.check import check

UNIMIX = 0.01
"""Share of the uniform distribution in every categorical (facts 1.3)."""


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a multimodal-foundation world model.

    `paper` has the published sizes (facts 1.2). `small` is what a laptop's CPU can learn: patches
    in place of convolutions, half as many classes, a quarter of the width. `medium` sees as
    `small`, with dynamics of twice the width, for bodies that are harder to predict.
    """

    action_dim: int
    """Channels of the action vector."""
    embed_dim: int = 512
    """Size of the video-language embedding."""
    tokenizer: Literal['conv', 'patch'] = 'conv'
    """Form of encoder and decoder."""
    depth: int = 48
    """Channel multiplier of the tokenizer."""
    stoch: int = 32
    """Categoricals of the latent."""
    classes: int = 32
    """Classes of each categorical."""
    deter: int = 1024
    """Size of the recurrent state."""
    hidden: int = 1024
    """Width of the hidden layers."""
    units: int = 1024
    """Width of actor and critic."""
    layers: int = 4
    """Hidden layers of actor and critic."""
    temporal_zeros: int = 8
    """Zeros appended to the connector's input, as published (they carry no information)."""

    def __post_init__(self) -> None:
        for name in (
            'action_dim', 'embed_dim', 'depth', 'stoch', 'classes', 'deter', 'hidden', 'units',
            'layers',
        ):  # fmt: skip
            check(getattr(self, name) > 0, f'model.{name} must be positive')
        check(self.classes <= 256, 'model.classes must fit a byte (at most 256)')
        check(self.temporal_zeros >= 0, 'model.temporal_zeros must not be negative')

    @property
    def flat_stoch(self) -> int:
        """Size of the flattened latent."""
        return self.stoch * self.classes

    @property
    def feat(self) -> int:
        """Size of what actor and critic see."""
        return self.flat_stoch + self.deter


PRESETS: Mapping[str, Mapping[str, Any]] = {
    'small': {
        'tokenizer': 'patch', 'depth': 32, 'classes': 16, 'deter': 256, 'hidden': 256,
        'units': 256, 'layers': 3, 'temporal_zeros': 0,
    },
    'medium': {
        'tokenizer': 'patch', 'depth': 32, 'classes': 16, 'deter': 512, 'hidden': 512,
        'units': 256, 'layers': 3, 'temporal_zeros': 0,
    },
    'base': {'tokenizer': 'conv', 'depth': 48, 'deter': 512, 'hidden': 512, 'units': 512},
    'paper': {},
}  # fmt: skip


def model_preset(name: str, action_dim: int, embed_dim: int = 512) -> ModelConfig:
    """The model sizes of a preset.

    Raises:
        ValueError: if there is no preset of that name.
    """
    if name not in PRESETS:
        raise ValueError(f'no preset {name!r}; there are: {", ".join(PRESETS)}')
    return ModelConfig(action_dim=action_dim, embed_dim=embed_dim, **PRESETS[name])
