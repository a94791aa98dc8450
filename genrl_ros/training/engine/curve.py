"""The curve of a training as a CSV file that is the same however often the training was cut."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genrl_ros.system.files import atomic_file


class Curve:
    """Means of metrics over every few updates, one row each.

    A file that exists keeps its columns.

    Args:
        path: the file.
        every: updates a row.
    """

    def __init__(self, path: Path, every: int) -> None:
        self.path, self._every = path, every
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, update: int, metrics: Mapping[str, float], last: bool) -> dict[str, float]:
        """Take in an update's metrics.

        Returns:
            The means of the row that was written with it; empty where none was.

        Raises:
            OSError: naming the file, if it cannot be written.
        """
        for name, value in metrics.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        if update % self._every and not last:
            return {}
        means = {name: total / self._count for name, total in self._sums.items()}
        self._append({'update': str(update)} | {k: f'{mean:.6g}' for k, mean in means.items()})
        self._sums, self._count = {}, 0
        return means

    def cut(self, update: int) -> None:
        """Drop rows after an update, and whatever a killed process left half-written."""
        if not self.path.exists():
            return
        text = self.path.read_text()
        header, *rows = text.splitlines(keepends=True) or ['']
        kept = [
            row
            for row in rows
            if row.endswith('\n')
            and row.count(',') == header.count(',')
            and int(row.split(',')[0]) <= update
        ]
        if not kept:
            self.path.unlink()
        elif len(kept) < len(rows):
            with atomic_file(self.path) as temporary:
                temporary.write_text(''.join([header, *kept]))

    def state_dict(self) -> dict[str, Any]:
        """The row that is not complete yet."""
        return {'sums': dict(self._sums), 'count': self._count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`."""
        self._sums = dict(state.get('sums', {}))
        self._count = int(state.get('count', 0))

    def _append(self, row: Mapping[str, str]) -> None:
        columns = list(row)
        line = io.StringIO()
        if self.path.exists():
            with self.path.open() as file:
                columns = file.readline().strip().split(',')
            writer = csv.DictWriter(line, columns, extrasaction='ignore', lineterminator='\n')
        else:
            writer = csv.DictWriter(line, columns, lineterminator='\n')
            writer.writeheader()
        writer.writerow(row)
        try:
            with self.path.open('a') as file:
                file.write(line.getvalue())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OSError(f'{self.path} cannot be written: {error.strerror}') from error
