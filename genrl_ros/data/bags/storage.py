"""What a storage file of a bag gives, whatever its format: an index of its messages, then each."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

MAX_BYTES: Final = 256 * 1024 * 1024
"""Of a message, of a record, and of what a chunk unpacks to."""
MAX_MESSAGES: Final = 1 << 24
"""Of a bag, on the topics that are read; the index takes 22 bytes for each."""
MAX_SOURCES: Final = 1000
"""Topics of one file, each type and encoding of a topic apart."""
MAX_NAME: Final = 1024
"""Letters of a topic, a type or an encoding."""
MAX_TIME_NS: Final = (1 << 63) - 1

Damage = Callable[[str], None]


class BagError(ValueError):
    """A bag cannot be read; the message says which file, and why."""


class TornError(Exception):
    """A part of a storage file cannot be read; the message says why."""


@dataclass(frozen=True)
class Source:
    """Where messages come from.

    Attributes:
        topic: absolute name.
        type: such as `sensor_msgs/msg/Image`.
        encoding: such as `cdr`, which ROS 2 uses, or `json`.
    """

    topic: str
    type: str
    encoding: str


@dataclass(frozen=True)
class BagMessage:
    """A message as it was recorded.

    Attributes:
        topic: absolute name of its topic.
        type: such as `sensor_msgs/msg/Image`.
        arrived_ns: when the recorder got it, by the recorder's clock.
        data: serialized.
        encoding: how it is serialized; ROS 2 uses `cdr`.
        setbacks: how often the recorder's clock had been set back before it.
    """

    topic: str
    type: str
    arrived_ns: int
    data: bytes
    encoding: str = 'cdr'
    setbacks: int = 0


class Index:
    """The messages of a storage file, in the order in which they lie there.

    Attributes:
        sources: where they come from.
        source: of each message, its number in `sources`.
        arrived_ns: of each message.
        block: of each message, the part of the file that holds it; only the file knows what it is.
        place: of each message, its place in that part.
    """

    def __init__(self, room: int = MAX_MESSAGES) -> None:
        """Begin.

        Args:
            room: the most messages that may be added.
        """
        self.sources: list[Source] = []
        self.source = array('H')
        self.arrived_ns = array('q')
        self.block = array('i')
        self.place = array('q')
        self._room = room
        self._numbers: dict[Source, int] = {}

    def __len__(self) -> int:
        return len(self.source)

    def number(self, topic: str, kind: str, encoding: str) -> int:
        """The number of a source, which is new or known.

        Raises:
            TornError: if there are more sources than any recorder writes, or longer names.
        """
        source = Source(topic, kind, encoding)
        number = self._numbers.setdefault(source, len(self.sources))
        if number == len(self.sources):
            if number == MAX_SOURCES:
                del self._numbers[source]
                raise TornError(f'it has more than {MAX_SOURCES} types of messages')
            if max(map(len, (topic, kind, encoding))) > MAX_NAME:
                del self._numbers[source]
                raise TornError(f'a name is longer than {MAX_NAME} letters')
            self.sources.append(source)
        return number

    def add(self, number: int, arrived_ns: int, block: int, place: int) -> None:
        """Add a message.

        Raises:
            BagError: if there is no room for it.
        """
        if len(self.source) == self._room:
            raise BagError(
                f'there are more than {MAX_MESSAGES} messages on the topics of the robot; '
                'make several bags of it with `ros2 bag convert`'
            )
        self.source.append(number)
        self.arrived_ns.append(arrived_ns)
        self.block.append(block)
        self.place.append(place)

    def truncate(self, length: int) -> None:
        """Forget all messages but the first ones."""
        for column in (self.source, self.arrived_ns, self.block, self.place):
            del column[length:]


class Storage(Protocol):
    """A storage file."""

    def scan(self, index: Index, damage: Damage) -> None:
        """Find the messages of the topics, as far as the file goes, and read none yet.

        Args:
            index: is filled in.
            damage: is told what could not be read.

        Raises:
            TornError: if nothing can be read.
            BagError: if there are too many messages.
        """

    def read(self, block: int, place: int) -> bytes:
        """The data of a message of the index.

        Raises:
            TornError: if they cannot be read.
            BagError: if nothing more can be read.
        """

    def close(self) -> None:
        """Let go of memory, of the file and of what was made to read it."""


def bytes_on_disk(path: Path) -> int:
    """What a file takes of the disk, by which the effort for it is limited: holes do not count.

    Raises:
        TornError: if it cannot be looked at.
    """
    try:
        about = path.stat()
    except OSError as error:
        raise TornError(f'{path} cannot be read: {error.strerror}') from None
    taken = about.st_blocks * 512  # 0 on file systems that do not tell
    return min(about.st_size, taken) if taken else about.st_size


class Losses:
    """Counts what is left out of a file, so that a file with a million faults has one line."""

    def __init__(self, what: str) -> None:
        """Begin.

        Args:
            what: is left out, such as `messages`.
        """
        self._what = what
        self._count = 0
        self._first = ''

    def add(self, reason: object) -> None:
        """One more is left out."""
        self._first = self._first or str(reason)
        self._count += 1

    def report(self, path: Path, damage: Damage) -> None:
        """Tell how many, if any, and why the first one is."""
        if self._count:
            damage(f'{path}: {self._count} {self._what} are left out: {self._first}')
