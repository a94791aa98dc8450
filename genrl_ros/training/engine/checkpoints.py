"""The checkpoints of a training: the newest under its name, the last few beside it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genrl_ros.system.files import atomic_file, clean
from genrl_ros.training.engine.state_file import load_state, save_state
from genrl_ros.world_model.checkpoint import CheckpointError


class OtherTrainingError(CheckpointError):
    """What was interrupted in this place is another training, or cannot be read."""


class Checkpoints:
    """`<name>.safetensors`, and `<name>-<update>.safetensors` for the last `keep` of them.

    Args:
        folder: where they are.
        name: of the training.
        keep: how many numbered ones there are at most; 0: the newest alone.
    """

    def __init__(self, folder: Path, name: str, keep: int) -> None:
        self.newest = folder / f'{name}.safetensors'
        self._keep = keep

    def clean(self) -> None:
        """Remove what a killed process left half-written."""
        clean(self.newest.parent, self.newest.stem)
        # What safetensors left before there were folders for it.
        for torn in self.newest.parent.glob('.tmp' + '?' * 6):
            torn.unlink()

    def save(self, update: int, state: Mapping[str, Any]) -> None:
        """Write a checkpoint; until it is complete, the one before is the newest.

        Raises:
            CheckpointError: if it cannot be written; the one before is untouched.
        """
        try:
            save_state(self.newest, state)
            self._file(update)
        except OSError as error:
            raise CheckpointError(
                f'{self.newest} cannot be written ({error.strerror or error}). The last '
                'checkpoint is untouched: make room, and the same command goes on from there'
            ) from error

    def load(self) -> dict[str, Any] | None:
        """The newest checkpoint that can be read, or None where there is none at all.

        Raises:
            OtherTrainingError: if there are some, but none can be read.
        """
        problem: CheckpointError | None = None
        found = [path for path in (self.newest, *reversed(self._filed())) if path.exists()]
        for path in found:
            try:
                state = load_state(path)
            except CheckpointError as error:
                problem = error
                continue
            if problem is not None:
                sys.stderr.write(f'{problem}; going on from {path}\n')
            return state
        if problem is not None:
            raise OtherTrainingError(
                f'{problem}; that was the last of {", ".join(path.name for path in found)}, of '
                'which none can be read. If they are damaged, remove them to begin this stage anew'
            ) from problem
        return None

    def set_aside(self) -> None:
        """Rename the newest to `<name>.before.safetensors`, and forget the others."""
        for old in self._filed():
            old.unlink(missing_ok=True)
        os.replace(self.newest, self.newest.with_suffix('.before.safetensors'))

    def remove(self) -> None:
        """Remove all of them: nothing is left to go on with."""
        for old in (*self._filed(), self.newest):
            old.unlink(missing_ok=True)

    def _filed(self) -> list[Path]:
        """Numbered checkpoints, the oldest first."""
        pattern = f'{self.newest.stem}-*.safetensors'
        return sorted(
            path
            for path in self.newest.parent.glob(pattern)
            if path.stem.rpartition('-')[2].isdecimal()
        )

    def _file(self, update: int) -> None:
        path = self.newest.with_stem(f'{self.newest.stem}-{update:08d}')
        for old in self._filed():  # after a return to an earlier one, later ones are of no use
            if old >= path:
                old.unlink()
        if not self._keep:
            return
        try:
            os.link(self.newest, path)
        except OSError:  # a file system without links
            with atomic_file(path) as temporary:
                shutil.copyfile(self.newest, temporary)
        for old in self._filed()[: -self._keep]:
            old.unlink(missing_ok=True)


def changed_settings(held: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """What differs, in words; what only one of the two knows does not count.

    Args:
        held: as a JSON file gave them.
        asked: what JSON can hold.
    """
    return sorted(_changed(held, json.loads(json.dumps(asked)), ''))


def _changed(held: Mapping[str, Any], asked: Mapping[str, Any], prefix: str) -> list[str]:
    changed: list[str] = []
    for name in held.keys() & asked.keys():
        old, new = held[name], asked[name]
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            changed += _changed(old, new, f'{prefix}{name}.')
        elif old != new:
            changed.append(f'{prefix}{name} was {old}, not {new}')
    return changed
