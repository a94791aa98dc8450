"""Clips that are being made: what is there already, so that nothing is made twice."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genrl_ros.system.files import atomic_file, sync, write_json
from genrl_ros.training.engine.checkpoints import changed_settings

States = npt.NDArray[np.float32]
PROGRESS = 'progress.json'


class UnfinishedClips:
    """A folder beside the one that the clips will be in.

    Args:
        folder: of the finished clips.
        made: how they are made.
        arrays: by name, shape and dtype of the takes' arrays; the first axis counts takes.
        rng: gives the random numbers; it goes on where it was when the last takes were kept.

    Raises:
        OSError: if there is no room for the arrays.
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
        self.folder, self._work = folder, folder.with_name(folder.name + '.unfinished')
        self._made, self._rng = made, rng
        held = self._held()
        if held is None:
            shutil.rmtree(self._work, ignore_errors=True)
            self._work.mkdir(parents=True)
            for name, (shape, dtype) in arrays.items():
                self._make_room(name, shape, dtype)
        self.arrays = {
            name: np.load(self._work / f'{name}.npy', mmap_mode='r+', allow_pickle=False)
            for name in arrays
        }
        self.done, self._spent_s, self._began = 0, 0.0, time.monotonic()
        if held is None:
            self.keep(0)
        else:
            self.done, self._spent_s = held['done'], held['seconds']
            rng.bit_generator.state = held['rng']

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
        write_json(
            self._work / PROGRESS,
            {
                'made': self._made,
                'done': done,
                'seconds': self.seconds,
                'rng': self._rng.bit_generator.state,
            },
        )

    def finish(self, done: int, about: Mapping[str, Any]) -> None:
        """Put everything into its place, with `clips.json` to describe it."""
        self.keep(done)
        write_json(self._work / 'clips.json', about)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.replace(self._work, self.folder)
        sync(self.folder.parent)
        for path in (self.folder / PROGRESS, *self.folder.glob('rehearsal-*.npy')):
            path.unlink()

    def _make_room(self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        """On the disk, too: a full one would end the process when a page is written back."""
        path = self._work / f'{name}.npy'
        np.lib.format.open_memmap(path, 'w+', dtype, shape).flush()
        with path.open('r+b') as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)

    def _held(self) -> dict[str, Any] | None:
        path = self._work / PROGRESS
        if not path.is_file():
            return None
        held: dict[str, Any] = json.loads(path.read_text())
        changed = changed_settings(held['made'], self._made)
        if changed:
            raise ValueError(
                f'{self._work} was begun with other settings ({"; ".join(changed)}): ask for '
                'those, or remove the folder'
            )
        return held
