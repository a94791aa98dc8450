"""Frames of episodes that are held still: what a camera sees of a robot that froze there.

No recorded robot stops in mid-stride, but a policy in a dream may. Which frames are held, and what
the robot is told to do meanwhile, depends on the episode alone.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

from genrl_ros.data.store.episode_store import CLIP
from genrl_ros.system.arrays import FloatArray

STILLS = 6
"""Frames of an episode that are held, one at a time."""
HELD = 48
"""Steps for which each is held."""


def still_frames(episode: str, length: int) -> npt.NDArray[np.int64]:
    """`(STILLS,)` frames of an episode of so many, none before the first clip is full."""
    return _random(episode).integers(CLIP - 1, length, STILLS)


def still_actions(episode: str, action_dim: int) -> FloatArray:
    """`(STILLS, HELD, A)` actions in [-1, 1]: as varied as a policy's, or all the same."""
    rng = _random(episode)
    action = rng.uniform(-1, 1, (STILLS, HELD, action_dim))
    steady = rng.random((STILLS, 1, 1)) < 0.5
    size = rng.random((STILLS, 1, 1))
    return (size * np.where(steady, action[:, :1], action)).astype(np.float32)


def _random(episode: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(episode.encode()))
