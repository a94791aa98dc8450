"""Every number that a user may want to change, as frozen dataclasses that check themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args, get_type_hints

Config = TypeVar('Config')
Precision = Literal['float32', 'bf16']
Device = Literal['cpu', 'cuda']
Align = Literal['sequence', 'initial', 'none']
UNIMIX = 0.01
"""Share of the uniform distribution in every categorical (facts 1.3)."""


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a multimodal-foundation world model.

    `paper` has the published sizes (facts 1.2). `small` is what a laptop's CPU can learn: patches
    in place of convolutions, half as many classes, a quarter of the width.
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
            _check(getattr(self, name) > 0, f'model.{name} must be positive')
        _check(self.classes <= 256, 'model.classes must fit a byte (at most 256)')
        _check(self.temporal_zeros >= 0, 'model.temporal_zeros must not be negative')

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


@dataclass(frozen=True)
class OptimConfig:
    """Adam as published (facts 1.5), plus a warm-up and a cosine decay for short runs."""

    lr: float = 1e-4
    """Highest learning rate."""
    eps: float = 1e-8
    """Adam's epsilon."""
    clip: float = 1000.0
    """Largest norm of the gradient."""
    weight_decay: float = 1e-6
    """Share of every parameter that is removed at each step (not multiplied by lr)."""
    warmup: int = 0
    """Updates over which the learning rate rises from zero."""
    final_lr: float = 1.0
    """Share of lr that is left at the last update, reached along a cosine."""
    ema: float = 0.0
    """Share of the weights' moving average that an update keeps. The average is what is exported
    and what later stages build on; 0 exports the weights themselves, as published."""

    def __post_init__(self) -> None:
        _check(self.lr > 0, 'lr must be positive')
        _check(self.clip > 0, 'clip must be positive')
        _check(0 <= self.weight_decay < 1, 'weight_decay must be in [0, 1)')
        _check(self.warmup >= 0, 'warmup must not be negative')
        _check(0 < self.final_lr <= 1, 'final_lr must be in (0, 1]')
        _check(0 <= self.ema < 1, 'ema must be in [0, 1)')


@dataclass(frozen=True)
class RecordConfig:
    """How often a training reports, saves and draws."""

    report_every: int = 50
    """Updates between two reports and rows of the curve."""
    save_every: int = 500
    """Updates between two checkpoints; what a sudden end costs at most."""
    keep: int = 3
    """Checkpoints kept of each stage."""
    picture_every: int = 2_000
    """Updates between two pictures, of open-loop predictions or of goals; 0 draws none."""
    tensorboard: bool = False
    """Write events for TensorBoard beside the curves; needs `pip install tensorboardX`."""

    def __post_init__(self) -> None:
        for name in ('report_every', 'save_every', 'keep'):
            _check(getattr(self, name) > 0, f'record.{name} must be positive')
        _check(self.picture_every >= 0, 'record.picture_every must not be negative')


@dataclass(frozen=True)
class FocusConfig:
    """A part of the image whose pixels count more than others in reconstructions.

    For small things that matter: a knob of a few pixels is worth less than the arm's outline, and
    a short training passes it over. Not in the paper; with the default weight there is no focus.
    """

    top: int = 0
    """First row, of 64."""
    bottom: int = 64
    """Row after the last."""
    left: int = 0
    """First column, of 64."""
    right: int = 64
    """Column after the last."""
    weight: float = 1.0
    """Of squared errors within, against those of the rest of the image."""

    def __post_init__(self) -> None:
        for first, end in (('top', 'bottom'), ('left', 'right')):
            _check(
                0 <= getattr(self, first) < getattr(self, end) <= 64,
                f'focus.{first} must be at least 0, below focus.{end}, and that at most 64',
            )
        _check(self.weight > 0, 'focus.weight must be positive')


