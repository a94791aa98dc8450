"""Reads the sqlite3 files of rosbag2, whole or torn, and writes nothing beside them.

A database is a program of sorts: tables may be views that never end, columns may be computed, and
pages may refer to each other in circles. Only plain tables are read, and no query may take more
steps than the size of the file explains.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Final

from genrl_ros.data.bags.storage import (
    MAX_BYTES,
    Damage,
    Index,
    Losses,
    TornError,
    bytes_on_disk,
)
from genrl_ros.system.files import open_regular

LOG: Final = '-wal'
"""What a recorder wrote last lies in a file beside the database until sqlite moves it there."""
JOURNAL: Final = '-journal'
"""Never given to sqlite: it deletes a file that a journal names."""
MAX_NAME_BYTES: Final = 1024 * 1024
"""Of whatever is read from a database but the data of messages."""
PLAIN: Final = ('CREATE TABLE', 'CREATE INDEX', 'CREATE UNIQUE INDEX')
STEPS: Final = 10_000
"""Steps of sqlite's machine between two looks at how many there were."""
STEPS_PER_BYTE: Final = 16
"""Steps for each byte of a file; a row has tens of bytes, and takes tens of steps."""
FREE_STEPS: Final = 10_000_000
SQLITE_HEADER: Final = struct.Struct('>16x H 6x I I 60x I')
"""Size of a page, change counter, number of pages, and the counter that this number is for."""


class SqliteFile:
    """An sqlite3 file of rosbag2."""

    def __init__(self, path: Path, topics: Collection[str]) -> None:
        """Name it.

        Args:
            path: the file.
            topics: whose messages are wanted.
        """
        self._path = path
        self._topics = frozenset(topics)
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._connection: sqlite3.Connection | None = None
        self._looks_left = 0

    def scan(self, index: Index, damage: Damage) -> None:
        """Find the messages of the topics, as far as the file goes, and read none yet.

        Raises:
            TornError: if it cannot be looked at.
            BagError: if there are too many messages.
        """
        lost = Losses('messages')
        size = bytes_on_disk(self._path) + self._take_log(damage)
        self._looks_left = (FREE_STEPS + STEPS_PER_BYTE * size) // STEPS
        try:
            connection = self._connected(MAX_NAME_BYTES)
            _check_plain(connection)
            numbers = {
                topic: index.number(name, str(kind), str(encoding))
                for topic, name, kind, encoding in connection.execute(
                    'SELECT id, name, type, serialization_format FROM topics'
                )
                if name in self._topics
            }
            marks = ','.join('?' * len(numbers))
            last = None
            # The planner must not take an index that was put there to lead it round in circles.
            for row, topic, arrived_ns, fits in connection.execute(
                "SELECT rowid, topic_id, timestamp, typeof(data) = 'blob' AND length(data) <= ? "
                "FROM messages NOT INDEXED WHERE typeof(timestamp) = 'integer' "
                f'AND topic_id IN ({marks}) ORDER BY rowid',
                (MAX_BYTES, *numbers),
            ):
                if last is not None and row <= last:
                    raise TornError('its rows are not in order')
                last = row
                if fits:
                    index.add(numbers[topic], arrived_ns, 0, row)
                else:
                    lost.add(f'the first has no data, or more than {MAX_BYTES} bytes')
        except (sqlite3.Error, TornError, OSError) as error:
            endless = 'it takes more steps to read than its size explains'
            reason = endless if self._looks_left < 0 else error
            damage(f'{self._path} is torn or damaged: {reason}')
        finally:
            self._disconnect()
        lost.report(self._path, damage)

    def read(self, block: int, place: int) -> bytes:
        """The data of a message of the index.

        Raises:
            TornError: if they cannot be read.
        """
        try:
            connection = self._connected(MAX_BYTES)
            rows = connection.execute('SELECT data FROM messages WHERE rowid = ?', (place,))
            found = rows.fetchone()
        except (sqlite3.Error, OSError) as error:
            raise TornError(str(error)) from None
        if found is None or not isinstance(found[0], bytes):
            raise TornError('it has disappeared')
        return found[0]

    def close(self) -> None:
        """Let go of the file, and of what was made to read it."""
        self._disconnect()
        if self._copy is not None:
            self._copy.cleanup()
            self._copy = None

    def _connected(self, longest_bytes: int) -> sqlite3.Connection:
        if self._connection is None:
            is_cut_off = _is_cut_off(self._path)  # before sqlite opens it: it may be no file
            if self._copy is not None:
                uri = (Path(self._copy.name) / self._path.name).as_uri()
            else:
                # Nothing is written beside the file, and a lock that was left does not matter.
                uri = f'{self._path.resolve().as_uri()}?immutable=1'
            connection = sqlite3.connect(uri, uri=True)
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, longest_bytes)
            connection.set_progress_handler(self._look, STEPS)
            connection.execute('PRAGMA trusted_schema = OFF')
            connection.execute('PRAGMA cell_size_check = ON')
            if is_cut_off:
                connection.execute('PRAGMA writable_schema = ON')  # opens it all the same
            self._connection = connection
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _look(self) -> bool:
        """Whether sqlite is to give up."""
        self._looks_left -= 1
        return self._looks_left < 0

    def _take_log(self, damage: Damage) -> int:
        """Copy the file with its log, if it has one: sqlite changes both to read them.

        Returns:
            The size of the log.
        """
        if Path(f'{self._path}{JOURNAL}').exists():
            damage(f'{self._path}{JOURNAL} is not read: what was written last may be torn')
        log = Path(f'{self._path}{LOG}')
        if not log.is_file() or not log.stat().st_size:
            return 0
        try:
            size = log.stat().st_size + self._path.stat().st_size
            free = shutil.disk_usage(tempfile.gettempdir()).free
            if size > free:
                raise OSError(errno.ENOSPC, f'{size} bytes are needed, {free} are free')
            self._copy = tempfile.TemporaryDirectory(prefix='genrl_bag_')
            for file in (log, self._path):
                shutil.copyfile(file, Path(self._copy.name) / file.name)
            return bytes_on_disk(log)
        except OSError as error:
            damage(
                f'{log} is left out: it is read in a copy of the bag, which cannot be made in '
                f'{tempfile.gettempdir()} ({error.strerror}); TMPDIR names another folder for it'
            )
            self.close()
            return 0


def _check_plain(connection: sqlite3.Connection) -> None:
    """Raise TornError if there is more to the database than tables with rows in them."""
    for (sql,) in connection.execute('SELECT sql FROM sqlite_master'):
        if sql is not None and not str(sql).upper().startswith(PLAIN):
            raise TornError('it has views, triggers or virtual tables, which no recorder makes')
    for table in ('topics', 'messages'):
        columns = connection.execute(f'PRAGMA table_xinfo({table})').fetchall()
        if any(hidden for *_, hidden in columns):
            raise TornError(f'its table {table!r} has columns that are computed')


def _is_cut_off(path: Path) -> bool:
    """Whether a database is shorter than it says."""
    with open_regular(path) as file:
        head = file.read(SQLITE_HEADER.size)
    if len(head) < SQLITE_HEADER.size:
        return False
    page_bytes, changes, pages, changes_then = SQLITE_HEADER.unpack(head)
    says = pages * (65536 if page_bytes == 1 else page_bytes)
    return changes == changes_then and path.stat().st_size < says
