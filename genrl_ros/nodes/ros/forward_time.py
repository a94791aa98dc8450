"""Time that only goes forward: for time-outs in lockstep with a simulator."""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.clock import Clock


class ForwardTime:
    """Seconds that a ROS clock has gone forward; a jump back takes no time.

    A simulator in lockstep waits for whoever answers its images. Its clock stands still then, and
    so does this time: nobody is late. On a robot, time-outs run on the steady clock.

    Args:
        clock: of a node that uses simulated time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock, self._total_s = clock, 0.0
        self._seen_ns = clock.now().nanoseconds

    def __call__(self) -> float:
        """Seconds since this was made."""
        now_ns = self._clock.now().nanoseconds
        self._total_s += max(0, now_ns - self._seen_ns) / 1e9
        self._seen_ns = now_ns
        return self._total_s


def time_outs(
    clock: Clock, real_time_factor: float, *, lockstep: bool
) -> tuple[Callable[[], float], float]:
    """The time that time-outs are measured in, and seconds of the robot in one of its seconds."""
    return (ForwardTime(clock), 1.0) if lockstep else (time.monotonic, real_time_factor)
