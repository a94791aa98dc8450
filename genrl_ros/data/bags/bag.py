"""Reads rosbag2 recordings, MCAP and sqlite3, whole or torn: as far as they go, with a report."""

from __future__ import annotations

import bisect
import functools
import hashlib
import itertools
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final

from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from genrl_ros.data.bags.mcap import McapFile
from genrl_ros.data.bags.metadata import METADATA, read_metadata
from genrl_ros.data.bags.order import in_time
from genrl_ros.data.bags.sqlite import LOG, SqliteFile
from genrl_ros.data.bags.storage import (
    MAX_MESSAGES,
    BagError,
    BagMessage,
    Damage,
    Index,
    Losses,
    Storage,
    TornError,
)
from genrl_ros.system.files import open_regular

UNFINISHED: Final = 'unfinished'
STORAGES: Final = ('.mcap', '.db3')
FROM_ROS1: Final = 'convert it with `rosbags-convert --src FILE.bag --dst FOLDER`'
OTHERS: Final = {
    '.bag': f'a bag of ROS 1: {FROM_ROS1}',
    '.zstd': 'compressed by rosbag2, which is not read: unpack it with `zstd -d FILE`',
}
"""What other files of recordings are, by how their names end."""
MAX_NAMED: Final = 10
"""Files that are named one by one if they are missing."""


def find_bags(path: Path) -> list[Path]:
    """The bags at a path: one file, one rosbag2 folder, or a folder of both, unfinished ones last.

    Raises:
        BagError: if there is none.
    """
    if path.is_file():
        if path.suffix not in STORAGES:
            other = f'no bag: a file that ends in {" or ".join(STORAGES)} is'
            raise BagError(f'{path} is {OTHERS.get(path.suffix, other)}')
        return [path]
    if not path.is_dir():
        raise BagError(f'{path} does not exist')
    if (path / METADATA).exists():
        return [path]
    inside = [folder for folder in sorted(path.iterdir()) if folder.is_dir()]
    unfinished = path / UNFINISHED
    if unfinished.is_dir():
        inside += sorted(folder for folder in unfinished.iterdir() if folder.is_dir())
    bags = [bag for folder in (path, *inside) for bag in _bags_in(folder)]
    if not bags:
        for file in sorted(file for folder in (path, *inside) for file in folder.iterdir()):
            if file.suffix in OTHERS:
                raise BagError(f'{file} is {OTHERS[file.suffix]}')
        raise BagError(f'{path} holds no bag: no {METADATA}, no file that ends in .mcap or .db3')
    return bags


def read_bag(path: Path, topics: Collection[str], damage: Damage) -> Iterator[BagMessage]:
    """Messages of some topics of a bag, in the order in which they arrived.

    `data.bags.order` says which order that is. A message that two files hold is given once.

    Args:
        path: a storage file or a rosbag2 folder.
        topics: absolute names.
        damage: is told what could not be read.

    Raises:
        BagError: if nothing can be read, or too much.
    """
    storages: list[Storage] = []
    indexes: list[Index] = []
    unreadable = []
    try:
        for file in bag_files(path, damage):
            storages.append((McapFile if file.suffix == '.mcap' else SqliteFile)(file, topics))
            indexes.append(Index(MAX_MESSAGES - sum(map(len, indexes))))
            try:
                storages[-1].scan(indexes[-1], damage)
            except TornError as error:
                unreadable.append(str(error))
        if len(unreadable) == len(storages):
            raise BagError(unreadable[0])
        for text in unreadable:
            damage(text)
        yield from _in_order(path, storages, indexes, damage)
    finally:
        for storage in storages:
            storage.close()


def bag_files(path: Path, damage: Damage) -> list[Path]:
    """The storage files of a bag, in order.

    Raises:
        BagError: if there are none, or if rosbag2 compressed them.
    """
    if path.is_file():
        return [path]
    files = _storage_files(path)
    try:
        metadata = read_metadata(path)
    except FileNotFoundError:
        damage(f'{path} has no {METADATA}, as when the recorder was killed')
    except (OSError, ValueError) as error:
        damage(f'{path / METADATA} cannot be used: {error}')
    else:
        if metadata.compression_mode != 'none':
            raise BagError(
                f'{path} was compressed by rosbag2 (mode {metadata.compression_mode[:20]!r}): '
                '`ros2 bag convert` it to MCAP, whose own compression is read'
            )
        files = _compared(path, files, metadata.files, damage)
    if not files:
        raise BagError(f'{path} has no file that ends in {" or ".join(STORAGES)}')
    return files


