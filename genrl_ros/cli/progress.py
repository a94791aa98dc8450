"""A progress bar with rate and remaining time, for everything that takes long."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from datetime import timedelta

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

LINE_EVERY_S = 10.0


def columns() -> tuple[ProgressColumn, ...]:
    """What a bar shows; on a narrow terminal it is the field `note` that is cut off."""
    return (
        TextColumn('{task.description}'),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn('gone'),
        TimeRemainingColumn(),
        TextColumn('left'),
        TextColumn(
            '{task.fields[note]}',
            table_column=Column(ratio=1, no_wrap=True, overflow='ellipsis'),
        ),
    )


class Bar:
    """A bar that is shown; call it with what is done.

    Where the output is no terminal, it is a line every ten seconds instead.

    Args:
        progress: shows it.
        title: what is done.
        total: how much there is to do; None while that is not known.
    """

    def __init__(self, progress: Progress, title: str, total: int | None) -> None:
        self._progress, self._title = progress, title
        self._task = progress.add_task(title, total=total, note='')
        self._printed_s = -math.inf

    def __call__(
        self, done: int, note: str = '', total: int | None = None, title: str | None = None
    ) -> None:
        """Show how much is done, a note about it, and what has become known of the rest."""
        self._title = title or self._title
        self._progress.update(
            self._task, completed=done, note=note, total=total, description=self._title
        )
        if self._progress.console.is_terminal:
            return
        if time.monotonic() - self._printed_s >= LINE_EVERY_S:
            self._printed_s = time.monotonic()
            (task,) = self._progress.tasks
            seconds, of = task.time_remaining, '' if task.total is None else f'/{task.total:.0f}'
            left = '?' if seconds is None else timedelta(seconds=round(seconds))
            print(f'{self._title} {done}{of}  {left} left  {note}', flush=True)


@contextlib.contextmanager
def bar(title: str, total: int | None = None) -> Iterator[Bar]:
    """Show a bar while the block runs; see `Bar`."""
    with Progress(*columns(), refresh_per_second=2, expand=True) as progress:
        yield Bar(progress, title, total)
