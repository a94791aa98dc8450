"""The one training loop: batches in, checkpoints and a curve out, resumable at any moment."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genrl_ros.config import OptimConfig
from genrl_ros.data.replay import Replay
from genrl_ros.world_model.checkpoint import load_state, rng_state, save_state, set_rng_state
from genrl_ros.world_model.optim import Optimizer

Loss = Callable[[Mapping[str, Tensor]], tuple[Tensor, dict[str, Tensor]]]


@dataclass(frozen=True)
class Progress:
    """How far a training is.

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

    @property
    def remaining_s(self) -> float:
        """Seconds to go at the present rate."""
        return (self.of - self.update) / max(self.updates_per_s, 1e-9)


def tensors(batch: Mapping[str, Any]) -> dict[str, Tensor]:
    """A batch of arrays as tensors on the same memory."""
    return {name: torch.from_numpy(array) for name, array in batch.items()}


def fit(
    stage: str,
    network: nn.Module,
    loss: Loss,
    replay: Replay,
    updates: int,
    optim: OptimConfig,
    run: Path,
    on_progress: Callable[[Progress], None],
    report_every: int = 50,
    save_every: int = 500,
) -> None:
    """Train a network, continuing where an earlier run in the same folder stopped.

    Args:
        stage: names the checkpoint `<stage>.safetensors` and the curve `<stage>.csv`.
        network: what is trained, and saved.
        loss: loss and metrics of a batch.
        replay: source of batches.
        updates: number of updates in all.
        optim: optimiser settings.
        run: folder of checkpoint and curve.
        on_progress: called every `report_every` updates.
        report_every: updates between two reports and rows of the curve.
        save_every: updates between two checkpoints.

    Raises:
        FloatingPointError: if a gradient is not finite; the last checkpoint stays.
    """
    optimizer = Optimizer(network.parameters(), optim, updates)
    checkpoint, curve = run / f'{stage}.safetensors', run / f'{stage}.csv'
    run.mkdir(parents=True, exist_ok=True)
    if checkpoint.exists():
        state = load_state(checkpoint)
        network.load_state_dict(state['network'])
        optimizer.load_state_dict(state['optimizer'])
        replay.load_state_dict(state['replay'])
        set_rng_state(state['rng'])
    _keep_rows(curve, optimizer.updates)

    def save() -> None:
        save_state(
            checkpoint,
            {
                'network': network.state_dict(),
                'optimizer': optimizer.state_dict(),
                'replay': replay.state_dict(),
                'rng': rng_state(),
            },
        )

    began, begun = time.monotonic(), optimizer.updates
    sums: dict[str, float] = {}
    while optimizer.updates < updates:
        value, metrics = loss(tensors(replay.sample()))
        norm = optimizer.step(value)
        for name, metric in (metrics | {'grad_norm': torch.tensor(norm)}).items():
            sums[name] = sums.get(name, 0.0) + float(metric)
        done = optimizer.updates
        if done % report_every == 0 or done == updates:
            count = (done - 1) % report_every + 1
            means = {name: total / count for name, total in sums.items()}
            sums = {}
            _append_row(curve, {'update': done} | means)
            rate = (done - begun) / (time.monotonic() - began)
            on_progress(Progress(stage, done, updates, rate, means))
        if done % save_every == 0 or done == updates:
            save()


def _append_row(path: Path, row: Mapping[str, float]) -> None:
    fresh = not path.exists()
    with path.open('a', newline='') as file:
        writer = csv.DictWriter(file, row.keys())
        if fresh:
            writer.writeheader()
        writer.writerow({k: f'{v:.6g}' for k, v in row.items()})


def _keep_rows(path: Path, updates: int) -> None:
    """Drop rows that were written after the checkpoint that training resumes from."""
    if not path.exists():
        return
    header, *rows = path.read_text().splitlines()
    kept = [row for row in rows if int(row.split(',')[0]) <= updates]
    path.write_text('\n'.join([header, *kept]) + '\n')