def bag_name(path: Path) -> str:
    """A name for the episodes of a bag, from its own name and its contents.

    Raises:
        BagError: if it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for file in bag_files(path, lambda _: None):
            for part in (file, Path(f'{file}{LOG}')):
                if part.is_file():
                    _add_ends(digest, part)
    except OSError as error:
        raise BagError(f'{error.filename} cannot be read: {error.strerror}') from None
    stem = re.sub(r'[^A-Za-z0-9_]+', '_', path.stem)[:40]
    return f'{stem}-{digest.hexdigest()[:10]}'


def deserialize(message: BagMessage, kind: str) -> Any:
    """The fields of a message.

    Args:
        message: of a bag.
        kind: the type that it has to have.

    Raises:
        BagError: if it has another one or is not serialized as in ROS 2, the type is unknown, or
            the data do not fit it.
    """
    if message.encoding != 'cdr':
        raise BagError(_encoding_problem(message.encoding))
    if message.type != kind:
        raise BagError(f'type {message.type[:60]} where {kind} is expected')
    store = typestore()
    if kind not in store.types:
        raise BagError(f'the type {kind[:60]!r} is not known')
    try:
        return store.deserialize_cdr(message.data, kind)
    except Exception as error:  # whatever the data make the generated reader do
        raise BagError(f'a message is damaged: {error}') from None


def _encoding_problem(encoding: str) -> str:
    if encoding == 'ros1':
        cure = f'take the bag of ROS 1 that it was made of, and {FROM_ROS1}'
    else:
        cure = 'record the topics of ROS 2 with `ros2 bag record`, or write the messages as CDR'
    return f'messages in the encoding {encoding[:20]!r}; only CDR, that of ROS 2, is read: {cure}'


@functools.cache
def typestore() -> Typestore:
    """The messages that this package reads and writes."""
    return get_typestore(Stores.ROS2_JAZZY)


def _bags_in(folder: Path) -> list[Path]:
    """A rosbag2 folder, or storage files that were put into a folder, each a bag of its own.

    Without metadata, files are splits of one bag only if they have the names that rosbag2 gives
    them, `<folder>_0` and so on: two recordings whose clocks began at 0 must not be merged.
    """
    if (folder / METADATA).exists():
        return [folder]
    files = _storage_files(folder)
    if len(files) > 1 and any(_without_number(file) != folder.name for file in files):
        return files
    return [folder] if files else []


def _storage_files(folder: Path) -> list[Path]:
    files = [file for file in folder.iterdir() if file.suffix in STORAGES and file.is_file()]
    return sorted(files, key=lambda file: [int(n) for n in re.findall(r'\d+', file.stem)] or [0])


def _without_number(file: Path) -> str:
    """What the names of all splits of a bag begin with."""
    return re.sub(r'_\d+$', '', file.stem)


def _compared(
    folder: Path, there: list[Path], listed: tuple[str, ...], damage: Damage
) -> list[Path]:
    """The files of a bag, of those in its folder, given those that its metadata list."""
    files = [folder / name for name in listed]
    missing = [file for file in files if file not in there]
    for file in missing[:MAX_NAMED]:
        damage(f'{str(file)!r} is missing, which {METADATA} lists')
    if len(missing) > MAX_NAMED:
        damage(f'{folder}: {len(missing) - MAX_NAMED} more files that are listed are missing')
    names = {_without_number(file) for file in files}
    found = [file for file in files if file in there]
    for file in there:
        if file in files:
            continue
        if missing or _without_number(file) in names:
            damage(f'{file} is read, though {METADATA} does not list it')
            found.append(file)
        else:
            damage(
                f'{file} is left out: {METADATA} does not list it, and it has not the name of a '
                'split of the bag; name it by itself if it is wanted'
            )
    return found


def _in_order(
    path: Path, storages: list[Storage], indexes: list[Index], damage: Damage
) -> Iterator[BagMessage]:
    order = in_time(indexes)
    ends = list(itertools.accumulate(map(len, indexes)))
    left = [len(index) for index in indexes]
    lost = [Losses('messages') for _ in indexes]
    doubled = 0
    newest: dict[str, tuple[int, BagMessage]] = {}
    for row in map(int, order.rows):
        number = bisect.bisect_right(ends, row)
        index, storage = indexes[number], storages[number]
        at = row - ends[number] + len(index)
        left[number] -= 1
        try:
            data = storage.read(index.block[at], index.place[at])
        except TornError as error:
            lost[number].add(error)
            continue
        finally:
            if not left[number]:
                storage.close()
        source = index.sources[index.source[at]]
        message = BagMessage(
            source.topic, source.type, index.arrived_ns[at], data, source.encoding,
            int(order.setbacks[row]),
        )  # fmt: skip
        before, last = newest.get(source.topic, (number, None))
        newest[source.topic] = number, message
        if before != number and message == last:
            doubled += 1
        else:
            yield message
    for index_lost in lost:
        index_lost.report(path, damage)
    if doubled:
        damage(f'{path}: {doubled} messages lie in two files, and count once')


def _add_ends(digest: Any, file: Path) -> None:
    """Add the size of a file, its beginning and its end to a digest."""
    size = file.stat().st_size
    digest.update(size.to_bytes(8, 'little'))
    with open_regular(file) as opened:
        digest.update(opened.read(65536))
        opened.seek(max(0, size - 65536))
        digest.update(opened.read(65536))
