"""What tasks leave on the disk, goals and policies: the newest are kept.

Each lies in a folder named after its task, beside files with the same name and another ending.
"""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from genrl_ros.system.room import GIB

_OURS = re.compile(r'\.?(\d{8}-\d{6}-\d{3}(?:-[a-z0-9-]+)?)(\..*)?')
"""Names that begin with a task of `new_task_id`; whatever else a folder holds is not ours."""
_INTERRUPTED = '.learning.safetensors'


def new_task_id(prompt: str) -> str:
    """A name that sorts by time, tells the task, and is safe as the name of a folder."""
    words = re.sub(r'[^a-z0-9]+', '-', prompt.lower()).strip('-')[:40].strip('-')
    now = datetime.now().strftime('%Y%m%d-%H%M%S-%f')[:-3]
    return f'{now}-{words}' if words else now


def prune(
    folder: Path, newest: int, limit_gib: float, in_use: Callable[[Path], bool]
) -> list[Path]:
    """Remove the oldest of what tasks have left, with all files of their names.

    Never removed: what is in use, a learning that was interrupted, and what has another name than
    tasks get by themselves.

    Args:
        folder: where they are; some may be one folder deeper, below a number.
        newest: how many are kept, those in use among them.
        limit_gib: GiB that all of them may have together.
        in_use: whether the folder of a task is needed.

    Returns:
        Folders of the removed tasks.

    Raises:
        OSError: naming what cannot be removed.
    """
    tasks: defaultdict[Path, list[Path]] = defaultdict(list)
    for path in _entries(folder):
        if name := _OURS.fullmatch(path.name):
            tasks[path.with_name(name.group(1))].append(path)
    needed = [task for task in tasks if in_use(task) or _is_interrupted(task)]
    others = sorted(tasks.keys() - set(needed), key=lambda task: (_made(tasks[task]), task.name))
    left, size = len(needed), sum(_size(tasks[task]) for task in needed)
    removed = []
    for task in reversed(others):
        size += _size(tasks[task])
        left += 1
        if left > newest or size > limit_gib * GIB:
            _remove(tasks[task])
            removed.append(task)
    for below in _numbered(folder):
        if not any(below.iterdir()):
            below.rmdir()
    return removed


def _numbered(folder: Path) -> list[Path]:
    """The folders of tasks that were learned more than once."""
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.name.isdigit() and path.is_dir()]


def _entries(folder: Path) -> Iterator[Path]:
    for place in (folder, *_numbered(folder)):
        if place.is_dir():
            yield from place.iterdir()


def _is_interrupted(task: Path) -> bool:
    return task.with_name(task.name + _INTERRUPTED).exists()


def _made(paths: Sequence[Path]) -> float:
    return max(path.lstat().st_mtime for path in paths)


def _size(paths: Sequence[Path]) -> int:
    """Bytes in all; links count as links."""
    below = (each for path in paths for each in (path, *path.rglob('*')))
    return sum(path.lstat().st_size for path in below)


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
