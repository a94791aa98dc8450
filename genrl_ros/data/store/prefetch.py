"""Reads batches before they are asked for, in the background and in their exact order."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from genrl_ros.data.store.replay import Arrays, Source

AHEAD = 4
READERS = 2


@dataclass(frozen=True)
class Batch:
    """A batch, and what is needed to say which one it was and to go on behind it.

    Attributes:
        number: how many batches had been drawn with it.
        windows: all of its windows or other parts, also those of other processes.
        arrays: what `Source.read` gives, for this process's share.
        position: state of the replay behind it.
    """

    number: int
    windows: tuple[Any, ...]
    arrays: Arrays
    position: Mapping[str, Any]


@dataclass(frozen=True)
class _Coming:
    windows: tuple[Any, ...]
    position: Mapping[str, Any]
    arrays: Future[Arrays]


class Prefetch:
    """Keeps the next few batches coming while a `with` block runs.

    Batches are drawn here, one after the other; only reading is left to threads, which spend
    their time in the kernel and in copies, where Python's lock is free.

    Args:
        replay: draws and reads. Its own state runs ahead: `Batch.position` is what to save.
        share: which of a batch's windows to read.
        skip: numbers of batches that are drawn, but not given.
    """

    def __init__(
        self, replay: Source[Any], share: slice, skip: frozenset[int] = frozenset()
    ) -> None:
        self._replay, self._share, self._skip = replay, share, skip
        self._coming: deque[_Coming] = deque()
        self._readers = ThreadPoolExecutor(READERS, 'read')

    def __enter__(self) -> Prefetch:
        """Begin to read."""
        for _ in range(AHEAD):
            self._order()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Forget what was read ahead."""
        self._readers.shutdown(cancel_futures=True)

    def take(self) -> Batch:
        """The next batch."""
        self._order()
        coming = self._coming.popleft()
        return Batch(
            int(coming.position['drawn']),
            coming.windows,
            coming.arrays.result(),
            coming.position,
        )

    def _order(self) -> None:
        while True:
            windows = tuple(self._replay.draw())
            position = self._replay.state_dict()
            if int(position['drawn']) not in self._skip:
                break
        arrays = self._readers.submit(self._replay.read, windows[self._share])
        self._coming.append(_Coming(windows, position, arrays))
