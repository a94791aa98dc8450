"""How a world model, and all that connects it to an embedder, is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from genrl_ros.config.check import check

Precision = Literal['float32', 'bf16']
Device = Literal['cpu', 'cuda']


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
        check(self.lr > 0, 'lr must be positive')
        check(self.clip > 0, 'clip must be positive')
        check(0 <= self.weight_decay < 1, 'weight_decay must be in [0, 1)')
        check(self.warmup >= 0, 'warmup must not be negative')
        check(0 < self.final_lr <= 1, 'final_lr must be in (0, 1]')
        check(0 <= self.ema < 1, 'ema must be in [0, 1)')


@dataclass(frozen=True)
class RecordConfig:
    """How often a training reports, saves and draws."""

    report_every: int = 50
    """Updates between two reports and rows of the curve."""
    save_every: int = 500
    """Updates between two checkpoints; what a sudden end costs at most."""
    keep: int = 3
    """Numbered checkpoints kept of each stage, beside the newest."""
    picture_every: int = 2_000
    """Updates between two pictures, of open-loop predictions or of goals; 0 draws none."""
    tensorboard: bool = False
    """Write events for TensorBoard beside the curves; needs `pip install tensorboardX`."""

    def __post_init__(self) -> None:
        for name in ('report_every', 'save_every'):
            check(getattr(self, name) > 0, f'record.{name} must be positive')
        for name in ('keep', 'picture_every'):
            check(getattr(self, name) >= 0, f'record.{name} must not be negative')


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
            check(
                0 <= getattr(self, first) < getattr(self, end) <= 64,
                f'focus.{first} must be at least 0, below focus.{end}, and that at most 64',
            )
        check(self.weight > 0, 'focus.weight must be positive')


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
            check(getattr(self, name) > 0, f'world_model.{name} must be positive')
        check(0 <= self.kl_balance <= 1, 'world_model.kl_balance must be in [0, 1]')
        check(self.free_nats >= 0, 'world_model.free_nats must not be negative')


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
            check(getattr(self, name) > 0, f'dynamics.{name} must be positive')
        check(self.updates >= 0, 'dynamics.updates must not be negative')


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
            check(getattr(self, name) > 0, f'connect.{name} must be positive')
        check(self.length % 8 == 0, 'connect.length must be a multiple of 8')


@dataclass(frozen=True)
class PriorConfig:
    """Training of the action prior on a finished world model and its aligner."""

    updates: int = 4_500
    """Gradient steps; 0 leaves the prior untrained, for behaviours with `learning.prior` 0."""
    conditional: bool = True
    """Whether it sees the embedding. Without, it is a clone of the dataset that knows no prompt:
    an anchor that keeps imagination where the model has been, and scores nothing by itself."""
    batch: int = 64
    """Episodes a batch."""
    steps: int = 8
    """Steps of each, from anywhere in it, each with a clip that follows."""
    delay: int = 4
    """Steps from the one after an action to the end of the earliest clip that labels it. Below 4,
    the clip shows the past; at 8, motions that are nearly finished are undone."""
    discount: float = 0.91
    """Chance of each further step of delay. Near clips teach the short way."""
    dropout: float = 0.1
    """Share of the features that are left out at random, against learning episodes by heart."""
    optim: OptimConfig = OptimConfig(lr=1e-3, warmup=100, final_lr=0.05, ema=0.998)
    """Optimiser."""

    def __post_init__(self) -> None:
        for name in ('batch', 'steps'):
            check(getattr(self, name) > 0, f'prior.{name} must be positive')
        for name in ('updates', 'delay'):
            check(getattr(self, name) >= 0, f'prior.{name} must not be negative')
        check(0 < self.discount < 1, 'prior.discount must be in (0, 1)')
        check(0 <= self.dropout < 1, 'prior.dropout must be in [0, 1)')


@dataclass(frozen=True)
class NearnessConfig:
    """Training of the nearness on a finished world model. Not in the paper."""

    updates: int = 1_000
    """Gradient steps; 0 leaves it untrained, for behaviours whose reward is without it."""
    batch: int = 64
    """Stretches of episodes a batch, of 64 states each and what follows them."""
    goals: int = 16
    """Goals that states of a stretch are asked about, each about one."""
    named: float = 0.25
    """Share of these goals that are concepts of the domain which the embedder knows by name; of an
    embedder without concepts, none. Clips of a dataset are of few of them: most of them stand."""
    same: float = 0.35
    """Share of the other goals, clips, that are of the same part of the episode."""
    stills: float = 0.25
    """Share of the stretches that are held still, against taking a pose for a motion."""
    discount: float = 0.97
    """What a step later is worth."""
    floor: float = 0.6
    """Cosine of two clips that is worth nothing; a cosine of 1 is worth 1."""
    contrast: float = 0.1
    """Difference of two cosines over which it counts whether a clip shows the goal or another of
    the concepts that the embedder knows by name; 0 leaves the others out."""
    optimism: float = 0.9
    """Weight of what turned out better than is told; of what turned out worse, the rest. At 0.5 it
    is the mean of what followed such states that is learned, nearer to 1 the best of it: in a
    crouch, some went on to stand and most did not mean to."""
    dropout: float = 0.05
    """Share of the features that are left out at random."""
    optim: OptimConfig = OptimConfig(lr=1e-3, warmup=100, final_lr=0.05, ema=0.99)
    """Optimiser."""

    def __post_init__(self) -> None:
        check(self.updates >= 0, 'nearness.updates must not be negative')
        for name in ('batch', 'goals'):
            check(getattr(self, name) > 0, f'nearness.{name} must be positive')
        for name in ('named', 'same', 'stills', 'optimism'):
            check(0 <= getattr(self, name) <= 1, f'nearness.{name} must be in [0, 1]')
        for name in ('discount', 'floor', 'contrast', 'dropout'):
            check(0 <= getattr(self, name) < 1, f'nearness.{name} must be in [0, 1)')
