"""How much memory a process and all its descendants use together."""

from __future__ import annotations

import time

import psutil


def tree_bytes(root: int | None = None) -> int:
    """Proportional set size of a process tree in bytes: shared pages count once in all.

    Args:
        root: process id; this process unless given.
    """
    try:
        first = psutil.Process(root)
        processes = [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    return sum(_proportional_bytes(process) for process in processes)


class PeakMemory:
    """The highest `tree_bytes` so far, looked at no more often than every `interval_s`."""

    def __init__(self, interval_s: float = 2.0) -> None:
        self.bytes = 0
        self._interval_s = interval_s
        self._due = 0.0

    def sample(self) -> None:
        """Look, if it is time to."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + self._interval_s
            self.bytes = max(self.bytes, tree_bytes())


def _proportional_bytes(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().pss
    except psutil.Error:
        return 0
