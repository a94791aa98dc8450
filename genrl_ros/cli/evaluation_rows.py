"""What imagination is worth: scores of the start alone, of imagination alone, and of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any, Literal, get_args

from rich.console import Console
from rich.table import Table

from genrl_ros.cli.evaluate_tasks import Row, means
from genrl_ros.config.learning import LearnConfig
from genrl_ros.evaluation.interval import interval
from genrl_ros.world_model.checkpoint import read_card

RowName = Literal['start', 'imagination', 'both']
ROWS: tuple[RowName, ...] = get_args(RowName)
Rows = dict[str, dict[str, Row]]
"""By the name of the row and the name of the task."""


def rows_of(asked: Sequence[RowName], learning: LearnConfig, model: Path) -> list[RowName]:
    """The rows that a model has, of those asked for.

    Raises:
        ValueError: if it has none of them, or there is no such model.
    """
    _, card = read_card(model)
    trained = card.training.get('prior', {}).get('updates') != 0
    known = ROWS if trained and learning.prior > 0 else ('imagination',)
    rows = [row for row in ROWS if row in asked and row in known]
    if not rows:
        raise ValueError(
            f'--rows {" ".join(asked)}: {model} has no prior to start from, or --learning.prior '
            'is 0; the row imagination is left'
        )
    return rows


def learning_of(row: RowName, both: LearnConfig, imagination: LearnConfig) -> LearnConfig:
    """How the policies of a row are learned."""
    if row == 'start':
        return replace(both, updates=0, from_prior=True)
    return both if row == 'both' else imagination


def combined(learned: Sequence[Row]) -> Row:
    """One row of the same task, learned with several seeds; see `learn_and_run`."""
    scores = [list(each['scores']) for each in learned]
    at_end = [each['at_end'] for each in learned if each['at_end'] is not None]
    return {
        'score': mean(mean(each) for each in scores),
        'interval': [round(end, 3) for end in interval(scores)],
        'learning_seeds': len(learned),
        'episodes': learned[0]['episodes'],
        'at_end': mean(at_end) if at_end else None,
        'prompt': learned[0]['prompt'],
        'seconds': round(sum(each['seconds'] for each in learned), 1),
        'scores': scores,
    }


def summary(rows: Rows) -> dict[str, Any]:
    """What a file of scores holds of each row: its tasks, and their means."""
    return {name: {'tasks': tasks, **means(tasks)} for name, tasks in rows.items()}


def show_rows(domain: str, rows: Rows) -> None:
    """Print a table of tasks, with a column of scores for each row."""
    table = Table(title=domain)
    table.add_column('task')
    for name in rows:
        table.add_column(name)
    table.add_column('at the end')
    table.add_column('seconds', justify='right')
    table.add_column('prompt')
    last = list(rows.values())[-1]
    for task, row in last.items():
        _add(table, task, [tasks.get(task) for tasks in rows.values()], row)
        for number, other in enumerate(row.get('paraphrases', ())):
            cells = [tasks[task]['paraphrases'][number] for tasks in rows.values()]
            _add(table, '', cells, other)
    titles = {'mean': 'mean', 'paraphrases_mean': 'of the paraphrases'}
    for name, title in titles.items():
        values = [means(tasks).get(name) for tasks in rows.values()]
        if any(value is not None for value in values):
            table.add_row(title, *('' if value is None else f'{value:.2f}' for value in values))
    Console().print(table)


def _add(table: Table, title: str, cells: Sequence[Row | None], row: Row) -> None:
    end = row['at_end']
    table.add_row(
        title,
        *('' if cell is None else _score(cell) for cell in cells),
        '-' if end is None else f'{end:.2f}',
        str(sum(cell['seconds'] for cell in cells if cell is not None)),
        row['prompt'],
    )


def _score(row: Row) -> str:
    low, high = row['interval']
    return f'{row["score"]:.2f} [{low:.2f}, {high:.2f}]'
