"""How the messages of a robot become episodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from genrl_ros.data.bags.joint_track import Vector
from genrl_ros.domains.base import RobotSpec


def _nothing(_: Any) -> str:
    return ''


@dataclass(frozen=True)
class Stream:
    """A topic of a bag, and what its messages say.

    Attributes:
        topic: absolute name.
        type: of its messages.
        read: makes an array of a message; raises ValueError if it does not fit the robot.
        remark: what reading a message put right; empty if nothing.
    """

    topic: str
    type: str
    read: Callable[[Any], npt.NDArray[Any]]
    remark: Callable[[Any], str] = _nothing


@dataclass(frozen=True)
class Recipe:
    """How the messages of a robot become episodes.

    Attributes:
        spec: the robot, as the dataset will name it.
        camera: gives images `(3, N, N)` uint8.
        camera_rate_hz: images a second.
        joint_states: gives positions `(J,)`.
        joint_reach: `(J,)` how fast each joint moves at most, in units a second; infinite where
            unknown.
        max_age_s: positions from so much earlier or later than an image still count for it.
        commands: give values in SI units; together, in order, they are a command `(A,)`.
        holds: for each of `commands`, whether a command stays in force until the next one.
        to_action: the action `(A,)` of a command, given the command before it.
        is_relative: `(A,)` whether an action says how far a command is from the one before.
        takes_last: `(A,)` whether of several commands in an agent step the last one counts, as
            for positions; otherwise their mean does.
        episode_steps: agent steps after which a run is cut into episodes.
        commands_per_frame: commands between two images that are taken.
    """

    spec: RobotSpec
    camera: Stream
    camera_rate_hz: float
    joint_states: Stream
    joint_reach: Vector
    max_age_s: float
    commands: tuple[Stream, ...]
    holds: tuple[bool, ...]
    to_action: Callable[[Vector, Vector], Vector]
    is_relative: npt.NDArray[np.bool_]
    takes_last: npt.NDArray[np.bool_]
    episode_steps: int
    commands_per_frame: int = 1

    @property
    def streams(self) -> tuple[Stream, ...]:
        """All topics."""
        return (self.camera, self.joint_states, *self.commands)

    @property
    def frames_per_step(self) -> int:
        """Images that are taken in an agent step."""
        return self.spec.action_repeat // self.commands_per_frame
