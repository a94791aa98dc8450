"""Every task of a domain learned and run, one after the other, each done only once."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from genrl_ros.cli.progress import bar
from genrl_ros.config import LearnConfig
from genrl_ros.envs.registry import env_spec
from genrl_ros.files import write_json
from genrl_ros.training.evaluate import Score, evaluate, summarize
from genrl_ros.training.ground import embed_prompt
from genrl_ros.training.learn import Progress, learn
from genrl_ros.training.run import StoppedError
from genrl_ros.types import Task
from genrl_ros.world_model.checkpoint import read_card

SEED = 7


def evaluate_tasks(
    domain: str,
    model: Path,
    place: Path,
    learning: LearnConfig,
    episodes: int,
    workers: int,
    should_stop: Callable[[], bool],
    device: str,
) -> dict[str, Any]:
    """Success rate of each task, by its own prompt.

    Args:
        domain: environment to run in.
        model: folder of the world model.
        place: folder of the policies and of a file of scores for each task.
        learning: how to learn.
        episodes: episodes a task.
        workers: simulators that run in parallel.
        should_stop: asked often.
        device: what to learn on.

    Raises:
        StoppedError: if there was no time to finish.
    """
    scores: dict[str, Any] = {}
    for task in env_spec(domain).tasks:
        way = hashlib.sha256(json.dumps(asdict(learning)).encode()).hexdigest()[:8]
        name, asked = f'{task.name}-{way}', {'learning': way, 'episodes': episodes}
        file = place / f'{task.name}.json'
        held = json.loads(file.read_text()) if file.is_file() else {}
        if held.get('asked') != asked:
            if not (place / name).exists():
                _learn(task, model, place, name, learning, should_stop, device)
            score = run_task(task, domain, place / name, episodes, SEED, workers, should_stop)
            held = {'asked': asked, 'score': asdict(score)}
            write_json(file, held)
        scores[task.name] = held['score']
    return scores


def _learn(
    task: Task,
    model: Path,
    place: Path,
    name: str,
    learning: LearnConfig,
    should_stop: Callable[[], bool],
    device: str,
) -> None:
    _, card = read_card(model)
    embedding = embed_prompt(card, task.prompt, None)
    with bar(f'learn {task.name}', learning.updates) as show:

        def on_progress(progress: Progress) -> None:
            show(progress.update, f'return {progress.imagined_return:.2f}')

        learn(
            model, embedding, learning, place, name, task.prompt, on_progress, should_stop,
            export_early=False, device=device,
        )  # fmt: skip


def run_task(
    task: Task,
    domain: str,
    bundle: Path,
    episodes: int,
    seed: int,
    workers: int,
    should_stop: Callable[[], bool] = lambda: False,
) -> Score:
    """Success rate of a policy in the simulator, with progress.

    Raises:
        StoppedError: if there was no time to finish.
    """
    outcomes = []
    coming = evaluate(domain, bundle, task.element, episodes, seed, workers)
    with bar(f'run {task.name}', episodes) as show, contextlib.closing(coming):
        for outcome in coming:
            outcomes.append(outcome)
            show(len(outcomes), f'success {summarize(outcomes).score:.2f}')
            if should_stop() and len(outcomes) < episodes:
                raise StoppedError(f'{task.name} after {len(outcomes)} of {episodes} episodes')
    return summarize(outcomes)
