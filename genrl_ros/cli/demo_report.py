"""What a demo found, as a table for people and as JSON for programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Column, Table

from genrl_ros.cli.demo_run import DemoRun
from genrl_ros.system.files import atomic_file


@dataclass(frozen=True)
class Report:
    """The result of a demo.

    Attributes:
        reached: whether the robot did what the prompt asked for.
        as_json: everything, for `summary.json`.
        table: the same for people.
    """

    reached: bool
    as_json: dict[str, Any]
    table: Table


def element_of(concept: str) -> str | None:
    """The element that has to reach its goal for a concept in words; None if none has to."""
    from genrl_ros.domains.kitchen.phrases import CONCEPTS, describe

    for name in CONCEPTS:
        element, _, phase = name.partition('/')
        if phase and phase != 'closing' and describe(name) == concept:
            return element
    return None


def write_curve(path: Path, curve: list[tuple[int, float]], title: str) -> None:
    """Draw the learning curve: imagined return by update."""
    import matplotlib as mpl

    mpl.use('Agg')
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.5), layout='constrained')
    axes.plot(*zip(*curve, strict=True) if curve else ((), ()))
    axes.set(xlabel='actor-critic updates', ylabel='imagined return', title=title)
    axes.grid(alpha=0.3)
    with atomic_file(path) as unfinished:
        figure.savefig(unfinished, format='png', dpi=120)
    pyplot.close(figure)


def report(prompt: str, run: DemoRun) -> Report:
    """Sum up a run, however far it has come."""
    reached = any(run.element in recording.reached_ns for recording in run.recordings)
    stages = run.stages.seconds
    before_driving = ('ground the prompt', 'learn in imagination', 'take over the policy')
    content: dict[str, Any] = {
        'prompt': prompt,
        'reached': reached,
        'error': run.error,
        'element': run.element,
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
            'imagined_return': round(run.learned.imagined_return, 4),
        }
    if run.recordings:
        content['episodes'] = [_episode(run, recording) for recording in run.recordings]
    names = ('goal.mp4', 'goal.png', 'learning_curve.png', 'episode.mp4')
    artefacts = [str(run.folder / name) for name in names if (run.folder / name).is_file()]
    content['artefacts'] = [*artefacts, str(run.folder / 'summary.json')]
    return Report(reached, content, _table(content))


def _episode(run: DemoRun, recording: Any) -> dict[str, Any]:
    episode: dict[str, Any] = {
        'images': len(recording.frames),
        'simulated_s': round(recording.stamps_ns[-1] / 1e9, 2),
    }
    distances = recording.distances.get(run.element or '', [])
    if distances:
        episode['first_distance'] = round(distances[0], 4)
        episode['least_distance'] = round(min(distances), 4)
    if run.element in recording.reached_ns:
        episode['reached_after_s'] = round(recording.reached_ns[run.element] / 1e9, 2)
    if recording.holds:
        episode['holds'] = len(recording.holds)
        episode['last_hold'] = recording.holds[-1]
    return episode


def _table(content: dict[str, Any]) -> Table:
    columns = Column(no_wrap=True), Column(overflow='fold')  # a path is of no use without its end
    table = Table(*columns, show_header=False, title=content['prompt'], title_style='bold')
    if content['error']:
        verdict = f'[red]not finished[/red]: {content["error"].splitlines()[0]}'
    elif content['element'] is None:
        verdict = "[yellow]cannot be measured[/yellow]: the prompt asks for no element's goal"
    elif content['reached']:
        verdict = f'[green]reached[/green]: {content["element"]}'
    else:
        verdict = f'[red]not reached[/red]: {content["element"]}'
    episodes = content.get('episodes', [])
    if len(episodes) > 1:
        count = len(episodes)
        verdict += f', in episode {count}' if content['reached'] else f', in {count} episodes'
    table.add_row('task', verdict)
    for stage, seconds in content['seconds'].items():
        table.add_row(stage, f'{seconds:.1f} s')
    if 'learning' in content:
        table.add_row('from prompt to policy', f'{content["prompt_to_policy_s"]:.1f} s')
    episode = episodes[-1] if episodes else {}
    if 'reached_after_s' in episode:
        table.add_row('reached after', f'{episode["reached_after_s"]:.1f} s of simulated time')
    if 'first_distance' in episode:
        first, least = episode['first_distance'], episode['least_distance']
        distances = f'{first:.2f} at first, {least:.2f} at best (rad or m)'
        table.add_row('distance to the goal', distances)
    if 'holds' in episode:
        table.add_row('robot was held', f'{episode["holds"]} times; {episode["last_hold"]}')
    table.add_row('memory of all processes', f'{content["peak_memory_bytes"] / 1e9:.2f} GB')
    for path in content['artefacts']:
        table.add_row(Path(path).stem.replace('_', ' '), path)
    return table
