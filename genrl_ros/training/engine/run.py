"""Where and how the stages of a training run, and how far they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from genrl_ros.config.training import Precision, RecordConfig
from genrl_ros.data.pictures import Strips
from genrl_ros.world_model.ranks import ALONE, Ranks


class StoppedError(Exception):
    """A training was asked to stop; everything is saved, and the same call goes on from there."""


@dataclass(frozen=True)
class Progress:
    """How far a stage is.

    Attributes:
        stage: name of what is trained.
        update: updates done.
        of: updates in all.
        updates_per_s: rate since this process began.
        metrics: means since the last report.
    """

    stage: str
    update: int
    of: int
    updates_per_s: float
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """What all stages of a training have in common.

    Attributes:
        folder: of checkpoints, curves and pictures; the same one for all processes.
        record: how often it reports, saves and draws.
        on_progress: called with each report, in the first process.
        should_stop: asked before each update.
        ranks: the processes that train together.
        device: what torch computes on.
        precision: of losses; with `bf16`, products are rounded to it, and what needs its bits is
            not. Parameters, gradients and sums over batches are float32 in any case.
        pictures: by stage, what to draw at intervals.
    """

    folder: Path
    record: RecordConfig = RecordConfig()
    on_progress: Callable[[Progress], None] = lambda _: None
    should_stop: Callable[[], bool] = lambda: False
    ranks: Ranks = ALONE
    device: str = 'cpu'
    precision: Precision = 'float32'
    pictures: Mapping[str, Strips] = field(default_factory=dict)

    def computing(self) -> torch.autocast:
        """The context in which losses are computed."""
        mixed = self.precision == 'bf16'
        return torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=mixed)
