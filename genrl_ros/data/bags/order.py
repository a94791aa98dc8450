"""The order of time of recorded messages, whatever order they have on the disk.

The time of a message is when it arrived, by the recorder's clock. Two things put it out of step
with the order on the disk, and they want opposite cures:

- **Disorder.** Recorders write by topic, by chunk or by cache, splits overlap, and threads and
  publishers overtake each other. Such messages are sorted by time.
- **A clock that was set back**: by time servers, at boot, or with a simulator. What follows is
  later, though its times are earlier; sorting would mix two runs into one that never was.

They differ within one topic. A recorder gets the messages of a topic one after the other and
writes them in this order, however it mixes the topics. So the order on the disk counts within a
topic of a file, and nowhere else: a topic whose time goes back by `SETBACK_NS` or more shows a
clock that was set back; one that goes back by less, or between two files of a bag, shows disorder.
Time servers set clocks back by more (ntpd from 0.128 s, systemd-timesyncd from 0.4 s, chrony from
1 s on) and slow them down for less. A topic shows such a step less the interval of its messages.

A setback counts for all topics: the n-th one of a topic is the n-th one of each other. A topic
that shows fewer of them, for it was silent, is cut where the one that shows most of them is cut on
the disk. If more than a quarter of the messages of a file show a setback, then no clock did that:
the file was shuffled, and all of it is disorder.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from genrl_ros.data.bags.storage import Index

SETBACK_NS: Final = 20_000_000
SHUFFLED: Final = 0.25
"""Share of the messages of a file that show a setback, above which they show none."""


@dataclass(frozen=True)
class Order:
    """The messages of all files of a bag, file after file, and their order.

    Attributes:
        rows: `(M,)` the messages in order.
        setbacks: `(M,)` how often the clock had been set back before each, in the order of files.
    """

    rows: npt.NDArray[np.int64]
    setbacks: npt.NDArray[np.int32]


def in_time(indexes: Sequence[Index]) -> Order:
    """The order of time of the messages in the files of a bag; equal times keep that of the disk.

    Args:
        indexes: one a file, in the order in which they were recorded.
    """
    topics = sorted({source.topic for index in indexes for source in index.sources})
    numbers = {topic: number for number, topic in enumerate(topics)}
    parts, cuts, start = [np.zeros(0, np.uint16)], defaultdict[int, list[int]](list), 0
    for index in indexes:
        topic_of = [numbers[source.topic] for source in index.sources]
        parts.append(np.array(topic_of, np.uint16)[np.asarray(index.source)])
        for number, rows in _setbacks(index, topic_of).items():
            cuts[number] += [start + row for row in rows]
        start += len(index)
    topic = np.concatenate(parts)
    arrived = np.concatenate([*(np.asarray(i.arrived_ns) for i in indexes), np.zeros(0, np.int64)])
    setbacks = np.zeros(start, np.int32)
    most = max(cuts, key=lambda number: (len(cuts[number]), (topic == number).sum()), default=None)
    if most is not None:
        for number in range(len(topics)):
            messages = np.flatnonzero(topic == number)
            own = cuts[number] if len(cuts[number]) == len(cuts[most]) else cuts[most]
            setbacks[messages] = np.searchsorted(own, messages, side='right')
    return Order(np.lexsort((arrived, setbacks)), setbacks)


def _setbacks(index: Index, topic_of: Sequence[int]) -> dict[int, list[int]]:
    """Of each topic of a file, the messages before which the clock was set back."""
    newest: dict[int, int] = {}
    found: dict[int, list[int]] = {}
    for row, (source, arrived_ns) in enumerate(zip(index.source, index.arrived_ns, strict=True)):
        topic = topic_of[source]
        last = newest.setdefault(topic, arrived_ns)
        if arrived_ns >= last:
            newest[topic] = arrived_ns
        elif last - arrived_ns >= SETBACK_NS:
            newest[topic] = arrived_ns
            found.setdefault(topic, []).append(row)
    shown = sum(map(len, found.values()))
    return found if shown <= SHUFFLED * len(index) else {}
