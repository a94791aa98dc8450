"""Reads MCAP files record by record, as far as they go: a torn file gives all that is whole in it.

Nothing is believed before it is checked: a record that says it is longer than the file, or a chunk
that unpacks to more than it says, ends or skips the reading with a reason, and allocates nothing.
At most one chunk is in memory while a file is scanned, and `MAX_HELD_BYTES` of them while its
messages are read in an order that is not that of the file. What is unpacked, and how many records
are looked at, is limited by the size of the file.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from genrl_ros.data.bags.storage import (
    MAX_BYTES,
    MAX_NAME,
    MAX_TIME_NS,
    BagError,
    Damage,
    Index,
    Losses,
    TornError,
    bytes_on_disk,
)
from genrl_ros.system.files import open_regular

MAGIC = b'\x89MCAP0\r\n'
FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK = 0x02, 0x03, 0x04, 0x05, 0x06
WANTED = (SCHEMA, CHANNEL, MESSAGE, CHUNK)
RECORD = struct.Struct('<BQ')
MESSAGE_HEAD = struct.Struct('<HIQQ')
MAX_HELD_BYTES: Final = 2 * MAX_BYTES
MAX_RATIO: Final = 10_000
"""Bytes that are unpacked for each of a file; pictures without any content come close to it."""
FREE_RECORDS: Final = 1 << 20
"""Records that a file may have beyond one a byte, which no recorder comes close to."""
FILE: Final = -1
"""The block of messages that lie in the file as they are."""


@dataclass
class _Chunk:
    """A compressed chunk.

    Attributes:
        start: where its record's body begins in the file.
        length: of the body.
        left: messages that have not been read yet.
    """

    start: int
    length: int
    left: int


class McapFile:
    """An MCAP file."""

    def __init__(self, path: Path, topics: Collection[str]) -> None:
        """Name it.

        Args:
            path: the file.
            topics: whose messages are wanted.
        """
        self._path = path
        self._topics = frozenset(topics)
        self._file: BinaryIO | None = None
        self._chunks: list[_Chunk] = []
        self._held: dict[int, memoryview] = {}

    def scan(self, index: Index, damage: Damage) -> None:
        """Find the messages of the topics, as far as the file goes, and read none yet.

        Raises:
            TornError: if this is no MCAP file.
            BagError: if there are too many messages.
        """
        file = self._opened()
        try:
            size = self._path.stat().st_size
            if file.read(len(MAGIC)) != MAGIC:
                raise TornError(f'{self._path} is no MCAP file')
            scan = _Scan(self._topics, index, bytes_on_disk(self._path))
            chunks, torn = Losses('chunks'), None
            try:
                for kind, start, length in _records(file, size):
                    scan.check_effort()
                    if kind not in WANTED:
                        continue
                    if kind != CHUNK:
                        needed = MESSAGE_HEAD.size if kind == MESSAGE else length
                        scan.take(kind, _read(file, start, min(needed, length)), FILE, start)
                        continue
                    try:
                        self._scan_chunk(scan, _read(file, start, length), start)
                    except TornError as error:
                        chunks.add(error)
            except TornError as error:
                torn = f'{self._path}: {error}'
            chunks.report(self._path, damage)
            scan.lost.report(self._path, damage)
            if torn:
                damage(torn)
        except OSError as error:
            raise TornError(f'{self._path} cannot be read: {error.strerror}') from None
        finally:
            self.close()

    def read(self, block: int, place: int) -> bytes:
        """The data of a message of the index.

        Raises:
            TornError: if they cannot be read.
            BagError: if chunks overlap so much that not all can be kept in memory.
        """
        try:
            file = self._opened()
            if block == FILE:
                _, length = RECORD.unpack(_read(file, place - RECORD.size, RECORD.size))
                return _read(file, place, length)[MESSAGE_HEAD.size :]
            chunk = self._chunks[block]
            if block not in self._held:
                raw, _ = _unpack(_read(file, chunk.start, chunk.length))
                self._held[block] = raw
                self._check_held()
            raw = self._held[block]
            chunk.left -= 1
            if not chunk.left:
                del self._held[block]
            _, length = RECORD.unpack_from(raw, place - RECORD.size)
        except (OSError, struct.error) as error:
            raise TornError(f'it has changed: {error}') from None
        return bytes(raw[place + MESSAGE_HEAD.size : place + length])

    def close(self) -> None:
        """Let go of memory and of the file; it may be read on all the same."""
        self._held.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> BinaryIO:
        if self._file is None:
            try:
                self._file = open_regular(self._path)
            except OSError as error:
                raise TornError(f'{self._path} cannot be read: {error.strerror}') from None
        return self._file

    def _scan_chunk(self, scan: _Scan, body: bytes, start: int) -> None:
        """Add the messages of a chunk, all or none."""
        before = len(scan.index)
        raw, packed_at = _unpack(body)
        scan.unpacked += len(raw)
        block, shift = (len(self._chunks), 0) if packed_at is None else (FILE, start + packed_at)
        position = 0
        try:
            while position + RECORD.size <= len(raw):
                scan.check_effort()
                kind, length = RECORD.unpack_from(raw, position)
                position += RECORD.size
                if length > len(raw) - position:
                    raise TornError('a record goes on beyond its end')
                scan.take(kind, raw[position : position + length], block, shift + position)
                position += length
        except TornError:
            scan.index.truncate(before)
            raise
        if packed_at is None and len(scan.index) > before:
            self._chunks.append(_Chunk(start, len(body), len(scan.index) - before))

    def _check_held(self) -> None:
        if sum(map(len, self._held.values())) > MAX_HELD_BYTES:
            raise BagError(
                f'{self._path} has its messages in another order than they arrived in, and more '
                f'than {MAX_HELD_BYTES >> 20} MiB of it would have to be unpacked at once; put it '
                'in order with `mcap sort`'
            )


class _Scan:
    """What was found in a file so far.

    Attributes:
        index: of the messages.
        unpacked: bytes that chunks had.
        lost: messages whose time is none.
    """

    def __init__(self, topics: frozenset[str], index: Index, size: int) -> None:
        self.index = index
        self.unpacked = 0
        self.lost = Losses('messages')
        self._topics = topics
        self._max_records = size + FREE_RECORDS
        self._max_unpacked = size * MAX_RATIO + MAX_BYTES
        self._records = 0
        self._schemas: dict[int, str] = {}
        self._channels: dict[int, int] = {}

    def check_effort(self) -> None:
        """Called for each record: whether the size of the file explains so many of them."""
        self._records += 1
        if self._records > self._max_records or self.unpacked > self._max_unpacked:
            raise TornError('it unpacks to far more than its size explains; nothing more is read')

    def take(self, kind: int, body: bytes | memoryview, block: int, place: int) -> None:
        """Look at a record that is no chunk; of a message, its head is enough."""
        try:
            if kind == MESSAGE:
                channel, _, arrived_ns, _ = MESSAGE_HEAD.unpack_from(body)
                if channel not in self._channels:
                    return
                if arrived_ns > MAX_TIME_NS:
                    self.lost.add(f'{arrived_ns} ns is no time')
                    return
                self.index.add(self._channels[channel], arrived_ns, block, place)
            elif kind == SCHEMA:
                (number,) = struct.unpack_from('<H', body)
                self._schemas[number], _ = _text(body, 2)
            elif kind == CHANNEL:
                channel, schema = struct.unpack_from('<HH', body)
                topic, end = _text(body, 4)
                self._channels.pop(channel, None)
                if topic in self._topics:
                    encoding, _ = _text(body, end)
                    kind_of = self._schemas.get(schema, '')
                    self._channels[channel] = self.index.number(topic, kind_of, encoding)
        except (struct.error, UnicodeDecodeError):
            raise TornError('a record is not what it should be') from None


def _records(file: BinaryIO, size: int) -> Iterator[tuple[int, int, int]]:
    """Kinds, places and lengths of the records, up to the footer."""
    position = len(MAGIC)
    while position + RECORD.size <= size:
        kind, length = RECORD.unpack(_read(file, position, RECORD.size))
        position += RECORD.size
        if length > size - position:
            raise TornError(f'it is torn: a record at byte {position} goes on beyond the end')
        if kind == FOOTER:
            return
        yield kind, position, length
        position += length
    raise TornError('it is torn: it has no end, as when the recorder was killed')


def _read(file: BinaryIO, start: int, length: int) -> bytes:
    if length > MAX_BYTES:
        raise TornError(f'a record has {length} bytes; {MAX_BYTES} are allowed')
    file.seek(start)
    content = file.read(length)
    if len(content) < length:
        raise TornError('it has become shorter')
    return content


def _unpack(body: bytes) -> tuple[memoryview, int | None]:
    """The records of a chunk, within the size that it says.

    Returns:
        The records, and where in the body they lie; None if they are compressed.
    """
    try:
        _, _, size, crc = struct.unpack_from('<QQQI', body)
        compression, start = _text(body, 28)
        (length,) = struct.unpack_from('<Q', body, start)
    except (struct.error, UnicodeDecodeError):
        raise TornError('it is not what it should be') from None
    if size > MAX_BYTES:
        raise TornError(f'it says it has {size} bytes; {MAX_BYTES} are allowed')
    packed = memoryview(body)[start + 8 : start + 8 + length]
    raw = memoryview(_decompress(packed, compression, size)) if compression else packed
    if len(raw) != size or (crc and binascii.crc32(raw) != crc):
        raise TornError('its size or checksum is wrong')
    return raw, None if compression else start + 8


def _decompress(packed: memoryview, compression: str, size: int) -> bytes:
    """At most one byte more than `size` is unpacked, whatever the data would become."""
    try:
        if compression == 'zstd':
            from backports.zstd import ZstdDecompressor

            return ZstdDecompressor().decompress(packed, size + 1)
        if compression == 'lz4':
            from lz4.frame import LZ4FrameDecompressor

            return LZ4FrameDecompressor().decompress(packed, max_length=size + 1)
    except Exception as error:  # each library has a type of its own for damage
        raise TornError(f'it cannot be unpacked: {error}') from None
    raise TornError(f'its compression {compression[:20]!r} is unknown')


def _text(body: bytes | memoryview, start: int) -> tuple[str, int]:
    (length,) = struct.unpack_from('<I', body, start)
    end = start + 4 + length
    if end > len(body):
        raise TornError('a text goes on beyond the end of its record')
    if length > MAX_NAME:
        raise TornError(f'a name has {length} letters; {MAX_NAME} are allowed')
    return bytes(body[start + 4 : end]).decode(), end
