"""Reads MCAP files record by record, as far as they go: a torn file gives all that is whole in it.

Nothing is believed before it is checked: a record that says it is longer than the file, or a chunk
that unpacks to more than it says, ends or skips the reading with a reason, and allocates nothing.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from genrl_ros.system.files import open_regular

MAGIC = b'\x89MCAP0\r\n'
FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK = 0x02, 0x03, 0x04, 0x05, 0x06
MAX_RECORD_BYTES = 512 * 1024 * 1024
MAX_CHUNK_BYTES = 512 * 1024 * 1024

Damage = Callable[[str], None]


class BagError(ValueError):
    """A bag cannot be read; the message says which file, and why."""


@dataclass(frozen=True)
class BagMessage:
    """A message as it was recorded.

    Attributes:
        topic: absolute name of its topic.
        type: such as `sensor_msgs/msg/Image`.
        arrived_ns: when the recorder got it.
        data: serialized as CDR.
    """

    topic: str
    type: str
    arrived_ns: int
    data: bytes


def read_mcap(path: Path, topics: Collection[str], damage: Damage) -> Iterator[BagMessage]:
    """Messages of some topics, in the order of the file (of time, within a chunk).

    Args:
        path: the file.
        topics: absolute names.
        damage: is told what could not be read.

    Raises:
        BagError: if this is no MCAP file at all.
    """
    try:
        size = path.stat().st_size
        file = open_regular(path)
    except OSError as error:
        raise BagError(f'{path} cannot be read: {error.strerror}') from None
    with file:
        if file.read(len(MAGIC)) != MAGIC:
            raise BagError(f'{path} is no MCAP file')
        scan = _Scan(frozenset(topics))
        try:
            for kind, body in _records(file, size):
                if kind != CHUNK:
                    yield from scan.take(kind, body)
                    continue
                try:
                    found = [m for record in _chunk(body) for m in scan.take(*record)]
                except _TornError as error:
                    damage(f'{path}: a chunk is left out: {error}')
                    continue
                yield from sorted(found, key=lambda message: message.arrived_ns)
        except _TornError as error:
            damage(f'{path}: {error}')


class _TornError(Exception):
    """The rest of what is read cannot be read."""


@dataclass
class _Scan:
    """What schemas and channels said so far."""

    topics: frozenset[str]
    schemas: dict[int, str] = field(default_factory=dict)
    channels: dict[int, tuple[str, str]] = field(default_factory=dict)

    def take(self, kind: int, body: bytes) -> Iterator[BagMessage]:
        try:
            if kind == SCHEMA:
                (number,) = struct.unpack_from('<H', body)
                self.schemas[number], _ = _text(body, 2)
            elif kind == CHANNEL:
                number, schema = struct.unpack_from('<HH', body)
                topic, end = _text(body, 4)
                encoding, _ = _text(body, end)
                if topic in self.topics and encoding == 'cdr':
                    self.channels[number] = (topic, self.schemas.get(schema, ''))
            elif kind == MESSAGE:
                number, _, arrived_ns, _ = struct.unpack_from('<HIQQ', body)
                if number in self.channels:
                    yield BagMessage(*self.channels[number], arrived_ns, body[22:])
        except (struct.error, UnicodeDecodeError):
            raise _TornError('a record is not what it should be') from None


def _records(file: BinaryIO, size: int) -> Iterator[tuple[int, bytes]]:
    """Kinds and bodies of the records that matter, up to the footer."""
    position = len(MAGIC)
    while position + 9 <= size:
        kind, length = struct.unpack('<BQ', file.read(9))
        if length > size - position - 9:
            raise _TornError(f'it is torn: a record at byte {position} goes on beyond the end')
        position += 9 + length
        if kind == FOOTER:
            return
        if kind not in (SCHEMA, CHANNEL, MESSAGE, CHUNK):
            file.seek(length, 1)
        elif length > MAX_RECORD_BYTES:
            raise _TornError(f'a record has {length} bytes; {MAX_RECORD_BYTES} are allowed')
        else:
            yield kind, file.read(length)
    raise _TornError('it is torn: it has no end, as when the recorder was killed')


def _chunk(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Records of a chunk, unpacked within the size that it says."""
    try:
        _, _, size, crc = struct.unpack_from('<QQQI', body)
        compression, start = _text(body, 28)
        (length,) = struct.unpack_from('<Q', body, start)
    except (struct.error, UnicodeDecodeError):
        raise _TornError('it is not what it should be') from None
    packed = body[start + 8 : start + 8 + length]
    if size > MAX_CHUNK_BYTES:
        raise _TornError(f'it says it has {size} bytes; {MAX_CHUNK_BYTES} are allowed')
    raw = _unpack(packed, compression, size)
    if len(raw) != size or (crc and binascii.crc32(raw) != crc):
        raise _TornError('its size or checksum is wrong')
    position = 0
    while position + 9 <= size:
        kind, length = struct.unpack_from('<BQ', raw, position)
        position += 9
        if length > size - position:
            raise _TornError('a record goes on beyond its end')
        yield kind, raw[position : position + length]
        position += length


def _unpack(packed: bytes, compression: str, size: int) -> bytes:
    """At most one byte more than `size` is unpacked, whatever the data would become."""
    if compression == '':
        return packed
    try:
        if compression == 'zstd':
            from backports.zstd import ZstdDecompressor

            return ZstdDecompressor().decompress(packed, size + 1)
        if compression == 'lz4':
            from lz4.frame import LZ4FrameDecompressor

            return LZ4FrameDecompressor().decompress(packed, max_length=size + 1)
    except Exception as error:  # each library has a type of its own for damage
        raise _TornError(f'it cannot be unpacked: {error}') from None
    raise _TornError(f'its compression {compression[:20]!r} is unknown')


def _text(body: bytes, start: int) -> tuple[str, int]:
    (length,) = struct.unpack_from('<I', body, start)
    end = start + 4 + length
    if end > len(body):
        raise _TornError('a text goes on beyond the end of its record')
    return body[start + 4 : end].decode(), end
