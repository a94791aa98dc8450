"""Which recordings a dataset was made of, so that none is in it twice, or in two forms."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genrl_ros.data.bags.bag import read_bag
from genrl_ros.data.bags.recipe import Recipe
from genrl_ros.data.store.episode_file import EpisodeError
from genrl_ros.data.store.episode_store import EpisodeStore

HOW = 'made_with'
WHICH = 'recordings'


@dataclass(frozen=True)
class Recording:
    """What a bag holds of a robot, whatever its files are called, and however they are packed.

    Attributes:
        path: where the bag was.
        sha256: of all messages of the robot.
        images: number of images.
        messages: number of all messages of the robot.
        beginnings: hashes of the first 1, 2, 4, 8, ... images and their times of arrival, which a
            recording that goes on has in common with what it was before.
        is_complete: whether all of its episodes are in the dataset.
    """

    path: str
    sha256: str
    images: int
    messages: int
    beginnings: tuple[str, ...]
    is_complete: bool = False

    def is_of_the_same_run(self, other: Recording) -> bool:
        """Whether one is the other, or the beginning of it."""
        common = min(len(self.beginnings), len(other.beginnings))
        return common > 0 and self.beginnings[common - 1] == other.beginnings[common - 1]


def read_recording(path: Path, recipe: Recipe) -> Recording:
    """What a bag holds of a robot; reads all of it.

    Raises:
        BagError: if nothing can be read.
    """
    topics = {stream.topic for stream in recipe.streams}
    everything, of_images = hashlib.sha256(), hashlib.sha256()
    images, messages, beginnings = 0, 0, []
    for message in read_bag(path, topics, lambda _: None):
        head = f'{message.topic} {message.arrived_ns} {len(message.data)}\n'.encode()
        everything.update(head + message.data)
        messages += 1
        if message.topic == recipe.camera.topic:
            of_images.update(head + message.data)
            images += 1
            if images.bit_count() == 1:
                beginnings.append(of_images.hexdigest()[:16])
    return Recording(str(path), everything.hexdigest(), images, messages, tuple(beginnings))


class Recordings:
    """The recordings that are in a dataset, as its manifest has them.

    Args:
        store: the dataset.
        how: all that makes a difference to the episodes of a bag.

    Raises:
        EpisodeError: if the dataset was made in another way.
    """

    def __init__(self, store: EpisodeStore, how: Mapping[str, Any]) -> None:
        self.store = store
        held, wanted = store.manifest.get(HOW, {}), flat(how)
        if not store.episode_ids:
            store.manifest |= {HOW: wanted, WHICH: {}}
            store.seal()
            return
        different = [
            f'{name} was {_short(held.get(name))} and is {_short(wanted.get(name))}'
            for name in sorted({*held, *wanted})
            if held.get(name) != wanted.get(name)
        ]
        if different:
            by = 'it does not say how it was made: by `genrl collect`, or by an older version'
            what = different if held else [by]
            text = (
                f'{store.path} was made with another embodiment file or other options, and would '
                'hold episodes of two kinds. Remove it and ingest all bags again, or choose '
                'another folder with --out:'
            )
            raise EpisodeError('\n  - '.join([text, *what]))

    def known(self, recording: Recording) -> str:
        """Which recording in the dataset makes another one superfluous; empty if none does."""
        size = recording.images, recording.messages
        for name, other in self._held().items():
            whole = other.is_complete and (other.images, other.messages) >= size
            same = other.sha256 == recording.sha256
            if whole and (same or other.is_of_the_same_run(recording)):
                return name
        return ''

    def path(self, name: str) -> str:
        """Where the bag of a recording was."""
        return self._held()[name].path

    def begin(self, name: str, recording: Recording) -> list[str]:
        """Enter a recording before its episodes, in place of those that it continues.

        Returns:
            Where those were.
        """
        old = {
            key: other
            for key, other in self._held().items()
            if key != name and other.is_of_the_same_run(recording)
        }
        for key in old:
            self.store.remove(self.store.made_from(key))
            del self.store.manifest[WHICH][key]
        self._enter(name, recording)
        return [other.path for other in old.values()]

    def complete(self, name: str) -> None:
        """All episodes of a recording are in the dataset."""
        self.store.manifest[WHICH][name]['is_complete'] = True
        self.store.seal()

    def _enter(self, name: str, recording: Recording) -> None:
        self.store.manifest[WHICH][name] = asdict(recording)
        self.store.seal()

    def _held(self) -> dict[str, Recording]:
        try:
            return {
                name: Recording(**{**values, 'beginnings': tuple(values['beginnings'])})
                for name, values in self.store.manifest[WHICH].items()
            }
        except (KeyError, TypeError, AttributeError) as error:
            manifest = self.store.path / 'manifest.json'
            raise EpisodeError(f'{manifest} does not say what is in it: {error}') from None


def flat(values: Any, name: str = '') -> dict[str, Any]:
    """Nested values by dotted names, as a person reads them in a file."""
    if isinstance(values, Mapping):
        items = [(str(key), value) for key, value in values.items()]
    elif isinstance(values, list | tuple) and any(isinstance(v, Mapping) for v in values):
        items = [(str(index), value) for index, value in enumerate(values)]
    else:
        return {name: list(values) if isinstance(values, tuple) else values}
    found: dict[str, Any] = {}
    for key, value in items:
        found |= flat(value, f'{name}.{key}' if name else key)
    return found


def _short(value: Any) -> str:
    text = 'not there' if value is None else str(value)
    return text if len(text) <= 60 else f'{text[:60]} ...'
