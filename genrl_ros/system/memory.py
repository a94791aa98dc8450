"""How much memory a process and all its descendants use together."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

_PROC = Path('/proc')
_PSS = re.compile(r'^Pss:\s+(\d+) kB', re.MULTILINE)


def tree_bytes(root: int | None = None) -> int:
    """Proportional set size of a process tree in bytes: shared pages count once in all.

    Args:
        root: process id; this process unless given.
    """
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            parent = _parent(entry)
            if parent is not None:
                children.setdefault(parent, []).append(int(entry.name))
    total, pending = 0, [os.getpid() if root is None else root]
    while pending:
        pid = pending.pop()
        total += _pss(_PROC / str(pid))
        pending += children.get(pid, [])
    return total


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


def _parent(process: Path) -> int | None:
    try:
        # After the name, which may hold anything: state, then the parent's id.
        return int((process / 'stat').read_text().rpartition(')')[2].split()[1])
    except (OSError, ValueError):
        return None


def _pss(process: Path) -> int:
    try:
        found = _PSS.search((process / 'smaps_rollup').read_text())
    except OSError:
        return 0
    return int(found.group(1)) * 1024 if found else 0
