"""Removes what Fast DDS leaves in shared memory when a process of ours had to be killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

FOLDER = Path('/dev/shm')
_LOCKED = ('fastdds_', 'fastrtps_', 'sem.fastdds_', 'sem.fastrtps_')
_UNLOCKED = ('lttng-ust-wait-',)


def ours() -> set[str]:
    """Names of this user's DDS and tracing files in shared memory."""
    names = set()
    for name in os.listdir(FOLDER) if FOLDER.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):
            owned = (FOLDER / name).stat().st_uid == os.getuid()
            if owned and name.startswith(_LOCKED + _UNLOCKED):
                names.add(name)
    return names


def remove_dead(since: set[str]) -> list[str]:
    """Remove files that came after `since` was taken and that no living process uses.

    Fast DDS keeps a lock on a file `_el` beside each of its segments and ports for as long as a
    process uses it, so whatever can be locked is dead.

    Returns:
        Names of the removed files.
    """
    new = ours() - since
    dead = {name: _base(name) for name in new}
    alive = {base for base in set(dead.values()) if _is_locked(f'{base}_el')}
    removed = sorted(name for name, base in dead.items() if base not in alive)
    for name in removed:
        (FOLDER / name).unlink(missing_ok=True)
    return removed


def _base(name: str) -> str:
    return name.removeprefix('sem.').removesuffix('_mutex').removesuffix('_el')


def _is_locked(name: str) -> bool:
    try:
        with (FOLDER / name).open('rb') as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
