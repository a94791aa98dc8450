"""Arguments that several commands have, and checks of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from genrl_ros.config.presets import PresetName
from genrl_ros.config.training import (
    ConnectConfig,
    Device,
    NearnessConfig,
    Precision,
    PriorConfig,
    RecordConfig,
)

DomainName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar='DOMAIN')]
Robot = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar='ROBOT')]


def at_least(config: Any, least: int, *names: str) -> None:
    """Check that fields of a command's arguments are not below `least`.

    Raises:
        ValueError: naming the option.
    """
    for name in names:
        if getattr(config, name) < least:
            option = f'--{name.replace("_", "-")}'
            raise ValueError(f'{option} must be at least {least}, got {getattr(config, name)}')


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """What all commands have that train parts of a world model."""

    data: Path | None = None
    """Dataset; `data/DOMAIN` unless given."""
    embedder: str = 'embedded'
    """Video-language embedder to connect it to."""
    preset: PresetName = 'small'
    """Sizes of a new model, and the defaults of its training below."""
    seed: int = 0
    """Seed of all random numbers of the training."""
    threads: int = 2
    """CPU threads of a process."""
    device: Device = 'cpu'
    """What to compute on."""
    precision: Precision = 'float32'
    """Of products in losses; `bf16` is faster where `genrl bench` says so."""
    budget_s: float | None = None
    """Seconds after which to stop with everything saved; the same command goes on from there."""
    record: RecordConfig = field(default_factory=RecordConfig)
    """How often to report, save and draw."""
    connect: ConnectConfig = field(default_factory=ConnectConfig)
    """Training of connector and aligner."""
    prior: PriorConfig = field(default_factory=PriorConfig)
    """Training of the action prior."""
    nearness: NearnessConfig = field(default_factory=NearnessConfig)
    """Training of the nearness."""

    def __post_init__(self) -> None:
        at_least(self, 1, 'threads')
        at_least(self, 0, 'seed')
