"""Processes that work for this one, such as simulators: they begin, and end, as it wants."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from genrl_ros.system.processes import die_with_parent

Given = ParamSpec('Given')
Result = TypeVar('Result')


class WorkerPool(ProcessPoolExecutor):
    """Processes of a pool that end with this one, and never get Ctrl-C, not even while they begin.

    Leaving the block waits for the work that goes on, and drops the rest.

    Args:
        workers: how many.
        what: what each of them is, for the message of an error.
        begin: called once in each, before its work; an importable function.
        args: what it is called with.

    Raises:
        OSError: from the block, if a process ended before its work did.
    """

    def __init__(self, workers: int, what: str, begin: Callable[..., None], *args: Any) -> None:
        context = multiprocessing.get_context('spawn')
        super().__init__(workers, context, _begin, (begin, args))
        self._what = what

    def submit(
        self, fn: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Future[Result]:
        """Order work; a process that begins for it inherits that Ctrl-C is blocked."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return super().submit(fn, *args, **kwargs)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the processes, and say in words that one has ended by itself."""
        self.shutdown(cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            raise OSError(
                f'{self._what} ended abruptly: see its output above; no output usually means that '
                'memory ran out (use fewer --workers)'
            ) from error


def _begin(begin: Callable[..., None], args: tuple[Any, ...]) -> None:
    die_with_parent()
    begin(*args)
