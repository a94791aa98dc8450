"""What rosbag2 says about a bag in its `metadata.yaml`, as far as it is needed to read the bag.

The file is looked through before values are made of it: a few bytes with aliases stand for
gigabytes, and so do a few million list entries of one letter.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from genrl_ros.system.files import read_at_most

METADATA: Final = 'metadata.yaml'
MAX_BYTES: Final = 4 * 1024 * 1024
MAX_EVENTS: Final = 400_000
"""Beginnings, ends and values; a topic has about 30, a file 20."""
MAX_DEPTH: Final = 50
LOADER: Final[Any] = getattr(yaml, 'CBaseLoader', yaml.BaseLoader)  # makes text of all values


@dataclass(frozen=True)
class Metadata:
    """What is said about a bag.

    Attributes:
        files: names of its storage files, in the order in which they were recorded.
        compression_mode: `none`, `file` or `message`: what rosbag2 itself compressed.
    """

    files: tuple[str, ...]
    compression_mode: str


def read_metadata(folder: Path) -> Metadata:
    """Read the metadata of a rosbag2 folder.

    Raises:
        FileNotFoundError: if it has none.
        OSError: if they cannot be read.
        ValueError: if they are none.
    """
    content = read_at_most(folder / METADATA, MAX_BYTES)
    about = _parse(content.decode())
    about = _entry(about, 'rosbag2_bagfile_information')
    files, mode = _entry(about, 'relative_file_paths'), _entry(about, 'compression_mode')
    if not isinstance(files, list) or not all(isinstance(name, str) for name in files):
        raise ValueError('it does not say which files the bag has')
    names = dict.fromkeys(Path(name).name for name in files)  # none of them outside of the folder
    return Metadata(tuple(names), mode.lower() if isinstance(mode, str) and mode else 'none')


def _entry(mapping: Any, key: str) -> Any:
    return mapping.get(key) if isinstance(mapping, dict) else None


def _parse(text: str) -> Any:
    try:
        if any(line.lstrip('\ufeff').startswith('%') for line in text.splitlines()):
            raise ValueError('directives (%) are not allowed')
        depth = 0
        for number, event in enumerate(yaml.parse(text, LOADER)):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent):
                raise ValueError('aliases (*) are not allowed')
            if number > MAX_EVENTS or depth > MAX_DEPTH:
                raise ValueError('it has too many values, or too many in each other')
        return yaml.load(text, LOADER)  # a BaseLoader
    except yaml.YAMLError as error:
        raise ValueError(str(error).splitlines()[0][:200]) from None
