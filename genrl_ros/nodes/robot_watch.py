"""Whether the robot is still at the task that was learned last, so that a queued one waits."""

from __future__ import annotations

import time
from collections.abc import Callable

from genrl_interfaces.msg import PolicyAnnouncement, PolicyState

TAKE_OVER_S = 60.0
"""How long policy_node may take to drive with a policy that was announced, or to refuse it."""


class RobotWatch:
    """Told of announced policies and of policy_node's state.

    A policy is done when policy_node says so; one that drives on, when it says that it does. One
    that never takes over is waited for no longer than `TAKE_OVER_S`. A robot that is held is still
    at its task, for as long as it is held.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        """Begin with a robot that is at nothing."""
        self._now_s = now_s
        self._announced, self._announced_s = '', float('-inf')
        self._state: PolicyState | None = None

    def announced(self, message: PolicyAnnouncement) -> None:
        """A policy was announced."""
        self._announced, self._announced_s = message.task_id, self._now_s()
        self._state = None  # of the same task, it may be one from before

    def tells(self, message: PolicyState) -> None:
        """policy_node tells its state."""
        self._state = message

    @property
    def busy(self) -> bool:
        """Whether the robot is at a task, or about to be."""
        if not self._announced:
            return False
        state = self._state
        if state is None or state.task_id != self._announced:
            return self._now_s() - self._announced_s < TAKE_OVER_S
        drives_on = state.state == 'driving' and bool(state.reason)
        return state.state != 'done' and not drives_on
