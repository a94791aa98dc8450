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

from genrl_ros.data.bags.joint_track import JointTrack, State, Vector
from genrl_ros.system.arrays import Image

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
        begins: why it does not follow on the one before: `start`, `gap` (images are missing) or
            `set back` (the clock was); empty if it does.
        command: `(A,)` in SI units that was in force when the image arrived, and so led to it;
            None if there was none on each topic.
        undriven: why there was none.
        state: `(J,)` positions of the joints nearest to the stamp; None if there are none that
            are near enough.
        state_off_ns: how far from the stamp the nearest ones are; None if there are none at all.
    """

    stamp_ns: int
    image: Image
    begins: str
    command: Vector | None
    undriven: str
    state: Vector | None = None
    state_off_ns: int | None = None


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

    Attributes:
        topic: absolute name.
        holds: whether a command stays in force until the next one, as positions do. A velocity is
            in force for `STALE_STEPS`.
        several: whether images are slower than commands. Then velocities that arrive between two
            images count with their mean; positions with the last one, always.
    """

    topic: str
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

    def step(self) -> None:
        """An image arrived."""
        self.age = 0 if self.is_new else self.age + 1
        self.is_new = False

    @property
    def silence(self) -> str:
        """Why no command is in force; empty if one is."""
        if self.values is None:
            return f'before the first command on {self.topic}'
        if self.age >= STALE_STEPS and not self.holds:
            return f'{STALE_STEPS} control periods or more after a command on {self.topic}'
        return ''


@dataclass
class Synchroniser:
    """Turns messages, in the order of their arrival, into frames, in the order of their stamps.

    Frames are given with a delay, since joint states may arrive later than the image: by as much
    as they may be older. What is kept is bounded: images of that time, and a `JointTrack`.

    Attributes:
        pace: picks the images.
        groups: one a command topic, in order.
        track: where the joints were.
        skipped: images that are not at a control step, or out of order.
        repeated: images with the stamp of the last one that was taken.
        set_back: how often the clock of the images was set back.
    """

    pace: Pace
    groups: Sequence[Group]
    track: JointTrack
    skipped: int = 0
    repeated: int = 0
    set_back: int = 0
    _begins: str = 'start'
    _last_ns: int = 0
    _waiting: deque[Frame] = field(default_factory=deque)
    _done: list[Frame] = field(default_factory=list)

    def command(self, index: int, values: Vector) -> None:
        """A command arrived on a topic."""
        self.groups[index].arrive(values)

    def joint_states(self, stamp_ns: int, positions: Vector) -> None:
        """Positions `(J,)` of the joints arrived."""
        if self.track.goes_back(stamp_ns):
            self._complete()
            self.track.restart()
        self._improve(self.track.add(State(stamp_ns, positions)))

    def image(self, stamp_ns: int, image: Image) -> Iterator[Frame]:
        """An image arrived; gives the frames that are complete."""
        verdict = self.pace.judge(stamp_ns)
        if verdict == 'skip':
            if stamp_ns == self._last_ns:
                self.repeated += 1
            else:
                self.skipped += 1
            return
        if verdict == 'gap':
            if stamp_ns < self._last_ns:
                self.set_clock_back()
            else:
                self._lose_images()
            self.pace.judge(stamp_ns)
        while self._waiting and self._waiting[0].stamp_ns < stamp_ns - self.track.max_age_ns:
            self._end_first()
        for group in self.groups:
            group.step()
        undriven = ' and '.join(group.silence for group in self.groups if group.silence)
        values = [group.values for group in self.groups if group.values is not None]
        command = None if undriven else np.concatenate(values)
        frame = Frame(stamp_ns, image, self._begins, command, undriven)
        self._waiting.append(self._with_state(frame, self.track.nearest(stamp_ns)))
        self._begins, self._last_ns = '', stamp_ns
        yield from self._give()

    def set_clock_back(self) -> None:
        """The clock was set back, or a simulator was reset: nobody knows what is held."""
        self.set_back += 1
        self._complete()
        self._begins = 'set back'
        self.pace.restart()
        self.track.restart()
        for group in self.groups:
            group.values, group.age, group.is_new = None, STALE_STEPS, False

    def finish(self) -> Iterator[Frame]:
        """Nothing follows; gives the last frames."""
        self._complete()
        yield from self._give()

    def _give(self) -> Iterator[Frame]:
        done, self._done = self._done, []
        yield from done

    def _lose_images(self) -> None:
        """Images are missing. What was commanded before is old, but positions are held."""
        self._begins = 'gap'
        self.pace.restart()
        for group in self.groups:
            group.age = STALE_STEPS

    def _complete(self) -> None:
        """No joint states can follow that are nearer to the images so far."""
        self._improve(self.track.settle())
        while self._waiting:
            self._end_first()

    def _end_first(self) -> None:
        first = self._waiting[0]
        self._improve(self.track.settle(first.stamp_ns, first.state_off_ns))
        frame = self._waiting.popleft()
        if self.track.is_in_doubt(frame.stamp_ns):
            frame = replace(frame, state=None, state_off_ns=None)
        self._done.append(frame)

    def _improve(self, state: State | None) -> None:
        """Give positions to the frames that they are nearer to than what the frames have."""
        if state is None:
            return
        for index in range(len(self._waiting) - 1, -1, -1):
            frame = self._waiting[index]
            if frame.stamp_ns < state.stamp_ns - self.track.max_age_ns:
                return
            self._waiting[index] = self._with_state(frame, state)

    def _with_state(self, frame: Frame, state: State | None) -> Frame:
        if state is None:
            return frame
        off_ns = abs(state.stamp_ns - frame.stamp_ns)
        if frame.state_off_ns is not None and frame.state_off_ns <= off_ns:
            return frame
        positions = state.positions if off_ns <= self.track.max_age_ns else None
        return replace(frame, state=positions, state_off_ns=off_ns)