@dataclass(frozen=True)
class WorldModelConfig:
    """Losses and batches of world-model training (facts 1.4, 1.5)."""

    updates: int = 12_000
    """Gradient steps."""
    batch: int = 12
    """Sequences a batch. Published: 48."""
    length: int = 24
    """Frames a sequence. Published: 48."""
    kl_scale: float = 0.6
    """Weight of the KL loss against the summed squared error of an image."""
    kl_balance: float = 0.85
    """Share of the KL gradient that trains the prior."""
    free_nats: float = 1.0
    """KL below this is not optimised."""
    focus: FocusConfig = FocusConfig()
    """Part of the image to reconstruct with more care."""
    optim: OptimConfig = OptimConfig(lr=1e-3, warmup=300, final_lr=0.05, ema=0.998)
    """Optimiser. Published: lr 1e-4 without schedule over 500,000 updates."""

    def __post_init__(self) -> None:
        for name in ('updates', 'batch', 'length'):
            _check(getattr(self, name) > 0, f'world_model.{name} must be positive')
        _check(0 <= self.kl_balance <= 1, 'world_model.kl_balance must be in [0, 1]')
        _check(self.free_nats >= 0, 'world_model.free_nats must not be negative')


@dataclass(frozen=True)
class DynamicsConfig:
    """Further training of the sequence model alone, on the finished tokenizer's latents.

    Not in the paper, whose 500,000 joint updates need no such stage. Without images an update
    costs a tenth, and short trainings lack dynamics before they lack pictures.
    """

    updates: int = 10_000
    """Gradient steps; 0 skips this."""
    batch: int = 16
    """Sequences a batch."""
    length: int = 32
    """Frames a sequence."""
    optim: OptimConfig = OptimConfig(lr=1e-3, warmup=200, final_lr=0.05, ema=0.998)
    """Optimiser."""

    def __post_init__(self) -> None:
        for name in ('batch', 'length'):
            _check(getattr(self, name) > 0, f'dynamics.{name} must be positive')
        _check(self.updates >= 0, 'dynamics.updates must not be negative')


@dataclass(frozen=True)
class ConnectConfig:
    """Training of connector and aligner on a finished world model (facts 2.3, 2.4)."""

    updates: int = 9_000
    """Gradient steps."""
    batch: int = 8
    """Sequences a batch."""
    length: int = 32
    """Frames a sequence; a multiple of the embedder's eight."""
    kl_scale: float = 0.8
    """Weight of the connector's KL."""
    optim: OptimConfig = OptimConfig(lr=1e-3, warmup=200, final_lr=0.05, ema=0.998)
    """Optimiser of both."""

    def __post_init__(self) -> None:
        for name in ('updates', 'batch', 'length'):
            _check(getattr(self, name) > 0, f'connect.{name} must be positive')
        _check(self.length % 8 == 0, 'connect.length must be a multiple of 8')


@dataclass(frozen=True)
class PriorConfig:
    """Training of the action prior on a finished world model and its aligner."""

    updates: int = 4_500
    """Gradient steps; 0 leaves the prior untrained, for behaviours with `learning.prior` 0."""
    batch: int = 64
    """Episodes a batch."""
    steps: int = 8
    """Steps of each, from anywhere in it, each with a clip that follows."""
    delay: int = 4
    """Steps after the next one at which the earliest such clip ends. Less than four, and the clip
    shows what happened before the action; the eight of a whole clip, and a motion that is nearly
    finished can only be followed by undoing it."""
    discount: float = 0.91
    """Chance of each further step of delay. Near clips ask for the straight way to them."""
    dropout: float = 0.1
    """Share of the features that are left out at random, against learning episodes by heart."""
    optim: OptimConfig = OptimConfig(lr=1e-3, warmup=100, final_lr=0.05, ema=0.998)
    """Optimiser."""

    def __post_init__(self) -> None:
        for name in ('batch', 'steps'):
            _check(getattr(self, name) > 0, f'prior.{name} must be positive')
        for name in ('updates', 'delay'):
            _check(getattr(self, name) >= 0, f'prior.{name} must not be negative')
        _check(0 < self.discount < 1, 'prior.discount must be in (0, 1)')
        _check(0 <= self.dropout < 1, 'prior.dropout must be in [0, 1)')


