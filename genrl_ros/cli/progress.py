"""A progress bar with rate and remaining time, for everything that takes long."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Show = Callable[[int, str], None]


@contextlib.contextmanager
def bar(title: str, total: int) -> Iterator[Show]:
    """Show a bar while the block runs; call what it gives with `(done, note)`."""
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

        def show(done: int, note: str = '') -> None:
            progress.update(task, completed=done, note=note)

        yield show
