"""Clips that are being made: what is there already, so that nothing is made twice."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genrl_ros.system.files import atomic_file, atomic_folder, read_json, sync, write_json
from genrl_ros.training.embedder.source import States
from genrl_ros.training.engine.checkpoints import changed_settings

PROGRESS = 'progress.json'


class UnfinishedClips:
    """A folder beside the one that the clips will be in.

    Nothing is removed or replaced but what an earlier one of these has made.

    Args:
        folder: of the finished clips; new, or empty.
        made: how they are made.
        arrays: by name, shape and dtype of the takes' arrays; the first axis counts takes.
        rng: gives the random numbers; it goes on where it was when the last takes were kept.

    Raises:
        OSError: if there is no room for the arrays, or something else is in the folder's place.
        ValueError: if it was begun with other settings.

    Attributes:
        arrays: the takes' arrays, mapped into memory.
        done: takes that are finished.
    """

    def __init__(
        self,
        folder: Path,
        made: Mapping[str, Any],
        arrays: Mapping[str, tuple[tuple[int, ...], npt.DTypeLike]],
        rng: np.random.Generator,
    ) -> None:
        self.folder = folder.resolve()
        self._work = self.folder.with_name(self.folder.name + '.unfinished')
        self._made, self._rng = made, rng
        self.done, self._spent_s, self._began = 0, 0.0, time.monotonic()
        _check_free(self.folder)
        if not self._work.exists():
            with atomic_folder(self._work) as new:
                for name, (shape, dtype) in arrays.items():
                    _make_room(new / f'{name}.npy', shape, dtype)
                self._write_progress(new)
        held = self._held()
        self.done, self._spent_s = held['done'], held['seconds']
        rng.bit_generator.state = held['rng']
        self.arrays = {
            name: np.load(self._work / f'{name}.npy', mmap_mode='r+', allow_pickle=False)
            for name in arrays
        }

    @property
    def seconds(self) -> float:
        """Time spent so far, interruptions left out."""
        return self._spent_s + time.monotonic() - self._began

    def rehearsal(self, seed: int, rehearse: Callable[[int], States]) -> States:
        """The states of a rehearsal, made unless they are there."""
        path = self._work / f'rehearsal-{seed}.npy'
        if not path.is_file():
            states = rehearse(seed)
            with atomic_file(path) as temporary:
                np.save(temporary, states)
        rehearsed: States = np.load(path, allow_pickle=False)
        return rehearsed

    def keep(self, done: int) -> None:
        """Takes up to this number are finished: go on after them, whatever happens."""
        for name, array in self.arrays.items():
            array.flush()
            sync(self._work / f'{name}.npy')
        self.done = done
        self._write_progress(self._work)

    def _write_progress(self, folder: Path) -> None:
        write_json(
            folder / PROGRESS,
            {
                'made': self._made,
                'done': self.done,
                'seconds': self.seconds,
                'rng': self._rng.bit_generator.state,
            },
        )

    def finish(self, done: int, about: Mapping[str, Any]) -> None:
        """Put everything into its place, with `clips.json` to describe it.

        Raises:
            OSError: if there is something in that place by now.
        """
        self.keep(done)
        write_json(self._work / 'clips.json', about)
        os.replace(self._work, self.folder)  # which takes no place but an empty folder's
        sync(self.folder.parent)
        for path in (self.folder / PROGRESS, *self.folder.glob('rehearsal-*.npy')):
            path.unlink()

    def _held(self) -> dict[str, Any]:
        path = self._work / PROGRESS
        if not path.is_file():
            raise FileExistsError(
                f'{self._work} exists and holds no unfinished clips: choose another --clips, or '
                'move it away'
            )
        held: dict[str, Any] = read_json(path)
        changed = changed_settings(held['made'], self._made)
        if changed:
            raise ValueError(
                f'{self._work} was begun with other settings ({"; ".join(changed)}): ask for '
                'those, or remove the folder'
            )
        return held


def _check_free(folder: Path) -> None:
    """Check that a folder does not exist, or is empty.

    Raises:
        FileExistsError: naming it, otherwise.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise FileExistsError(
            f'{folder} exists and holds no clips: choose another --clips, or an empty folder'
        )


def _make_room(path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    """On the disk, too: a full one would end the process when a page is written back."""
    np.lib.format.open_memmap(path, 'w+', dtype, shape).flush()
    with path.open('r+b') as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
