"""What a command channel may do: position, velocity, acceleration and jerk. Knows no ROS.

Everything is in steps of one command period T. A velocity channel's position is the measured one,
with what was commanded since it was measured; a position channel's is the one commanded last.
An effort channel has limits of its value and of its rate, which stand where the others have those
of velocity and acceleration, and no position.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genrl_ros.serving.robot.embodiment import Channel, Vector

BOUNDLESS = 1e30
"""Stands for no limit, where infinity times zero would be asked for."""
CHOICES = 17
"""Commands between braking and what is wanted that are tried near a position limit."""
BRAKE_STEPS = 500
"""Periods within which a channel must be able to stop."""
REMEMBERED = 64
"""Commands that may have been sent since a position was measured."""
SLACK = 1e-9
"""Rounding that is not a violation, in units of a channel."""


@dataclass(frozen=True)
class Limited:
    """A command that keeps all limits, and which of them changed it.

    Attributes:
        command: `(A,)`.
        causes: names of limits; empty: nothing was changed.
    """

    command: Vector
    causes: tuple[str, ...]


def needs_position(channel: Channel) -> bool:
    """Whether a channel can only be limited where its position is known."""
    return channel.quantity == 'position' or channel.limits.position is not None


class Limiter:
    """Gives the command nearest to what is wanted from which the robot can still stop in time.

    Velocity, acceleration and jerk limits always hold. Position limits hold as long as the robot
    does as it is told; where it does not, and no command is left that stops in time, it brakes.
    A velocity channel with limits of position whose position is unknown brakes, too.

    Attributes:
        by_position: `(A,)` which channels are positions.
        by_effort: `(A,)` which channels are efforts.
        needs_position: `(A,)` which channels can only be limited where their position is known.
    """

    def __init__(
        self, channels: Sequence[Channel], period_s: float, lasts_s: float | None = None
    ) -> None:
        """Set the limits.

        Args:
            channels: in the order of the command vector.
            period_s: seconds between two commands (T).
            lasts_s: longest that a velocity is in force before the next one; T unless given.
        """
        self.channels = tuple(channels)
        self._period = period_s
        ranges = [channel.limits.position or (-np.inf, np.inf) for channel in channels]
        self._low, self._high = np.array(ranges, np.float64).T
        bounds = [_bounds(channel) for channel in channels]
        self._speed, self._acceleration, self._jerk = np.array(bounds, np.float64).T
        self.by_position = np.array([channel.quantity == 'position' for channel in channels])
        self.by_effort = np.array([channel.quantity == 'effort' for channel in channels])
        self.needs_position = np.array([needs_position(channel) for channel in channels])
        self._lasts = np.where(self.by_position, period_s, lasts_s or period_s)
        self._coasts = (
            np.array([channel.reaction in ('none', 'stop_time') for channel in channels])
            & ~self.by_position
        )
        self.start()

    @property
    def at_rest(self) -> bool:
        """Whether the last command lets nothing move."""
        return bool((np.abs(self._velocity) < SLACK).all())

    def start(self, position: Vector | None = None, velocity: Vector | None = None) -> None:
        """Begin from a measured state: `(A,)` each; nan where it is unknown."""
        size = len(self.channels)
        self._position = np.full(size, np.nan) if position is None else position.copy()
        measured = np.zeros(size) if velocity is None else np.nan_to_num(velocity)
        measured = np.where(self.by_effort, 0.0, measured)
        self._velocity = np.clip(measured, -self._speed, self._speed)
        self._change = np.zeros(size)
        self._recent: deque[Vector] = deque(maxlen=REMEMBERED)

    def follow(
        self,
        wanted: Vector,
        position: Vector | None = None,
        age_s: float = 0.0,
        *,
        share: float = 1.0,
    ) -> Limited:
        """The next command towards the one that is wanted.

        Args:
            wanted: `(A,)`, finite.
            position: `(A,)` measured; nan where it is unknown.
            age_s: how long ago it was measured.
            share: of the way to a wanted position that this command goes.

        Returns:
            The command; nan for a position channel that began from an unknown position: there is
            no way there that keeps the limits.
        """
        self._measure(position, age_s)
        place = np.clip(wanted, self._low, self._high)
        out_of_place = self.by_position & (place != wanted)
        left = np.nan_to_num(place - self._position)
        way = np.where(self.by_position, share * left, 0.0)
        along = _approach(way, self._acceleration * self._period, self._period)
        velocity = np.where(self.by_position, along, wanted)
        return self._advance(velocity, out_of_place)

    def brake(
        self, position: Vector | None = None, age_s: float = 0.0, *, everything: bool = False
    ) -> Limited:
        """The next command on the way to rest.

        Args:
            position: `(A,)` measured; nan where it is unknown.
            age_s: how long ago it was measured.
            everything: whether velocities whose reaction is `none` come to rest, too, instead of
                going on.
        """
        self._measure(position, age_s)
        goal = np.where(self._coasts & (not everything), self._velocity, 0.0)
        return self._advance(goal, np.zeros(len(self.channels), bool))

    def go_on(self, position: Vector | None = None) -> bool:
        """Let the last velocities be in force for longer, if the robot can still stop in time.

        Args:
            position: `(A,)` measured, and where it is now; nan where it is unknown.

        Returns:
            Whether they may; if not, `brake` has to follow.
        """
        self._measure(position, 0.0)
        steady = np.zeros((1, len(self.channels)))
        if not (self._stops_in_time(steady) | self.by_position).all():
            return False
        self._change = np.where(self.by_position, self._change, 0.0)
        return True

    def _measure(self, position: Vector | None, age_s: float) -> None:
        if position is not None:
            now = position + self._way(age_s)
            self._position = np.where(self.by_position, self._position, now)

    def _way(self, age_s: float) -> Vector:
        """How far the commands of the last seconds have led."""
        way = np.zeros(len(self.channels))
        for velocity in reversed(self._recent):
            if age_s <= 0:
                break
            way += velocity * min(age_s, self._period)
            age_s -= self._period
        return way

    def _advance(self, velocity: Vector, out_of_place: npt.NDArray[np.bool_]) -> Limited:
        goal = np.clip(velocity, -self._speed, self._speed)
        too_much, by_effort = goal != velocity, self.by_effort
        causes = {
            'position': out_of_place.any(),
            'velocity': (too_much & ~by_effort).any(),
            'effort': (too_much & by_effort).any(),
        }
        change = self._towards(goal, self._velocity, self._change)
        asked = (goal - self._velocity) / self._period
        too_fast = np.abs(asked) > self._acceleration + SLACK
        causes['acceleration'] = (too_fast & ~by_effort).any()
        causes['effort_rate'] = (too_fast & by_effort).any()
        within = np.clip(asked, -self._acceleration, self._acceleration)
        causes['jerk'] = (np.abs(change - within) > SLACK).any()
        share = self._share(change)
        if share is not None:
            stop = self._towards(np.zeros_like(goal), self._velocity, self._change)
            change = stop + share * (change - stop)
            causes['position'] = True
        self._velocity = self._velocity + change * self._period
        self._change = change
        self._recent.append(self._velocity)
        self._position = self._position + self._velocity * self._period
        command = np.where(self.by_position, self._position, self._velocity)
        return Limited(command, tuple(cause for cause, acts in causes.items() if acts))

    def _share(self, change: Vector) -> Vector | None:
        """How much of `change` each channel may have, the rest being to brake; None: all."""
        if self._stops_in_time(change[None]).all():
            return None
        stop = self._towards(np.zeros_like(change), self._velocity, self._change)
        shares = np.linspace(0.0, 1.0, CHOICES)[:, None]
        allowed = self._stops_in_time(stop + shares * (change - stop))
        return np.asarray((shares * allowed).max(0))

    def _stops_in_time(self, change: Vector) -> npt.NDArray[np.bool_]:
        """For choices `(N, A)` of the next acceleration: whether a stop stays within positions.

        An unknown position is within no limits.
        """
        low = np.fmin(self._low, self._position) - SLACK  # from outside, only inwards
        high = np.fmax(self._high, self._position) + SLACK
        position, velocity = self._position, self._velocity
        within = np.ones(change.shape, bool)
        for _ in range(BRAKE_STEPS):
            velocity = velocity + change * self._period
            position = position + velocity * self._lasts
            within &= (position >= low) & (position <= high) | ~self.needs_position
            if (np.abs(velocity) < SLACK).all():
                return within
            change = self._towards(np.zeros_like(velocity), velocity, change)
        return within & (np.abs(velocity) < SLACK)

    def _towards(self, goal: Vector, velocity: Vector, change: Vector) -> Vector:
        """The next acceleration on the way from one velocity to another."""
        step = self._jerk * self._period
        best = _approach(goal - velocity, step, self._period)
        best = np.clip(best, change - step, change + step)
        return np.asarray(np.clip(best, -self._acceleration, self._acceleration))


def _bounds(channel: Channel) -> list[float]:
    """Largest command of a channel that is no position, its first and its second derivative."""
    limits = channel.limits
    by_effort = channel.quantity == 'effort'
    bounds = (
        (limits.effort, limits.effort_rate, None)
        if by_effort
        else (limits.velocity, limits.acceleration, limits.jerk)
    )
    return [value or BOUNDLESS for value in bounds]


def _approach(way: Vector, step: Vector, period: float) -> Vector:
    """The highest rate along a way that can be brought to zero in time without going too far.

    Going at rate m now, m - step a period later, and so on down to zero leads over
    `period * ((n + 1) m - step n (n + 1) / 2)` with n = floor(m / step). This is solved for m.

    Args:
        way: what is left to go; signed.
        step: by how much the rate may change in a period.
        period: seconds.
    """
    left = np.abs(way) / period
    n = np.floor((np.sqrt(1.0 + 8.0 * left / step) - 1.0) / 2.0)
    return np.asarray(np.sign(way) * (left + step * n * (n + 1.0) / 2.0) / (n + 1.0))
