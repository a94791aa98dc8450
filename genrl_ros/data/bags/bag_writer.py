"""Writes rosbag2 recordings as MCAP, one bag an episode: a kill costs the last one at most."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.errors import WriterError

from genrl_ros.data.bags.bag import UNFINISHED, typestore
from genrl_ros.system.files import sync

METADATA_VERSION: Final = 9


class EpisodeRecorder:
    """Writes messages into a folder of bags, `episode_0000` and so on.

    The bag that is being written lies in `unfinished/` and moves up once it is complete and on
    disk. A new recorder on a folder that holds bags goes on with the next number.

    Attributes:
        folder: where the bags are.
        messages: messages in the current episode.
    """

    def __init__(self, folder: Path, topics: Mapping[str, str]) -> None:
        """Say what is recorded.

        Args:
            folder: where the bags go.
            topics: types of the topics, by their absolute names; types that ROS 2 comes with.
        """
        self.folder = Path(folder)
        self.messages = 0
        self._topics = dict(topics)
        self._store = typestore()
        self._writer: Writer | None = None
        self._connections: dict[str, Connection] = {}
        self._arrived_ns = 0
        (self.folder / UNFINISHED).mkdir(parents=True, exist_ok=True)

    @property
    def current(self) -> Path | None:
        """Where the episode that is being written will be; None if there is none."""
        return None if self._writer is None else self.folder / self._writer.path.name

    def write(self, topic: str, data: bytes, arrived_ns: int) -> None:
        """Write a serialized message; begins an episode if there is none.

        Args:
            topic: one of the topics.
            data: CDR, as it came.
            arrived_ns: when it came. A clock that goes back does not make the bag go back.

        Raises:
            OSError: if it cannot be written.
        """
        if self._writer is None:
            self._begin()
        assert self._writer is not None
        self._arrived_ns = max(arrived_ns, self._arrived_ns)
        self._writer.write(self._connections[topic], self._arrived_ns, data)
        self.messages += 1

    def finish(self) -> Path | None:
        """End the episode, if there is one; the next message begins another.

        Returns:
            The finished bag.
        """
        writer, self._writer = self._writer, None
        if writer is None:
            return None
        writer.close()
        for file in (*writer.path.iterdir(), writer.path):
            sync(file)
        finished = self.folder / writer.path.name
        os.rename(writer.path, finished)
        sync(self.folder)
        return finished

    def _begin(self) -> None:
        writer = Writer(
            self.folder / UNFINISHED / f'episode_{self._next_number():04d}',
            version=METADATA_VERSION,
            storage_plugin=StoragePlugin.MCAP,
        )
        try:
            writer.open()
        except WriterError as error:
            raise OSError(f'{writer.path} cannot be written: {error}') from None
        self._connections = {
            topic: writer.add_connection(topic, kind, typestore=self._store)
            for topic, kind in self._topics.items()
        }
        self._writer, self.messages = writer, 0

    def _next_number(self) -> int:
        taken = [
            int(path.name.removeprefix('episode_'))
            for folder in (self.folder, self.folder / UNFINISHED)
            for path in folder.glob('episode_[0-9]*')
            if path.name.removeprefix('episode_').isdigit()
        ]
        return max(taken, default=-1) + 1
