"""Success rates in the simulator, without ROS: learn each task data-free, then run it often."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from genrl_ros.cli.evaluate_tasks import run_task
from genrl_ros.cli.learn import Config as Learn
from genrl_ros.cli.learn import learn_prompt
from genrl_ros.config import Device, LearnConfig
from genrl_ros.envs.registry import env_spec, paraphrases
from genrl_ros.files import write_json
from genrl_ros.presets import PresetName
from genrl_ros.types import Task

Row = dict[str, Any]


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
    paraphrases: bool = False
    """Also ask for each task in three other ways, and tell what that loses."""
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
    device: Device = 'cpu'
    """What to learn on."""
    preset: PresetName = 'small'
    """Defaults of the learning below."""
    learning: LearnConfig = field(default_factory=LearnConfig)
    """How to learn; its seed is the one above."""


def main(config: Config) -> int:
    """Evaluate and print a table."""
    spec = env_spec(config.domain)
    tasks = [spec.task(name) for name in config.tasks] or list(spec.tasks)
    own = config.prompt or config.video or config.policy
    if len(tasks) > 1 and own:
        raise ValueError('--prompt, --video and --policy need one task: add --tasks NAME')
    if config.paraphrases and own:
        raise ValueError('--paraphrases asks in its own words: leave out what else to ask with')
    out = config.out or Path('runs/eval') / time.strftime('%Y%m%d-%H%M%S')
    results = {}
    for task in tasks:
        row = _measure(config, task, config.prompt or task.prompt, out / task.name)
        if config.paraphrases:
            row['paraphrases'] = [
                _measure(config, task, prompt, out / f'{task.name}-{index}')
                for index, prompt in enumerate(paraphrases(config.domain, task.name), 1)
            ]
        results[task.name] = row
    report = {'tasks': results, 'seed': config.seed} | _means(results)
    _show(config.domain, report)
    if config.json is not None:
        write_json(config.json, report)
    return 0


def _measure(config: Config, task: Task, prompt: str, bundle: Path) -> Row:
    began = time.monotonic()
    if config.policy is None:
        _learn(config, prompt, bundle)
    score = run_task(
        task, config.domain, config.policy or bundle, config.episodes, config.seed, config.workers
    )
    return asdict(score) | {
        'prompt': str(config.video or prompt),
        'seconds': round(time.monotonic() - began, 1),
    }


def _means(results: Mapping[str, Row]) -> dict[str, float]:
    means = {'mean': mean(row['score'] for row in results.values())}
    others = [other['score'] for row in results.values() for other in row.get('paraphrases', ())]
    return means | ({'paraphrases_mean': mean(others)} if others else {})


def _learn(config: Config, prompt: str, bundle: Path) -> None:
    learn_prompt(
        Learn(
            domain=config.domain,
            prompt='' if config.video else prompt,
            video=config.video,
            name=bundle.name,
            out=bundle.parent,
            model=config.model,
            device=config.device,
            learning=replace(config.learning, seed=config.seed),
        )
    )


def _show(domain: str, report: Mapping[str, Any]) -> None:
    columns = ('task', 'success', 'standard error', 'episodes', 'seconds', 'prompt')
    table = Table(*columns, title=domain)
    for name, row in report['tasks'].items():
        for label, one in ((name, row), *(('', other) for other in row.get('paraphrases', ()))):
            table.add_row(
                label, f'{one["score"]:.2f}', f'{one["se"]:.2f}', str(one['episodes']),
                str(one['seconds']), one['prompt'],
            )  # fmt: skip
    table.add_row('mean', f'{report["mean"]:.2f}')
    if 'paraphrases_mean' in report:
        table.add_row('of the paraphrases', f'{report["paraphrases_mean"]:.2f}')
    Console().print(table)
