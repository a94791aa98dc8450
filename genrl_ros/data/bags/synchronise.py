"""Puts what a robot recorded in step with its control rate.

Images are picked by their stamps, commands by what had arrived when.

A command belongs to the image that had arrived before it, since that is how a policy acts: it
sees an image and answers. So the action that led to an image is the last command that arrived
between the image before and this one, as in `data.episode_store`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from genrl_ros.system.arrays import Image

Vector = npt.NDArray[np.float64]

GAP_PERIODS = 1.5
"""Periods, of taking images and of the camera, after which something is missing."""
STALE_STEPS = 2
"""Control steps that a velocity command is in force, as the simulator and the gate have it."""
LEARN = 0.1
"""How fast it is learned that a camera is faster than it should be."""
FOLLOW = 0.25
"""How fast the wanted times follow a camera whose rate is not quite what it should be."""


@dataclass(frozen=True)
class Frame:
    """One image that is taken, at most one a command period.

    Attributes:
        stamp_ns: of the image.
        image: `(3, N, N)` uint8.
        command: `(A,)` in SI units that led to it; None for the first of a run.
        state: `(J,)` positions of the joints nearest to the stamp, NaN if unknown.
    """

    stamp_ns: int
    image: Image
    command: Vector | None
    state: Vector


class Pace:
    """Picks the images of a camera that are nearest to the control rate.

    Args:
        period_ns: of the control rate.
        interval_ns: of the camera, which may turn out to be faster.
    """

    def __init__(self, period_ns: int, interval_ns: int) -> None:
        self._period = period_ns
        self._slowest = float(min(interval_ns, period_ns))
        self._interval = self._slowest
        self.restart()

    def restart(self) -> None:
        """Take the next image, whenever it is from."""
        self._due: float | None = None
        self._last = self._seen = 0

    def judge(self, stamp_ns: int) -> str:
        """What an image is: `take`, `skip` (too early, or late and out of order) or `gap`.

        `gap` says that images are missing before it, or that the clock has gone back.
        """
        if self._due is None:
            return self._take(stamp_ns, 0.0)
        if stamp_ns <= self._last:
            back = self._last - stamp_ns
            late = back <= 2 * self._period and stamp_ns >= self._period
            return 'skip' if late or back == 0 else 'gap'
        since_seen, self._seen = stamp_ns - self._seen, stamp_ns
        self._interval += LEARN * (min(since_seen, self._slowest) - self._interval)
        late = stamp_ns - self._last > GAP_PERIODS * self._period
        if late and since_seen > GAP_PERIODS * self._slowest:
            return 'gap'
        if stamp_ns < self._due - self._interval / 2:
            return 'skip'
        return self._take(stamp_ns, stamp_ns - self._due)

    def _take(self, stamp_ns: int, error: float) -> str:
        if self._due is None:
            self._due = float(stamp_ns)
            self._seen = stamp_ns
        self._due += self._period + FOLLOW * error
        self._last = stamp_ns
        return 'take'


@dataclass
class Group:
    """What arrived on one command topic: the last values, and how many frames ago.

    Where images are slower than commands, velocities that arrive between two images count with
    their mean; positions with the last one, always.
    """

    holds: bool
    several: bool = False
    values: Vector | None = None
    age: int = STALE_STEPS
    is_new: bool = False
    count: int = 0

    def arrive(self, values: Vector) -> None:
        """Values arrived."""
        self.count = self.count + 1 if self.is_new else 1
        if self.several and not self.holds and self.is_new and self.values is not None:
            values = self.values + (values - self.values) / self.count
        self.values, self.is_new = values, True


@dataclass
class Synchroniser:
    """Turns messages, in the order of their arrival, into runs of frames.

    A run is what was driven without a gap: images in step, and commands all along. It begins with
    the last image before the first command.

    Attributes:
        pace: picks the images.
        groups: one a command topic, in order.
        joints: number of joints.
    """

    pace: Pace
    groups: Sequence[Group]
    joints: int
    skipped: int = 0
    undriven: int = 0
    gaps: int = 0
    _run: list[Frame] = field(default_factory=list)
    _states: deque[tuple[int, Vector]] = field(default_factory=lambda: deque(maxlen=64))

    def command(self, index: int, values: Vector) -> None:
        """A command arrived on a topic."""
        self.groups[index].arrive(values)

    def joint_states(self, stamp_ns: int, positions: Vector) -> None:
        """Positions `(J,)` of the joints arrived."""
        self._states.append((stamp_ns, positions))
        if self._run:
            frame = self._run[-1]
            self._run[-1] = replace(frame, state=self._state_at(frame.stamp_ns))

    def image(self, stamp_ns: int, image: Image) -> Iterator[list[Frame]]:
        """An image arrived; gives the run that it ends, if it ends one."""
        verdict = self.pace.judge(stamp_ns)
        if verdict == 'skip':
            self.skipped += 1
            return
        if verdict == 'gap':
            self.gaps += len(self._run) > 1
            yield from self.finish()
            self.pace.judge(stamp_ns)
        command = self._command_in_force()
        if command is None:
            yield from self._end_run()
        command = command if self._run else None
        self._run.append(Frame(stamp_ns, image, command, self._state_at(stamp_ns)))

    def finish(self) -> Iterator[list[Frame]]:
        """Nothing follows, or nothing that belongs to what was before; gives the last run."""
        yield from self._end_run()
        self._states.clear()
        self.pace.restart()
        for group in self.groups:
            group.values, group.age, group.is_new = None, STALE_STEPS, False

    def _end_run(self) -> Iterator[list[Frame]]:
        run, self._run = self._run, []
        if len(run) > 1:
            yield run
        else:
            self.undriven += len(run)

    def _state_at(self, stamp_ns: int) -> Vector:
        if not self._states:
            return np.full(self.joints, np.nan)
        return min(self._states, key=lambda state: abs(state[0] - stamp_ns))[1]

    def _command_in_force(self) -> Vector | None:
        """The command since the image before; None if there was none that counts."""
        for group in self.groups:
            group.age = 0 if group.is_new else group.age + 1
            group.is_new = False
        values = [group.values for group in self.groups if group.values is not None]
        stale = [group.age >= STALE_STEPS for group in self.groups]
        running_on = [
            old and not group.holds for old, group in zip(stale, self.groups, strict=True)
        ]
        if len(values) < len(self.groups) or any(running_on) or all(stale):
            return None
        return np.concatenate(values)
