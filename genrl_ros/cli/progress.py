"""A progress bar with rate and remaining time, for everything that takes long."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
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

Show = Callable[[int, str], None]


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


@contextlib.contextmanager
def bar(title: str, total: int) -> Iterator[Show]:
    """Show a bar while the block runs; call what it gives with `(done, note)`.

    Where the output is no terminal, it is a line every ten seconds instead.
    """
    with Progress(*columns(), refresh_per_second=2, expand=True) as progress:
        task = progress.add_task(title, total=total, note='')
        lines = not progress.console.is_terminal
        printed_s = 0.0

        def show(done: int, note: str = '') -> None:
            nonlocal printed_s
            progress.update(task, completed=done, note=note)
            if lines and time.monotonic() - printed_s >= LINE_EVERY_S:
                printed_s = time.monotonic()
                seconds = progress.tasks[0].time_remaining
                left = '?' if seconds is None else timedelta(seconds=round(seconds))
                print(f'{title} {done}/{total}  {left} left  {note}', flush=True)

        yield show
