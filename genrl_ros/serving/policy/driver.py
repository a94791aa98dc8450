"""Decides when a policy acts and what it is told of what was done. Knows no ROS.

Time is passed in: stamps of observations for the rhythm of acting.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genrl_ros.serving.policy.ending import Ending
from genrl_ros.serving.policy.runner import PolicyRunner, Tokens


class Driver:
    """Drives a robot with one policy: an action for each observation.

    The policy acts once in `action_repeat` control periods and its action is repeated in between.
    What it is told of its last action is what was really sent since then, on average.

    Attributes:
        runner: the policy.
        steps: actions that the policy has computed since it took over.
        ended: why its episode is over, for people; empty before, and if it never is.
        drive_on: whether it acts on all the same.
    """

    def __init__(
        self,
        runner: PolicyRunner,
        answer_dt_s: float | None = None,
        ending: Ending | None = None,
        *,
        drive_on: bool = False,
    ) -> None:
        """Begin an episode.

        Args:
            runner: the policy.
            answer_dt_s: seconds between two observations; a control period unless given.
            ending: what ends an episode; None if nothing does.
            drive_on: whether it acts on when the episode is over.
        """
        self.runner, self._ending, self.drive_on = runner, ending, drive_on
        self.steps = 0
        about = runner.bundle.description
        self._size = about.action_dim
        answer_dt_s = answer_dt_s or about.control_dt_s
        act_after_s = about.action_repeat * about.control_dt_s - 0.5 * answer_dt_s
        self._act_after_ns = round(act_after_s * 1e9)
        self._action = np.zeros(self._size, np.float32)
        self.reset()

    def reset(self) -> None:
        """Start an episode: forget the hidden state and what was done."""
        self.runner.reset()
        self._sent, self._times, self.ended = np.zeros(self._size), 0, ''
        if self._ending is not None:
            self._ending.begin()
        self.interrupt()

    def interrupt(self) -> None:
        """Something else was sent than the policy's action: it acts at the next observation."""
        self._acted_ns: int | None = None

    def is_over(self) -> bool:
        """Whether it acts no more until `reset`."""
        return bool(self.ended) and not self.drive_on

    def observe(self, tokens: Tokens, stamp_ns: int) -> npt.NDArray[np.float32]:
        """The action `(A,)` in [-1, 1] that answers an observation newer than all before.

        Once the episode `is_over`, it is the last one, and nothing more is computed.

        Raises:
            PolicyError: if the policy has no finite answer; its hidden state is forgotten then.
        """
        if self._acted_ns is None or stamp_ns - self._acted_ns >= self._act_after_ns:
            if self._ends(tokens):
                return self._action
            last = self._sent / max(1, self._times)
            self._sent, self._times = np.zeros(self._size), 0
            self._acted_ns = None
            self._action = self.runner.act(tokens, last)
            self._acted_ns = stamp_ns
            self.steps += 1
        return self._action

    def _ends(self, tokens: Tokens) -> bool:
        if self._ending is not None and not self.ended:
            self.ended = self._ending.see(self.runner.match(tokens))
        return self.is_over()

    def sent(self, action: npt.NDArray[np.float64]) -> None:
        """Be told what was sent to the robot, `(A,)` as an action."""
        self._sent, self._times = self._sent + action, self._times + 1
