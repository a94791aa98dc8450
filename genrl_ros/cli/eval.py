"""Success rates in the simulator, without ROS: learn each task data-free, then run it often."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from genrl_ros.cli.learn import Config as Learn
from genrl_ros.cli.learn import main as learn
from genrl_ros.cli.progress import bar
from genrl_ros.config import LearnConfig
from genrl_ros.envs.registry import env_spec
from genrl_ros.files import write_json
from genrl_ros.training.evaluate import Score, evaluate, summarize
from genrl_ros.types import Task


@dataclass(frozen=True)
class Config:
    """Arguments of `genrl eval`."""

    domain: Annotated[str, tyro.conf.Positional]
    """Domain to evaluate."""
    tasks: tuple[str, ...] = ()
    """Tasks to run; all of the domain's unless given."""
    prompt: str = ''
    """Prompt to use in place of the task's own; needs one task."""
    video: Path | None = None
    """Video to use in place of a prompt; needs one task."""
    policy: Path | None = None
    """Bundle to run instead of learning one; needs one task."""
    episodes: int = 20
    """Episodes a task."""
    seed: int = 7
    """Seed of learning, and of the first episode."""
    model: Path | None = None
    """World model; the shipped one unless given."""
    out: Path | None = None
    """Folder of the learned bundles; `runs/eval/<time>` unless given."""
    json: Path | None = None
    """File to write the scores to."""
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Simulators that run in parallel."""
    learning: LearnConfig = field(default_factory=LearnConfig)
    """How to learn; its seed is the one above."""


def main(config: Config) -> int:
    """Evaluate and print a table."""
    spec = env_spec(config.domain)
    tasks = [spec.task(name) for name in config.tasks] or list(spec.tasks)
    if len(tasks) > 1 and (config.prompt or config.video or config.policy):
        raise ValueError('--prompt, --video and --policy need one task: add --tasks NAME')
    out = config.out or Path('runs/eval') / time.strftime('%Y%m%d-%H%M%S')
    results: dict[str, dict[str, object]] = {}
    scores = []
    for task in tasks:
        began = time.monotonic()
        bundle = config.policy or _learn(config, task, out)
        score = _run(config, task, bundle)
        scores.append(score.score)
        results[task.name] = asdict(score) | {
            'prompt': str(config.video or config.prompt or task.prompt),
            'seconds': round(time.monotonic() - began, 1),
        }
    mean = sum(scores) / len(scores)
    _show(config.domain, results, mean)
    if config.json is not None:
        write_json(config.json, {'tasks': results, 'mean': mean, 'seed': config.seed})
    return 0


def _learn(config: Config, task: Task, out: Path) -> Path:
    prompt = '' if config.video else config.prompt or task.prompt
    learn(
        Learn(
            domain=config.domain,
            prompt=prompt,
            video=config.video,
            name=task.name,
            out=out,
            model=config.model,
            learning=replace(config.learning, seed=config.seed),
        )
    )
    return out / task.name


def _run(config: Config, task: Task, bundle: Path) -> Score:
    outcomes = []
    with bar(f'run {task.name}', config.episodes) as show:
        for episode in evaluate(
            config.domain, bundle, task.element, config.episodes, config.seed, config.workers
        ):
            outcomes.append(episode)
            show(len(outcomes), f'success {summarize(outcomes).score:.2f}')
    return summarize(outcomes)


def _show(domain: str, results: dict[str, dict[str, object]], mean: float) -> None:
    columns = ('task', 'success', 'standard error', 'episodes', 'seconds', 'prompt')
    table = Table(*columns, title=domain)
    for name, row in results.items():
        table.add_row(
            name, f'{row["score"]:.2f}', f'{row["se"]:.2f}', str(row['episodes']),
            str(row['seconds']), str(row['prompt']),
        )  # fmt: skip
    table.add_row('mean', f'{mean:.2f}', '', '', '', '')
    Console().print(table)
