"""What a demo found, as a table for people and as JSON for programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Column, Table

from genrl_ros.cli.demo_run import DemoRun
from genrl_ros.data.pictures import write_png
from genrl_ros.domains.base import Outcome, Task

PASSED = 0.5
"""Score from which an episode of a demo counts as done."""


@dataclass(frozen=True)
class DemoReport:
    """The result of a demo.

    Attributes:
        reached: whether the robot did what the prompt asked for.
        as_json: everything, for `summary.json`.
        table: the same for people.
    """

    reached: bool
    as_json: dict[str, Any]
    table: Table


def write_curve(path: Path, curve: list[tuple[int, float]], title: str) -> None:
    """Draw the learning curve: imagined reward of a step by update."""
    import matplotlib as mpl

    mpl.use('Agg')
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.5), dpi=120, layout='constrained')
    axes.plot(*zip(*curve, strict=True) if curve else ((), ()))
    axes.set(xlabel='actor-critic updates', ylabel='imagined reward of a step', title=title)
    axes.grid(alpha=0.3)
    figure.canvas.draw()
    write_png(path, np.asarray(figure.canvas.buffer_rgba())[..., :3])
    pyplot.close(figure)


def report(run: DemoRun) -> DemoReport:
    """Sum up a run, however far it has come."""
    task, recordings = run.task, run.recordings
    scores = [] if task is None else [round(score_of(run, each), 3) for each in recordings]
    reached = any(score >= PASSED for score in scores)
    stages = run.stages.seconds
    before_driving = (
        *('ground the prompt', 'get the policy', 'learn in imagination', 'take over the policy'),
    )
    content: dict[str, Any] = {
        'prompt': run.prompt,
        'reached': reached,
        'error': run.error,
        'task': None if task is None else task.name,
        'scores': scores,
        'seconds': {name: round(seconds, 2) for name, seconds in stages.items()},
        'prompt_to_policy_s': round(sum(stages.get(name, 0.0) for name in before_driving), 2),
        'peak_memory_bytes': run.memory.bytes,
    }
    if run.answer is not None:
        content['grounding'] = {
            'concept': run.answer.concept,
            'score': round(run.answer.score, 4),
            'margin': round(run.answer.margin, 4),
        }
    if run.learned is not None:
        content['learning'] = {
            'updates': run.learned.updates,
            'imagined_reward': round(run.learned.imagined_reward, 4),
        }
    if run.recordings:
        content['episodes'] = [_episode(task, recording) for recording in recordings]
    names = ('goal.mp4', 'goal.png', 'learning_curve.png', 'episode.mp4')
    artefacts = [str(run.folder / name) for name in names if (run.folder / name).is_file()]
    content['artefacts'] = [*artefacts, str(run.folder / 'summary.json')]
    return DemoReport(reached, content, _table(content))


def score_of(run: DemoRun, recording: Any) -> float:
    """Score of a recorded episode of the run's task, by the messages that came.

    They tell the reward at images; the control steps between two of them count as much.
    """
    assert run.task is not None
    rewards = recording.rewards.get(run.task.name, [])
    done = run.task.name in recording.reached_ns
    return_ = run.steps_per_image * sum(rewards)
    return run.task.score.of(Outcome(return_, done, len(rewards)))


def _episode(task: Task | None, recording: Any) -> dict[str, Any]:
    episode: dict[str, Any] = {
        'images': len(recording.frames),
        'simulated_s': round(recording.stamps_ns[-1] / 1e9, 2),
    }
    if task is not None:
        episode['readings'] = {
            name: {
                'first': round(recording.readings[name][0], 3),
                'last': round(recording.readings[name][-1], 3),
                'unit': recording.units[name],
            }
            for name in task.readings
            if name in recording.readings
        }
        if task.name in recording.reached_ns:
            episode['reached_after_s'] = round(recording.reached_ns[task.name] / 1e9, 2)
    if recording.holds:
        episode['holds'] = len(recording.holds)
        episode['last_hold'] = recording.holds[-1]
    return episode


def _table(content: dict[str, Any]) -> Table:
    columns = Column(no_wrap=True), Column(overflow='fold')  # a path is of no use without its end
    table = Table(*columns, show_header=False, title=content['prompt'], title_style='bold')
    if content['error']:
        verdict = f'[red]not finished[/red]: {content["error"].splitlines()[0]}'
    elif content['task'] is None:
        verdict = (
            "[yellow]cannot be measured[/yellow]: the prompt is in no task's words; "
            '--task names one'
        )
    elif content['reached']:
        verdict = f'[green]reached[/green]: {content["task"]}'
    else:
        verdict = f'[red]not reached[/red]: {content["task"]}'
    episodes = content.get('episodes', [])
    if len(episodes) > 1:
        count = len(episodes)
        verdict += f', in episode {count}' if content['reached'] else f', in {count} episodes'
    table.add_row('task', verdict)
    for stage, seconds in content['seconds'].items():
        table.add_row(stage, f'{seconds:.1f} s')
    if 'grounding' in content:
        table.add_row('from prompt to policy', f'{content["prompt_to_policy_s"]:.1f} s')
    episode = episodes[-1] if episodes else {}
    if 'reached_after_s' in episode:
        table.add_row('reached after', f'{episode["reached_after_s"]:.1f} s of simulated time')
    for name, reading in episode.get('readings', {}).items():
        values = (
            f'{reading["first"]:.2f} at first, {reading["last"]:.2f} {reading["unit"]} at last'
        )
        table.add_row(name.replace('_', ' '), values)
    if 'holds' in episode:
        table.add_row('robot was held', f'{episode["holds"]} times; {episode["last_hold"]}')
    table.add_row('memory of all processes', f'{content["peak_memory_bytes"] / 1e9:.2f} GB')
    for path in content['artefacts']:
        table.add_row(Path(path).stem.replace('_', ' '), path)
    return table
