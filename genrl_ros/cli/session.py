"""What the commands that train for long have in common: processes, time limit, who speaks."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType, TracebackType

from genrl_ros.cli.progress import bar
from genrl_ros.config.training import Precision, RecordConfig
from genrl_ros.system.locks import exclusive
from genrl_ros.system.processes import age_s
from genrl_ros.training.engine.device import check_device
from genrl_ros.training.engine.run import Progress, Run, StoppedError
from genrl_ros.world_model.ranks import Ranks, joined


class Deadline:
    """Says when to stop: when the process is that old, at Ctrl-C, or when it is told to end.

    While its `with` block runs, a first signal is only noted, so that everything can be saved; a
    second one interrupts.
    """

    def __init__(self, budget_s: float | None) -> None:
        if budget_s is not None and budget_s <= 0:
            raise ValueError(f'--budget-s must be positive, got {budget_s}')
        self._end_s = math.inf if budget_s is None else time.monotonic() + budget_s - age_s()
        self._told = False

    def __enter__(self) -> Deadline:
        """Listen to signals."""
        self._before = {
            signum: signal.signal(signum, self._note) for signum in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave signals to whom they belonged."""
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def passed(self) -> bool:
        """Whether it is time to stop."""
        return self._told or time.monotonic() >= self._end_s

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self._told:
            raise KeyboardInterrupt
        self._told = True


@contextlib.contextmanager
def saying_stopped() -> Iterator[None]:
    """A block that may be stopped early (`StoppedError`), which is said and is well."""
    try:
        yield
    except StoppedError as stopped:
        print(f'Stopped: {stopped}. All is saved; the same command goes on from there.')


@contextlib.contextmanager
def training_ranks(device: str) -> Iterator[Ranks]:
    """The processes that `torchrun` started, of which only the first prints; or this one alone.

    What they do may be stopped early, as in `saying_stopped`.

    Raises:
        ValueError: if there is no such device.
    """
    check_device(device)
    with joined(device) as ranks, contextlib.ExitStack() as stack:
        if not ranks.first:
            nowhere = stack.enter_context(open(os.devnull, 'w', encoding='utf-8'))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        stack.enter_context(saying_stopped())
        yield ranks


@contextlib.contextmanager
def training_session(
    folder: Path,
    record: RecordConfig,
    device: str,
    precision: Precision,
    budget_s: float | None,
) -> Iterator[Run]:
    """A training of one process or more, which may be stopped early.

    Raises:
        OSError: if another training uses the folder.
    """
    with (
        Deadline(budget_s) as deadline,
        training_ranks(device) as ranks,
        exclusive(folder) if ranks.first else contextlib.nullcontext(),
    ):
        yield Run(
            folder, record, should_stop=deadline.passed, ranks=ranks, device=device,
            precision=precision,
        )  # fmt: skip


@contextlib.contextmanager
def stage(title: str, updates: int, run: Run) -> Iterator[Run]:
    """The run with a progress bar for one of its stages."""
    with bar(title, updates) as show:

        def on_progress(progress: Progress) -> None:
            metrics = ' '.join(
                f'{name} {value:.3g}'
                for name, value in progress.metrics.items()
                if math.isfinite(value)
            )
            note = f'{progress.updates_per_s:.1f}/s  {metrics}' if metrics else ''
            part = title if progress.of == updates else progress.stage
            show(progress.update, note, progress.of, part)

        yield replace(run, on_progress=on_progress)


def work_through(title: str, total: int, steps: Iterator[int], run: Run) -> None:
    """Go through work that needs no training, in all processes, until it is done or time is over.

    Args:
        title: of the progress bar.
        total: how much there is, in the unit of `steps`.
        steps: does a part of this process's work at a time, and says how much it was.
        run: whose processes wait for each other at the end.

    Raises:
        StoppedError: if there was no time to finish.
    """
    stopped = False
    with bar(title, total) as show:
        done = 0
        for step in steps:
            done += step
            show(min(total, done * run.ranks.world), '')
            if run.should_stop():
                stopped = True
                break
    if run.ranks.any(stopped):
        raise StoppedError(f'{title} is not finished')
