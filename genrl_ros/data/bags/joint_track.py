"""Where the joints were at a time, as far as joint states tell."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

KEPT_NS = 1_000_000_000
"""How far back joint states are kept: images come so much later than them at most. Stamps that are
further apart are those of two clocks, of which nobody knows what they have to do with each other.
"""
MAX_STATES = 20_000
"""Joint states that are kept at most, whatever their stamps."""


@dataclass(frozen=True)
class State:
    """Positions `(J,)` of the joints at a time."""

    stamp_ns: int
    positions: Vector


@dataclass
class JointTrack:
    """The joint states of the last seconds, in the order of their stamps.

    A message that contradicts the ones before and after it, which agree with one another, is left
    out: most likely another node publishes on the topic, too, and nobody knows which is right. So
    each message counts once the next is there, and around such a one all are in doubt.

    Attributes:
        max_age_ns: positions from so much earlier or later than an image still count for it.
        reach: `(J,)` how fast joints move at most, in units a second; infinite where unknown.
        period_s: of the control rate.
        contradicting: messages that were left out.
    """

    max_age_ns: int
    reach: Vector
    period_s: float
    contradicting: int = 0
    _states: list[State] = field(default_factory=list)
    _before: State | None = None
    _waiting: State | None = None
    _is_odd: bool = False
    _odd_ns: list[int] = field(default_factory=list)

    def goes_back(self, stamp_ns: int) -> bool:
        """Whether a message with this stamp says that the clock was set back."""
        last = self._waiting or (self._states[-1] if self._states else None)
        return last is not None and stamp_ns < last.stamp_ns - self.max_age_ns

    def restart(self) -> None:
        """Forget all."""
        self._states.clear()
        self._odd_ns.clear()
        self._before = self._waiting = None

    def add(self, state: State) -> State | None:
        """A message arrived; gives the one that counts from now on, if any: the one before."""
        before, waiting = self._before, self._waiting
        self._before, self._waiting = waiting, state
        if waiting is None:
            return None
        self._is_odd = (
            before is not None
            and self._far(before, waiting)
            and self._far(waiting, state)
            and not self._far(before, state)
        )
        if self._is_odd:
            self._leave_out(waiting)
            return None
        return self._keep(waiting)

    def settle(self, stamp_ns: int | None = None, off_ns: int | None = None) -> State | None:
        """No message follows for now; gives the last one, unless the one before was left out.

        Args:
            stamp_ns: the last one is only asked for if it is near this time,
            off_ns: and nearer than this.
        """
        before, waiting = self._before, self._waiting
        if waiting is None:
            return None
        if stamp_ns is not None:
            off_now_ns = abs(waiting.stamp_ns - stamp_ns)
            if off_now_ns > self.max_age_ns or (off_ns is not None and off_ns <= off_now_ns):
                return None
        self._before, self._waiting = waiting, None
        if self._is_odd and before is not None and self._far(before, waiting):
            self._leave_out(waiting)
            return None
        return self._keep(waiting)

    def is_in_doubt(self, stamp_ns: int) -> bool:
        """Whether messages near this time contradicted one another."""
        place = bisect.bisect_left(self._odd_ns, stamp_ns - self.max_age_ns)
        near = self._odd_ns[place : place + 1]
        return bool(near) and near[0] <= stamp_ns + self.max_age_ns

    def nearest(self, stamp_ns: int) -> State | None:
        """The state whose stamp is nearest, however far it is."""
        place = bisect.bisect_left(self._states, stamp_ns, key=_stamp)
        around = self._states[max(0, place - 1) : place + 1]
        return min(around, key=lambda state: abs(state.stamp_ns - stamp_ns), default=None)

    def _leave_out(self, state: State) -> None:
        self.contradicting += 1
        bisect.insort_right(self._odd_ns, state.stamp_ns)
        if len(self._odd_ns) > 2 * MAX_STATES:
            del self._odd_ns[:MAX_STATES]

    def _keep(self, state: State) -> State:
        bisect.insort_right(self._states, state, key=_stamp)
        oldest_ns = self._states[-1].stamp_ns - KEPT_NS
        if self._states[0].stamp_ns < oldest_ns or len(self._states) > MAX_STATES:
            first = bisect.bisect_left(self._states, oldest_ns, key=_stamp)
            del self._states[: max(first, len(self._states) - MAX_STATES)]
        return state

    def _far(self, one: State, other: State) -> bool:
        """Whether the joints cannot have moved from one to the other."""
        time_s = max(abs(other.stamp_ns - one.stamp_ns) * 1e-9, self.period_s)
        moved = np.abs(other.positions - one.positions)
        return bool((moved > 2.0 * time_s * self.reach).any())


def _stamp(state: State) -> int:
    return state.stamp_ns
