"""Decides when a policy acts, what is sent in between, and when nothing may be sent. Knows no ROS.

Time is passed in: stamps of observations for the rhythm of acting, a steady clock for staleness.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genrl_ros.serving.policy import PolicyRunner, Tokens

JUMP_PERIODS = 2
"""Stamps that go back by more control periods than this mean that the clock has jumped."""


class Driver:
    """Drives a robot with one policy: a command for each observation.

    The policy acts once in `action_repeat` control periods and its action is sent again in
    between. What it is told of its last action is what was really sent, zeros after a hold.

    Attributes:
        runner: the policy.
        steps: actions that the policy has computed since it took over.
        dropped: observations that came late or twice, and were not used.
    """

    def __init__(self, runner: PolicyRunner) -> None:
        self.runner = runner
        self.steps = 0
        self.dropped = 0
        about = runner.bundle.description
        self._scale = np.asarray(about.action_scale)
        self._period_ns = round(about.control_dt_s * 1e9)
        self._act_after_ns = round((about.action_repeat - 0.5) * self._period_ns)
        self.reset()

    def reset(self) -> None:
        """Start an episode: forget the hidden state and the last action."""
        self.runner.reset()
        self._action = np.zeros(len(self._scale), np.float32)
        self._acted_ns: int | None = None
        self._seen_ns: int | None = None

    def observe(self, tokens: Tokens, stamp_ns: int) -> npt.NDArray[np.float64] | None:
        """The command `(A,)` in physical units that answers an observation.

        A stamp that went back far, or to the clock's beginning, starts an episode.

        Returns:
            None if the observation is not new, so that nothing follows from it.

        Raises:
            PolicyError: if the policy has no finite answer; the driver holds then.
        """
        if self._seen_ns is not None and stamp_ns <= self._seen_ns:
            back_ns = self._seen_ns - stamp_ns
            if back_ns == 0 or (
                back_ns <= JUMP_PERIODS * self._period_ns and stamp_ns >= self._period_ns
            ):
                self.dropped += 1
                return None
            self.reset()
        self._seen_ns = stamp_ns
        if self._acted_ns is None or stamp_ns - self._acted_ns >= self._act_after_ns:
            last, self._action = self._action, np.zeros_like(self._action)
            self._action = self.runner.act(tokens, last)
            self._acted_ns = stamp_ns
            self.steps += 1
        return self._action * self._scale

    def hold(self) -> npt.NDArray[np.float64]:
        """The command that keeps the robot safe while no policy may act: no velocity.

        The policy acts at the next observation, knowing that nothing was done.
        """
        self._action = np.zeros_like(self._action)
        self._acted_ns = None
        return np.zeros(len(self._scale))
