"""What stands between a policy and a robot. Knows no ROS and no clock: the time is passed in.

`SafetyFilter` lets no command through that breaks a limit, `InputWatch` and `StuckWatch` notice
input that must not be acted on, and `TickWatch` notices that nobody looked. All of them count.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from genrl_ros.serving.robot.embodiment import Channel, Vector
from genrl_ros.serving.safety.limits import Limiter

FRESH = 'fresh'
JUMPED = 'clock jumped'
REPEATED = 'repeated stamp'
OUT_OF_ORDER = 'out of order'
FUTURE = 'stamp in the future'
OLD = 'old stamp'
USABLE = (FRESH, JUMPED)
"""Verdicts on messages that may be used."""

OVERRUN_PERIODS = 1.5
"""A tick that comes later than this after the last one is an overrun."""
REMEMBERED_TICKS = 1000


class SafetyFilter:
    """Makes safe commands out of what a policy wants, and of nothing where it may not act.

    Attributes:
        counts: how often each limit changed a command, values were not finite, and the declared
            reaction took the place of a command.
    """

    def __init__(self, channels: Sequence[Channel], period_s: float, blend_s: float = 0.0) -> None:
        """Set the limits.

        Args:
            channels: in the order of the command vector.
            period_s: seconds between two commands.
            blend_s: seconds in which a policy that starts gains full influence.
        """
        self.counts: Counter[str] = Counter()
        self._limiter = Limiter(channels, period_s)
        self._periods = max(1, round(blend_s / period_s))
        self._followed = self._periods
        self._origin: Vector | None = None

    def start(self, position: Vector, velocity: Vector, *, blend: bool = True) -> None:
        """Begin from the measured state: a policy starts, or another one takes over.

        Args:
            position: `(A,)` measured.
            velocity: `(A,)` measured.
            blend: whether its influence grows from nothing.
        """
        self._limiter.start(position, velocity)
        velocity = np.where(self._limiter.by_effort, 0.0, np.nan_to_num(velocity))
        self._origin = np.where(self._limiter.by_position, position, velocity)
        self._followed = 0 if blend else self._periods

    def follow(self, wanted: Vector, position: Vector, age_s: float = 0.0) -> Vector:
        """The command `(A,)` that is sent for the one that the policy wants.

        Args:
            wanted: `(A,)`; where it is not finite, the reaction takes its place.
            position: `(A,)` measured.
            age_s: how long ago it was measured.
        """
        if not np.isfinite(wanted).all():
            self.counts['not finite'] += 1
            return self.react(position, age_s)
        self._followed = min(self._followed + 1, self._periods)
        if self._origin is not None and self._followed < self._periods:
            share = self._followed / self._periods
            wanted = self._origin + share * (wanted - self._origin)
        limited = self._limiter.follow(wanted, position, age_s)
        self.counts['commands'] += 1
        if limited.causes:
            self.counts['limited'] += 1
        self.counts.update(limited.causes)
        return limited.command

    def react(self, position: Vector | None = None, age_s: float = 0.0) -> Vector:
        """The command `(A,)` while nothing may act: what each channel has declared."""
        self.counts['reactions'] += 1
        return self._limiter.brake(position, age_s).command


class InputWatch:
    """Judges each message of an input by its stamp, and says when there was none for too long.

    Attributes:
        counts: messages by verdict.
    """

    def __init__(
        self,
        name: str,
        *,
        max_age_s: float,
        ahead_s: float,
        jump_s: float,
        real_time_factor: float = 1.0,
        repeats: bool = False,
    ) -> None:
        """Set what is still fresh.

        Args:
            name: of the input, for people.
            max_age_s: how old a stamp may be, and how long there may be no message; by the
                clock that stamps are taken from, as are the others.
            ahead_s: how far a stamp may be ahead of the clock.
            jump_s: stamps that go back by more than this mean that the clock has jumped.
            real_time_factor: seconds of that clock in a second of steady time.
            repeats: whether the last stamp may come again.
        """
        self.name = name
        self.counts: Counter[str] = Counter()
        self._patience_s = max_age_s / real_time_factor
        self._max_age_ns = round(max_age_s * 1e9)
        self._ahead_ns = round(ahead_s * 1e9)
        self._jump_ns = jump_s * 1e9
        self._repeats = repeats
        self._stamp_ns: int | None = None
        self._seen_s: float | None = None

    @property
    def seen(self) -> bool:
        """Whether there ever was a fresh message."""
        return self._seen_s is not None

    def see(self, stamp_ns: int, clock_ns: int, now_s: float) -> str:
        """Judge a message: `FRESH`, or `JUMPED` for the first one after the clock went back.

        Any other verdict means that the message must not be used.

        Args:
            stamp_ns: its stamp.
            clock_ns: the clock that stamps are taken from.
            now_s: steady time.
        """
        verdict = self._judge(stamp_ns, clock_ns)
        self.counts[verdict] += 1
        if verdict in USABLE:
            self._stamp_ns, self._seen_s = stamp_ns, now_s
        return verdict

    def stale(self, now_s: float) -> str:
        """Why this input must not be acted on, for people; empty if it may."""
        if self._seen_s is None:
            return f'nothing yet on {self.name}'
        if now_s - self._seen_s > self._patience_s:
            return f'nothing fresh on {self.name} for {self._patience_s:.2f} s'
        return ''

    def _judge(self, stamp_ns: int, clock_ns: int) -> str:
        if stamp_ns - clock_ns > self._ahead_ns:
            return FUTURE
        if clock_ns - stamp_ns > self._max_age_ns:
            return OLD
        if self._stamp_ns is None or stamp_ns > self._stamp_ns:
            return FRESH
        if stamp_ns == self._stamp_ns:
            return FRESH if self._repeats else REPEATED
        return JUMPED if self._stamp_ns - stamp_ns > self._jump_ns else OUT_OF_ORDER


class StuckWatch:
    """Notices a camera that shows one picture for ever, with new stamps on it.

    A real camera's noise makes each picture differ. A simulated one may show the same for long.
    """

    def __init__(self, after_s: float) -> None:
        """Say how long a picture may stay the same; 0: for ever."""
        self._after_s = after_s
        self._last: npt.NDArray[np.uint8] | None = None
        self._since_s = 0.0

    def see(self, image: npt.NDArray[np.uint8], now_s: float) -> bool:
        """Whether the camera is stuck, as of this image (any shape) at this steady time."""
        if self._last is None or not np.array_equal(image, self._last):
            self._last, self._since_s = image, now_s
        return 0 < self._after_s < now_s - self._since_s


class TickWatch:
    """Notices when something that should happen every period does not.

    Attributes:
        ticks: how many there were.
        overruns: how many came too late.
    """

    def __init__(self, period_s: float) -> None:
        self.ticks = 0
        self.overruns = 0
        self._period_s = period_s
        self._last_s: float | None = None
        self._gaps: deque[float] = deque(maxlen=REMEMBERED_TICKS)

    def tick(self, now_s: float) -> float:
        """Seconds since the last tick, at this steady time; 0 at the first."""
        gap = 0.0 if self._last_s is None else now_s - self._last_s
        if self._last_s is not None:
            self._gaps.append(gap)
        self.ticks += 1
        self.overruns += gap > OVERRUN_PERIODS * self._period_s
        self._last_s = now_s
        return gap

    def percentile(self, percent: float) -> float:
        """Of the seconds between ticks, as far as they are remembered; 0 before there were two."""
        return float(np.percentile(self._gaps, percent)) if self._gaps else 0.0
