"""Room that is kept free on a disk, for all else that has to be written there."""

from __future__ import annotations

import shutil
from pathlib import Path

GIB = 1024**3


class NoRoomError(OSError):
    """Too little is free on a disk; the text says where, and how much."""


def free_gib(folder: Path) -> float:
    """GiB that are free where a folder is, or will be made."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / GIB


def check_room(folder: Path, floor_gib: float) -> None:
    """Check that a disk has room.

    Args:
        folder: one on that disk; need not be there yet.
        floor_gib: GiB that stay free.

    Raises:
        NoRoomError: if less is free.
    """
    free = free_gib(folder)
    if free < floor_gib:
        raise NoRoomError(
            f'only {free:.2f} GiB are free where {folder} is, and {floor_gib:g} are to stay free '
            '(parameter min_free_gib): make room there'
        )
