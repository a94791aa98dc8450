"""A task learned and run in the simulator, each only once for the same question."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

from rich.console import Console
from rich.table import Table

from genrl_ros.cli.learn_prompt import Config as Learn
from genrl_ros.cli.learn_prompt import learn_prompt
from genrl_ros.cli.progress import bar
from genrl_ros.domains.base import Task
from genrl_ros.evaluation.episodes import Summary, evaluate, summarize
from genrl_ros.serving.policy.bundle import PolicyBundle, load_bundle
from genrl_ros.system.files import read_json, sha256, write_json
from genrl_ros.training.engine.checkpoints import changed_settings
from genrl_ros.training.engine.run import StoppedError
from genrl_ros.world_model.checkpoint import read_card

Row = dict[str, Any]


@dataclass(frozen=True)
class Trials:
    """How a policy is run.

    Attributes:
        episodes: number of episodes.
        seed: of the first one; the next has the next.
        workers: simulators that run in parallel.
    """

    episodes: int
    seed: int
    workers: int


def learn_and_run(
    learning: Learn, task: Task, trials: Trials, should_stop: Callable[[], bool] = lambda: False
) -> Row:
    """Score of what is learned for a prompt, with progress.

    `<bundle>.evaluation.json` beside the bundle keeps what was asked and what came out, so that
    the same call does nothing twice. Learning that was interrupted goes on; episodes begin again.

    Args:
        learning: what to learn, from which world model, and where the bundle goes.
        task: what the robot has to do then.
        trials: how often.
        should_stop: asked often.

    Returns:
        The fields of `Summary`, `prompt`, and the `seconds` that it took in all. Records of
        earlier releases have no `scores`.

    Raises:
        StoppedError: if there was no time to finish.
        ValueError: if something else was learned in that place.
        FileExistsError: if there is a bundle that was not learned here.
    """
    bundle, file = learning.out / learning.name, _record(learning)
    kept = what_is_known(learning)
    run = {'task': task.name, 'episodes': trials.episodes, 'seed': trials.seed}
    if kept.get('run') != run:
        began = time.monotonic()
        try:
            if not bundle.exists():
                kept['learned'] = _question(learning)
                write_json(file, kept)  # before the bundle, which a kill may leave alone
                learn_prompt(learning, should_stop=should_stop)
                kept['bundle'] = load_bundle(bundle).sha256
            score = run_task(task, learning.domain, bundle, trials, should_stop)
            kept |= {'run': run, 'score': asdict(score)}
        finally:
            kept['seconds'] = round(kept['seconds'] + time.monotonic() - began, 1)
            write_json(file, kept)
    prompt = str(learning.video or learning.prompt)
    return {**kept['score'], 'prompt': prompt, 'seconds': kept['seconds']}


def what_is_known(learning: Learn) -> dict[str, Any]:
    """What was kept of a bundle that is there already; `seconds` alone where there is none.

    Raises:
        ValueError: if something else was learned in that place, its record is damaged, or there is
            no such world model.
        OSError: if there is no such video.
        FileExistsError: if there is a bundle that was not learned here.
    """
    bundle, file, asked = learning.out / learning.name, _record(learning), _question(learning)
    try:
        kept = read_json(file) if file.is_file() else {}
        kept.setdefault('seconds', 0.0)
    except (ValueError, AttributeError) as error:
        raise ValueError(f'{file} is damaged ({error}): remove it and {bundle}') from error
    if not bundle.exists():
        return {'seconds': kept['seconds']}
    found = load_bundle(bundle)
    if not _is_of(found, kept):
        raise FileExistsError(f'{bundle} exists and was not learned here: choose another folder')
    if changed := changed_settings(kept['learned'], asked):
        raise ValueError(
            f'{bundle} was learned otherwise ({"; ".join(changed)}): choose another folder'
        )
    return {**kept, 'bundle': found.sha256}


def _is_of(bundle: PolicyBundle, kept: Mapping[str, Any]) -> bool:
    """Whether a record is of that bundle, of which it may not know yet if a kill came between."""
    learned, about = kept.get('learned'), bundle.description
    return (
        learned is not None
        and kept.get('bundle', bundle.sha256) == bundle.sha256
        and learned['prompt'] in ('', about.prompt)
        and (learned['model'], learned['learning']['updates']) == (about.mfwm, about.updates)
    )


def _record(learning: Learn) -> Path:
    return learning.out / f'{learning.name}.evaluation.json'


def _question(learning: Learn) -> dict[str, Any]:
    assert learning.model is not None
    _, card = read_card(learning.model)
    settings = asdict(learning.learning)
    del settings['threads']
    return {
        'prompt': learning.prompt,
        'video': None if learning.video is None else sha256(learning.video),
        'model': card.sha256,
        'learning': settings,
    }


def run_task(
    task: Task,
    domain: str,
    bundle: Path,
    trials: Trials,
    should_stop: Callable[[], bool] = lambda: False,
) -> Summary:
    """Score of a policy in the simulator, with progress.

    Raises:
        StoppedError: if there was no time to finish.
    """
    scores: list[float] = []
    kept: list[bool] = []
    coming = evaluate(domain, task.name, bundle, trials.episodes, trials.seed, trials.workers)
    with bar(f'run {task.name}', trials.episodes) as show, contextlib.closing(coming):
        for outcome in coming:
            scores.append(task.score.of(outcome))
            kept.append(outcome.at_end)
            show(len(scores), f'score {summarize(scores).score:.2f}')
            if should_stop() and len(scores) < trials.episodes:
                done = f'{len(scores)} of {trials.episodes} episodes'
                raise StoppedError(f'{task.name} after {done}')
    at_end = float(mean(kept)) if task.score.kind == 'success' else None
    return replace(summarize(scores), at_end=at_end)


def means(results: Mapping[str, Row]) -> dict[str, float]:
    """Means over tasks, and over paraphrases of all tasks, where there are any."""
    own = [row['score'] for row in results.values()]
    others = [other['score'] for row in results.values() for other in row.get('paraphrases', ())]
    both = {'mean': own, 'paraphrases_mean': others}
    return {name: mean(scores) for name, scores in both.items() if scores}


def show_scores(domain: str, results: Mapping[str, Row]) -> None:
    """Print rows as a table."""
    columns = ('task', 'score', 'standard error', 'at the end', 'episodes', 'seconds', 'prompt')
    table = Table(*columns, title=domain)
    for name, row in results.items():
        for label, one in ((name, row), *(('', other) for other in row.get('paraphrases', ()))):
            table.add_row(
                label, f'{one["score"]:.2f}', f'{one["se"]:.2f}', _share(one.get('at_end')),
                str(one['episodes']), str(one['seconds']), one['prompt'],
            )  # fmt: skip
    titles = {'mean': 'mean', 'paraphrases_mean': 'of the paraphrases'}
    for name, value in means(results).items():
        table.add_row(titles[name], f'{value:.2f}')
    Console().print(table)


def _share(value: float | None) -> str:
    """A share in digits; a dash where a task has no end, or an older record does not tell it."""
    return '-' if value is None else f'{value:.2f}'
