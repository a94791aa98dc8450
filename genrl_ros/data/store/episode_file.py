"""The file of an episode: tensors in a safetensors file, read through memory maps.

Files of an episode hold `image` `(T, 3, 64, 64)` uint8, `action` `(T, A)` float32, where
`action[t]` led to `image[t]` (zeros at t = 0), and `state` `(T, Q)` float32, the simulator's
positions, for probes only. Files appear whole or not at all; what a file says of itself is checked
before it is mapped.
"""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genrl_ros.system.arrays import FloatArray, Image
from genrl_ros.system.files import open_regular, write_tensors

FORMAT = 'genrl-episodes-1'
DTYPES: dict[str, np.dtype[Any]] = {
    'U8': np.dtype(np.uint8),
    'F16': np.dtype(np.float16),
    'F32': np.dtype(np.float32),
}
MAX_HEADER_BYTES = 1_000_000


class EpisodeError(ValueError):
    """A store or one of its files is missing, damaged or of another kind."""


@dataclass(frozen=True)
class Episode:
    """What was seen and done from a reset on.

    Attributes:
        image: `(T, 3, H, W)` uint8.
        action: `(T, A)` float32 in [-1, 1]; `action[t]` led to `image[t]`, `action[0]` is zero.
        state: `(T, Q)` float32, the simulator's positions.
        kind: what kind of behaviour it is.
        seed: what it was made from.
    """

    image: Image
    action: FloatArray
    state: FloatArray
    kind: str
    seed: str

    def __post_init__(self) -> None:
        lengths = {len(self.image), len(self.action), len(self.state)}
        if len(lengths) != 1 or self.image.ndim != 4:
            raise EpisodeError(
                f'an episode needs as many images as actions and states, got shapes '
                f'{self.image.shape}, {self.action.shape}, {self.state.shape}'
            )


def write_episode(path: Path, episode: Episode) -> None:
    """Write one episode atomically.

    Raises:
        OSError: naming the file, if it cannot be written.
    """
    tensors: dict[str, npt.NDArray[Any]] = {
        'image': np.ascontiguousarray(episode.image, np.uint8),
        'action': np.ascontiguousarray(episode.action, np.float32),
        'state': np.ascontiguousarray(episode.state, np.float32),
    }
    metadata = {'format': FORMAT, 'kind': episode.kind, 'seed': episode.seed}
    write_tensors(path, tensors, metadata)


@dataclass(frozen=True)
class _Place:
    """Where a tensor lies in a file."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Header:
    """Where each tensor of a file lies, by name, and what else the file says."""

    places: dict[str, _Place]
    metadata: dict[str, str]


def map_tensor(path: Path, name: str) -> npt.NDArray[Any]:
    """Memory map of a tensor.

    Raises:
        EpisodeError: if the file is missing or damaged, or has no such tensor.
    """
    header = read_header(path)
    if name not in header.places:
        raise EpisodeError(f'{path} has no tensor {name!r}')
    place = header.places[name]
    return np.memmap(path, place.dtype, 'r', place.offset, place.shape)


def is_whole(path: Path) -> bool:
    """Whether the file is there, with all the tensors that it says to have."""
    try:
        read_header(path)
    except EpisodeError:
        return False
    return True


def read_header(path: Path) -> Header:
    """Where the tensors of a file are, and its metadata.

    Raises:
        EpisodeError: if it is missing or damaged.
    """
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise EpisodeError(f'{path} is missing') from error
    return _parse(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=8192)
def _parse(path: Path, size: int, _modified: int) -> Header:
    try:
        with open_regular(path) as file:
            length = int.from_bytes(file.read(8), 'little')
            if length > min(MAX_HEADER_BYTES, size - 8):
                raise ValueError('its header is longer than the file')
            entries: dict[str, Any] = json.loads(file.read(length))
        metadata = entries.pop('__metadata__', {})
        places = {name: _place(entry, 8 + length, size) for name, entry in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EpisodeError(f'{path} is damaged: {error}') from error
    return Header(places, metadata)


def _place(entry: dict[str, Any], start: int, size: int) -> _Place:
    dtype, shape = DTYPES[entry['dtype']], tuple(int(n) for n in entry['shape'])
    begin, end = (int(offset) for offset in entry['data_offsets'])
    if begin < 0 or any(n < 0 for n in shape) or start + end > size:
        raise ValueError('a tensor does not fit the file')
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError('a tensor has not the size that it says')
    return _Place(start + begin, shape, dtype)
