"""Entries of a manifest that are not in it yet, a line each: one more costs one line."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genrl_ros.system.files import open_regular, sync

MAX_BYTES = 1_000_000_000
"""More than any dataset has; a larger file is not read."""


class Journal:
    """The file of these lines; what a killed process left of a last line is no entry.

    Args:
        path: the file, which is there only while there are entries.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._is_whole = False

    def read(self) -> dict[str, dict[str, Any]]:
        """All entries by the name of their episode, in their order.

        Raises:
            ValueError: if a whole line is no entry, or the file is too large.
            OSError: if it cannot be read.
        """
        entries: dict[str, dict[str, Any]] = {}
        for line in self._whole_lines().splitlines():
            name, entry = json.loads(line)
            if not isinstance(name, str) or not isinstance(entry, dict):
                raise ValueError(f'{line[:80]!r} is no name and entry')
            if type(entry['frames']) is not int or type(entry['kind']) is not str:
                raise ValueError(f'{line[:80]!r} has no frames and kind')
            entries[name] = entry
        return entries

    def add(self, name: str, entry: Mapping[str, Any]) -> None:
        """Write an entry; when this returns, it is on the disk.

        Raises:
            OSError: naming the file, if it cannot be written.
        """
        is_new = not self.path.exists()
        if not is_new and not self._is_whole:
            os.truncate(self.path, len(self._whole_lines()))
        self._is_whole = False
        try:
            with self.path.open('a', encoding='utf-8') as file:
                file.write(json.dumps([name, entry]) + '\n')
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        self._is_whole = True
        if is_new:
            sync(self.path.parent)

    def remove(self) -> None:
        """Remove the file, once the manifest has its entries."""
        self.path.unlink(missing_ok=True)

    def _whole_lines(self) -> bytes:
        try:
            with open_regular(self.path) as file:
                content = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return b''
        if len(content) > MAX_BYTES:
            raise ValueError(f'it has more than {MAX_BYTES} bytes')
        return content[: content.rfind(b'\n') + 1]