@dataclass(frozen=True)
class LearnConfig:
    """Learning a behaviour in imagination (facts 3).

    The defaults are for a policy within minutes on two CPU cores; published values are named
    where they differ.
    """

    updates: int = 200
    """Updates of actor and critic. Published: 50,000."""
    starts: int = 128
    """Imagined trajectories an update. Published: 1,024."""
    horizon: int = 16
    """Imagined steps."""
    warmup_steps: int = 5
    """World-model steps before imagination begins, for data-free starts."""
    dreamed: float = 0.8
    """Share of data-free latents that the connector draws; the others are random. Published: 0.5,
    which spends half of a short learning on states that no image has."""
    gamma: float = 0.99
    """Discount."""
    lambda_: float = 0.95
    """Mixing of the lambda-return."""
    prior: float = 15.0
    """Weight of staying near the action prior, which the actor then starts from. Published: no
    prior; 0 starts from random weights as the paper does."""
    critic_first: int = 100
    """Updates of the critic alone, so that a good prior is not undone by a critic that knows
    nothing yet. Published: 0."""
    actor_lr: float = 3e-5
    """Actor's learning rate, as published."""
    critic_lr: float = 3e-4
    """Critic's learning rate. Published: 3e-5."""
    clip: float = 100.0
    """Largest gradient norm of actor and critic."""
    weight_decay: float = 1e-6
    """Share of every parameter that is removed at each step."""
    target_every: int = 100
    """Updates between two copies of the critic into its target."""
    align: Align = 'sequence'
    """Temporal alignment of reward and target (facts 3.3)."""
    seed: int = 0
    """Seed of all random numbers."""
    precision: Precision = 'float32'
    """Of products in losses; `bf16` is faster where `genrl bench` says so."""
    threads: int = 1
    """CPU threads. At the small preset's sizes, two are slower than one."""

    def __post_init__(self) -> None:
        for name in ('updates', 'starts', 'horizon', 'target_every', 'threads'):
            _check(getattr(self, name) > 0, f'learn.{name} must be positive')
        for name, kind in (('align', Align), ('precision', Precision)):
            kinds = get_args(kind)
            message = f'learn.{name} must be one of {", ".join(kinds)}'
            _check(getattr(self, name) in kinds, message)
        _check(self.seed >= 0, 'learn.seed must not be negative')
        _check(self.starts % 4 == 0, 'learn.starts must be a multiple of 4')
        _check(self.horizon >= 9, 'learn.horizon must be at least 9: a window is 8 steps')
        _check(self.prior >= 0, 'learn.prior must not be negative')
        _check(self.critic_first >= 0, 'learn.critic_first must not be negative')
        _check(0 <= self.dreamed <= 1, 'learn.dreamed must be in [0, 1]')
        _check(0 < self.gamma <= 1, 'learn.gamma must be in (0, 1]')
        _check(0 <= self.lambda_ <= 1, 'learn.lambda_ must be in [0, 1]')


def from_mapping(kind: type[Config], values: Mapping[str, Any], where: str) -> Config:
    """Build a config from parsed YAML or JSON.

    Args:
        kind: the dataclass to build.
        values: its fields by name; nested dataclasses as nested mappings.
        where: the file or section, for error messages.

    Raises:
        ValueError: for an unknown key, a missing one, or a value of the wrong type.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f'{where}: expected keys and values, got {type(values).__name__}')
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(names))
    if unknown:
        raise ValueError(f'{where}: unknown key {unknown[0]!r}; known: {", ".join(names)}')
    built: dict[str, Any] = {}
    for name, value in values.items():
        hint = hints[name]
        if dataclasses.is_dataclass(hint):
            value = from_mapping(hint, value, f'{where}.{name}')  # type: ignore[arg-type]
        elif hint in (int, float, str, bool):
            value = _scalar(hint, value, f'{where}.{name}')
        built[name] = value
    try:
        return kind(**built)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{where}: {error}') from error


def _scalar(kind: type, value: Any, where: str) -> Any:
    if kind is float and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return float(value)  # PyYAML reads 1e-4 as a string
        except ValueError:
            pass
    if type(value) is not kind:
        raise ValueError(f'{where} must be {kind.__name__}, got {value!r}')
    return value
