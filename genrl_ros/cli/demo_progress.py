"""Shows how learning goes: a live bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import Progress

from genrl_ros.cli.progress import columns

LINE_EVERY_S = 20.0


class LearningProgress:
    """A `with` block that shows `LearnTask.Feedback`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._line_due = 0.0
        self._bar = Progress(
            *columns(),
            console=console,
            expand=True,
            refresh_per_second=2,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task('starting', total=None, note='')

    def __enter__(self) -> LearningProgress:
        """Begin to show."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the bar as it is."""
        self._bar.stop()

    def show(self, feedback: Any) -> None:
        """Show the latest feedback."""
        note = f'{feedback.updates_per_s:.1f}/s  return {feedback.imagined_return:.2f}'
        self._bar.update(
            self._task,
            description=feedback.stage,
            completed=feedback.update,
            total=feedback.of,
            note=note,
        )
        now = time.monotonic()
        if not self._console.is_terminal and now >= self._line_due:
            self._line_due = now + LINE_EVERY_S
            self._console.print(
                f'{feedback.stage} {feedback.update}/{feedback.of}  '
                f'{feedback.remaining_s:.0f} s left  {note}'
            )
