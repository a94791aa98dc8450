"""Reads rosbag2 recordings, MCAP and sqlite3, whole or torn: as far as they go, with a report."""

from __future__ import annotations

import functools
import hashlib
import re
import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import yaml
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from genrl_ros.data.bags.mcap import BagError, BagMessage, Damage, read_mcap
from genrl_ros.system.files import open_regular, read_at_most

METADATA = 'metadata.yaml'
UNFINISHED = 'unfinished'
STORAGES = ('.mcap', '.db3')
MAX_METADATA_BYTES = 4 * 1024 * 1024
MAX_MESSAGE_BYTES = 256 * 1024 * 1024


def find_bags(path: Path) -> list[Path]:
    """The bags at a path: one file, one rosbag2 folder, or a folder of them, unfinished ones last.

    Raises:
        BagError: if there is none.
    """
    if path.is_file():
        if path.suffix not in STORAGES:
            raise BagError(f'{path} is no bag: a file that ends in {" or ".join(STORAGES)} is')
        return [path]
    if not path.is_dir():
        raise BagError(f'{path} does not exist')
    if (path / METADATA).exists() or _storage_files(path):
        return [path]
    inside = [folder for folder in sorted(path.iterdir()) if folder.is_dir()]
    unfinished = path / UNFINISHED
    if unfinished.is_dir():
        inside += sorted(folder for folder in unfinished.iterdir() if folder.is_dir())
    bags = [folder for folder in inside if (folder / METADATA).exists() or _storage_files(folder)]
    if not bags:
        raise BagError(f'{path} holds no bag: no {METADATA}, no file that ends in .mcap or .db3')
    return bags


def read_bag(path: Path, topics: Collection[str], damage: Damage) -> Iterator[BagMessage]:
    """Messages of some topics of a bag, in the order in which they were recorded.

    Args:
        path: a storage file or a rosbag2 folder.
        topics: absolute names.
        damage: is told what could not be read.

    Raises:
        BagError: if nothing can be read.
    """
    for file in bag_files(path, damage):
        read = read_mcap if file.suffix == '.mcap' else _read_sqlite
        yield from read(file, topics, damage)


def bag_files(path: Path, damage: Damage) -> list[Path]:
    """The storage files of a bag, in order.

    Raises:
        BagError: if there are none, or if rosbag2 compressed them.
    """
    if path.is_file():
        return [path]
    files = _listed_files(path, damage) or _storage_files(path)
    present = [file for file in files if file.is_file()]
    for file in files:
        if file not in present:
            damage(f'{file} is missing')
    if not present:
        raise BagError(f'{path} has no file that ends in {" or ".join(STORAGES)}')
    return present


def bag_name(path: Path) -> str:
    """A name for the episodes of a bag, from its own name and its contents."""
    digest = hashlib.sha256()
    for file in bag_files(path, lambda _: None):
        size = file.stat().st_size
        digest.update(size.to_bytes(8, 'little'))
        with open_regular(file) as opened:
            digest.update(opened.read(65536))
            opened.seek(max(0, size - 65536))
            digest.update(opened.read(65536))
    stem = re.sub(r'[^A-Za-z0-9_]+', '_', path.stem)[:40]
    return f'{stem}-{digest.hexdigest()[:10]}'


def deserialize(message: BagMessage) -> Any:
    """The fields of a message.

    Raises:
        BagError: if its type is unknown or its data do not fit it.
    """
    store = _typestore()
    if message.type not in store.types:
        raise BagError(f'{message.topic}: the type {message.type[:60]!r} is not known')
    try:
        return store.deserialize_cdr(message.data, message.type)
    except Exception as error:  # whatever the data make the generated reader do
        raise BagError(f'{message.topic}: a message is damaged: {error}') from None


@functools.cache
def _typestore() -> Typestore:
    return get_typestore(Stores.ROS2_JAZZY)


def _storage_files(folder: Path) -> list[Path]:
    files = [file for file in folder.iterdir() if file.suffix in STORAGES]
    return sorted(files, key=lambda file: [int(n) for n in re.findall(r'\d+', file.stem)] or [0])


def _listed_files(folder: Path, damage: Damage) -> list[Path]:
    """The files that the metadata name, none of them outside of the folder."""
    try:
        content = read_at_most(folder / METADATA, MAX_METADATA_BYTES)
        about = yaml.safe_load(content)['rosbag2_bagfile_information']
        paths = [folder / Path(str(name)).name for name in about['relative_file_paths']]
        mode = str(about.get('compression_mode') or '').lower()
    except FileNotFoundError:
        damage(f'{folder} has no {METADATA}, as when the recorder was killed')
        return []
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError, RecursionError) as error:
        damage(f'{folder / METADATA} cannot be used: {str(error).splitlines()[0]}')
        return []
    if mode not in ('', 'none'):
        raise BagError(
            f'{folder} was compressed by rosbag2 (mode {mode[:20]!r}); `ros2 bag convert` it to '
            'MCAP, whose own compression is read'
        )
    return paths


def _read_sqlite(path: Path, topics: Collection[str], damage: Damage) -> Iterator[BagMessage]:
    try:
        # Immutable: nothing is written beside the file, and a lock that was left does not matter.
        connection = sqlite3.connect(f'{path.resolve().as_uri()}?immutable=1', uri=True)
    except sqlite3.Error as error:
        raise BagError(f'{path} cannot be read: {error}') from None
    try:
        connection.execute('PRAGMA writable_schema = ON')  # opens a file that was cut off, too
        known = {}
        for number, name, kind, encoding in connection.execute(
            'SELECT id, name, type, serialization_format FROM topics'
        ):
            if name in topics and encoding == 'cdr':
                known[number] = name, kind
        marks = ','.join('?' * len(known))
        rows = connection.execute(
            'SELECT topic_id, timestamp, CASE WHEN length(data) <= ? THEN data END '
            f'FROM messages WHERE topic_id IN ({marks}) ORDER BY id',
            (MAX_MESSAGE_BYTES, *known),
        )
        for number, arrived_ns, data in rows:
            if isinstance(data, bytes):
                yield BagMessage(*known[number], int(arrived_ns), data)
            else:
                damage(f'{path}: a message on {known[number][0]} is too large, and left out')
    except (sqlite3.Error, ValueError, OverflowError) as error:
        damage(f'{path} is torn or damaged: {error}')
    finally:
        connection.close()
