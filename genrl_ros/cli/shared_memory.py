"""Removes what Fast DDS leaves in shared memory when a process of ours had to be killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path('/dev/shm')
GRACE_S = 1.0
"""How long a process that starts may take to lock what it has made."""
_PREFIXES = ('fastdds_', 'fastrtps_', 'sem.fastdds_', 'sem.fastrtps_')


def ours() -> set[str]:
    """Names of this user's DDS files in shared memory."""
    names = set()
    for name in os.listdir(FOLDER) if FOLDER.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):
            owned = (FOLDER / name).stat().st_uid == os.getuid()
            if owned and name.startswith(_PREFIXES):
                names.add(name)
    return names


def remove_dead(since: set[str], grace_s: float = GRACE_S) -> list[str]:
    """Remove files that came after `since` was taken and that no living process uses.

    Fast DDS keeps a lock on a file `_el` beside each of its segments and ports for as long as a
    process uses it. A process of another graph that starts meanwhile makes its files before it
    locks them: so only those are dead that stay unlocked for a while, and they are locked while
    they are removed.

    Args:
        since: names that were there before.
        grace_s: how long the files must stay unlocked.

    Returns:
        Names of the removed files.
    """
    unlocked: dict[str, dict[str, int]] = {}
    for name in ours() - since:
        with contextlib.suppress(FileNotFoundError):
            unlocked.setdefault(_base(name), {})[name] = (FOLDER / name).stat().st_ino
    for base in list(unlocked):
        with _locked(f'{base}_el') as free:
            if not free:
                del unlocked[base]
    if not unlocked:
        return []
    time.sleep(grace_s)
    removed = []
    for base, files in unlocked.items():
        with _locked(f'{base}_el') as free:
            if free and all(_is_still(name, inode) for name, inode in files.items()):
                for name in files:
                    (FOLDER / name).unlink(missing_ok=True)
                    removed.append(name)
    return sorted(removed)


def _base(name: str) -> str:
    return name.removeprefix('sem.').removesuffix('_mutex').removesuffix('_el')


def _is_still(name: str, inode: int) -> bool:
    """Whether a file is the one that it was, or gone, and not one that was made anew."""
    try:
        return (FOLDER / name).stat().st_ino == inode
    except FileNotFoundError:
        return True


@contextlib.contextmanager
def _locked(name: str) -> Iterator[bool]:
    """Hold the lock of a file, if nobody else does: whether that is so."""
    try:
        file = (FOLDER / name).open('rb')
    except FileNotFoundError:
        yield True
        return
    except OSError:
        yield False
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
