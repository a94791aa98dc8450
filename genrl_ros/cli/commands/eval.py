"""Scores in the simulator, without ROS: learn each task data-free, then run it often.

Three rows tell what imagination is worth: the start alone (the prior, from which learning begins),
imagination alone (from random weights), and both. A model without a prior has the second alone.
Intervals are of 95 %, over learning seeds and episodes; with one seed they say nothing of others.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from genrl_ros.cli.evaluate_tasks import (
    Row,
    Trials,
    learn_and_run,
    run_task,
    what_is_known,
)
from genrl_ros.cli.evaluation_rows import (
    ROWS,
    RowName,
    Rows,
    combined,
    learning_of,
    rows_of,
    show_rows,
    summary,
)
from genrl_ros.cli.learn_prompt import Config as Learn
from genrl_ros.cli.options import DomainName, at_least
from genrl_ros.cli.session import Deadline
from genrl_ros.config.learning import LearnConfig
from genrl_ros.config.presets import PresetName
from genrl_ros.config.training import Device
from genrl_ros.domains import registry
from genrl_ros.domains.base import Task
from genrl_ros.serving.policy.bundle import load_bundle
from genrl_ros.system.files import check_writable, write_json
from genrl_ros.system.locks import exclusive
from genrl_ros.system.share import shipped_model
from genrl_ros.training.engine.run import StoppedError
from genrl_ros.training.engine.speed import inspect

IMAGINATION = LearnConfig(prior=0.0, critic_first=0, actor_lr=3e-4, updates=1_000)


@dataclass(frozen=True)
class Config:
    """Arguments of `genrl eval`."""

    domain: DomainName
    """Domain to evaluate."""
    tasks: tuple[str, ...] = ()
    """Tasks to run; all of the domain's unless given."""
    prompt: str = ''
    """Prompt to use in place of the task's own; needs one task."""
    video: Path | None = None
    """Video to use in place of a prompt; needs one task."""
    paraphrases: bool = False
    """Also ask for each task in its three other ways, and compare."""
    policy: Path | None = None
    """Bundle to run instead of learning one; needs one task."""
    rows: tuple[RowName, ...] = ROWS
    """What to measure; all that the model has unless given."""
    learning_seeds: int = 1
    """How often each is learned anew, with the seeds from the one below on."""
    episodes: int = 20
    """Episodes a task and learning seed."""
    seed: int = 7
    """Seed of the first learning, and of the first episode."""
    model: Path | None = None
    """World model; the shipped one unless given."""
    out: Path | None = None
    """Folder of the learned bundles; `runs/eval/<time>` unless given."""
    json: Path | None = None
    """File to write the scores to, with date, machine and seed."""
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Simulators that run in parallel."""
    device: Device = 'cpu'
    """What to learn on."""
    preset: PresetName = 'small'
    """Defaults of the learning below."""
    learning: LearnConfig = field(default_factory=LearnConfig)
    """How to learn; its seed is the one above."""
    imagination: LearnConfig = IMAGINATION
    """How to learn in the row `imagination`, from random weights."""

    def __post_init__(self) -> None:
        at_least(self, 1, 'episodes', 'workers', 'learning_seeds')
        at_least(self, 0, 'seed')
        own = [name for name in ('prompt', 'video', 'policy') if getattr(self, name)]
        if len(own) > 1:
            raise ValueError(f'give one of --prompt, --video and --policy, not {len(own)}')
        if self.paraphrases and own:
            raise ValueError(f'--paraphrases asks in its own words: leave out --{own[0]}')
        if self.json is not None and self.json.is_dir():
            raise ValueError(f'--json {self.json} is a folder: name a file')


def main(config: Config) -> int:
    """Evaluate and print a table of what is finished, however it ends."""
    domain = registry.get(config.domain)
    tasks = [domain.task(name) for name in dict.fromkeys(config.tasks)] or list(domain.tasks)
    if len(tasks) > 1 and (config.prompt or config.video or config.policy):
        raise ValueError('--prompt, --video and --policy need one task: add --tasks NAME')
    if config.json is not None:
        config.json.parent.mkdir(parents=True, exist_ok=True)
        check_writable(config.json.parent)
    out = config.out or Path('runs/eval') / time.strftime('%Y%m%d-%H%M%S')
    results: Rows = {}
    with Deadline(None) as deadline:
        try:
            if config.policy is not None:
                row = _run(config, config.policy, tasks[0], deadline.passed)
                results['policy'] = {tasks[0].name: row}
            else:
                _learn_and_run(config, tasks, out, results, deadline.passed)
        except StoppedError as stopped:
            print(f'Stopped: {stopped}.')
            raise KeyboardInterrupt from None
        finally:
            if results:
                show_rows(config.domain, results)
    if config.json is not None:
        measured = {'date': time.strftime('%Y-%m-%d'), 'machine': asdict(inspect(config.device))}
        asked = {'domain': config.domain, 'seed': config.seed}
        write_json(config.json, measured | asked | {'rows': summary(results)})
    return 0


def _run(config: Config, policy: Path, task: Task, should_stop: Callable[[], bool]) -> Row:
    began = time.monotonic()
    prompt = load_bundle(policy).description.prompt
    score = run_task(task, config.domain, policy, _trials(config), should_stop)
    seconds = round(time.monotonic() - began, 1)
    return combined([asdict(score) | {'prompt': prompt, 'seconds': seconds}])


def _learn_and_run(
    config: Config,
    tasks: list[Task],
    out: Path,
    results: Rows,
    should_stop: Callable[[], bool],
) -> None:
    """Fill `results`, task by task."""
    model = config.model or shipped_model(config.domain)
    rows = rows_of(config.rows, config.learning, model)
    for row in rows:
        for task in tasks:
            for learning in _all_learnings(config, row, task, out):
                what_is_known(learning)  # before all else, to say what is in the way
    with exclusive(out):
        try:
            for task in tasks:
                for row in rows:
                    place = results.setdefault(row, {})
                    place[task.name] = _score(config, row, task, out, should_stop)
        except BaseException:
            if any(not path.name.startswith('.') for path in out.iterdir()):
                print(f'With --out {out}, the same command goes on from what is finished.')
            raise


def _score(
    config: Config, row: RowName, task: Task, out: Path, should_stop: Callable[[], bool]
) -> Row:
    """The score of a task, of its own prompt and of its paraphrases, over all learning seeds."""
    by_prompt: dict[str, list[Row]] = {}
    for learning in _all_learnings(config, row, task, out):
        one = learn_and_run(learning, task, _trials(config), should_stop)
        by_prompt.setdefault(one['prompt'], []).append(one)
    own, *others = map(combined, by_prompt.values())
    return own | ({'paraphrases': others} if others else {})


def _all_learnings(config: Config, row: RowName, task: Task, out: Path) -> Iterator[Learn]:
    for number in range(1 if row == 'start' else config.learning_seeds):
        seed = config.seed + number
        folder = out / (row if number == 0 else f'{row}-{seed}')
        how = replace(learning_of(row, config.learning, config.imagination), seed=seed)
        yield from _learnings(config, task, folder, how)


def _learnings(config: Config, task: Task, out: Path, how: LearnConfig) -> Iterator[Learn]:
    """What to learn for a task: its own prompt or another, then paraphrases."""
    own = Learn(
        domain=config.domain,
        prompt=config.prompt or ('' if config.video else task.prompt),
        video=config.video,
        name=task.name,
        out=out,
        model=config.model or shipped_model(config.domain),
        force=True,
        device=config.device,
        learning=how,
    )
    yield own
    if config.paraphrases:
        for index, prompt in enumerate(task.paraphrases, 1):
            yield replace(own, prompt=prompt, name=f'{task.name}-{index}')


def _trials(config: Config) -> Trials:
    return Trials(config.episodes, config.seed, config.workers)
