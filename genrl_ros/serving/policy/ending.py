"""When a policy's episode is over. Knows no ROS, no clock, and nothing of a simulator's."""

from __future__ import annotations

HELD_MATCH = 0.6
"""How well latents must match the goal's last ones to count as there: 1 is the same."""
HELD_STEPS = 8
"""Agent steps in a row for which they must; as many as the reward compares at a time."""


class Ending:
    """Ends an episode after its steps, or once the camera has shown its goal for a while.

    The goal counts as seen by the world model's own measure, the one that rewards imagined states.
    It may be wrong, and less sure where the scene is not as it was in the data (docs/ros.md).

    Attributes:
        reason: why it is over, for people; empty before.
    """

    def __init__(self, steps: int, step_s: float) -> None:
        """Begin an episode.

        Args:
            steps: agent steps that it has at most.
            step_s: seconds of each.
        """
        self._steps, self._step_s = steps, step_s
        self.begin()

    def begin(self) -> None:
        """Begin another episode."""
        self.reason = ''
        self._seen, self._held = 0, 0

    def see(self, match: float | None) -> str:
        """Look at an agent step before it is done; gives `reason`.

        Args:
            match: of the latents with the goal's last ones, at most 1; None if it is not known.
        """
        self._held = self._held + 1 if match is not None and match >= HELD_MATCH else 0
        if not self.reason and self._held >= HELD_STEPS:
            self.reason = f'the goal has been seen for {HELD_STEPS * self._step_s:.1f} s'
        elif not self.reason and self._seen >= self._steps:
            self.reason = f'its {self._steps} steps, {self._steps * self._step_s:.1f} s, are over'
        self._seen += 1
        return self.reason
