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
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Show = Callable[[int, str], None]


LINE_EVERY_S = 10.0


@contextlib.contextmanager
def bar(title: str, total: int) -> Iterator[Show]:
    """Show a bar while the block runs; call what it gives with `(done, note)`.

    Where the output is no terminal, it is a line every ten seconds instead.
    """
    columns = (
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn('left'),
        TimeRemainingColumn(),
        TextColumn('{task.fields[note]}'),
    )
    with Progress(*columns, refresh_per_second=2) as progress:
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
