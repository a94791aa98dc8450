"""Train the policies that make a domain's dataset, from the simulator's state.

They learn the seen tasks, one after the other, or look for what they have not seen yet. Snapshots
from novice to expert go into one small file each, with which `genrl collect` makes the dataset.
A collector needs one core and about ten minutes; name different ones to train them side by side.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.table import Table

from genrl_ros.cli.options import DomainName
from genrl_ros.cli.session import stage, training_session
from genrl_ros.config.collectors import CollectorConfig, Drive
from genrl_ros.config.training import RecordConfig
from genrl_ros.domains import registry
from genrl_ros.domains.snapshots import Label
from genrl_ros.training.collectors.collector_training import plan
from genrl_ros.training.collectors.train import train_collector
from genrl_ros.training.engine.run import Run

RECORD = RecordConfig(report_every=500, save_every=10_000, keep=0, picture_every=0)
COLLECTORS = ('tasks-0', 'tasks-1', 'poses-0', 'motions-0')


@dataclass(frozen=True)
class Config:
    """Arguments of `genrl train-collector`."""

    domain: DomainName
    """Domain whose data they will make."""
    collectors: tuple[str, ...] = COLLECTORS
    """Which: what drives them (`tasks`, `poses` or `motions`), a hyphen, and a seed."""
    run: Path | None = None
    """Folder of checkpoints and curves; `runs/collectors/DOMAIN` unless given."""
    out: Path | None = None
    """Folder of the snapshots; `RUN/snapshots` unless given."""
    budget_s: float | None = None
    """Seconds after which to stop with everything saved; the same command goes on from there."""
    collector: CollectorConfig = field(default_factory=CollectorConfig)
    """How they learn."""

    def __post_init__(self) -> None:
        for name in self.collectors:
            _parse(name)


def main(config: Config) -> int:
    """Train those that are not finished yet."""
    domain = registry.get(config.domain)
    folder = config.run or Path('runs/collectors') / config.domain
    out = config.out or folder / 'snapshots'
    for name in config.collectors:
        drive, seed = _parse(name)
        with training_session(folder / name, RECORD, 'cpu', 'float32', config.budget_s) as run:
            labels = _train(config, drive, seed, run, out / f'{name}.safetensors')
            _show(name, labels)
    print(f'Snapshots: {out}. `genrl collect {domain.name} --collectors {out}` takes them.')
    return 0


def _train(config: Config, drive: Drive, seed: int, run: Run, path: Path) -> list[Label]:
    domain, asked = registry.get(config.domain), config.collector
    seen = [task.name for task in domain.tasks if task.split == 'seen']
    steps = sum(each for _, each in plan(drive, seen, asked))
    path.parent.mkdir(parents=True, exist_ok=True)
    with stage(f'{drive}-{seed}', steps, run) as watched:
        return train_collector(domain, drive, seed, asked, watched, path)


def _parse(name: str) -> tuple[Drive, int]:
    """What drives a collector of that name, and its seed.

    Raises:
        ValueError: if it is no such name.
    """
    drive, _, seed = name.rpartition('-')
    for known in get_args(Drive):
        if drive == known and seed.isdecimal():
            return known, int(seed)
    raise ValueError(
        f'--collectors: {name!r} is not {", ".join(get_args(Drive))} with a seed, as tasks-0'
    )


def _show(name: str, labels: list[Label]) -> None:
    table = Table(title=f'{name}: scores of its snapshots')
    tasks = list(labels[0].score)
    for column in ('learned', 'steps', *tasks):
        table.add_column(column, justify='left' if column == 'learned' else 'right')
    for label in labels:
        scores = (f'{label.score[task]:.2f}' for task in tasks)
        table.add_row(label.learns, str(label.steps), *scores)
    Console().print(table)
