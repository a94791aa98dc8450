"""The way home: what is commanded until the joints are where an embodiment declares them.

Knows no ROS and no clock: it is asked once for each image that is answered.
"""

from __future__ import annotations

import numpy as np

from genrl_ros.serving.robot.embodiment import Embodiment, Vector

GAIN = 0.25
"""Share of what is left that a velocity covers in the time of one answer."""
AIM = 0.5
"""Share of the tolerance within which a robot comes to rest, to see whether it stays there."""
REST_S = 0.4
"""How long it has to stay."""
PATIENCE = 2.0
"""Times that the way takes at the declared speed before home counts as out of reach ..."""
SETTLE_S = 10.0
"""... and seconds more, to settle."""


class Homing:
    """Brings a robot home, slowly: velocities in proportion to what is left, positions in steps.

    What pulls at a joint all the time, such as gravity, is learned near home from the error that
    it leaves. The robot is there once it has rested there for a moment, within the tolerance.

    Attributes:
        arrived: whether the robot is home.
        blocked: why home cannot be reached, for people; empty if it may be.
    """

    def __init__(self, robot: Embodiment) -> None:
        """Plan the way of a robot that declares a home."""
        assert robot.home is not None
        home, channels = robot.home, robot.channels
        self._names = [channel.joint for channel in channels]
        self._units = [channel.unit.removesuffix('/s') for channel in channels]
        self._target = np.array([home.positions.get(name, np.nan) for name in self._names])
        self._by_position = np.array([channel.quantity == 'position' for channel in channels])
        self._speed, self._tolerance = home.speed, home.tolerance
        self._answer_s, self._command_s = robot.answer_dt_s, robot.control_dt_s
        self.begin()

    def begin(self) -> None:
        """Begin anew, from wherever the robot is."""
        self.arrived, self.blocked = False, ''
        self._left = self._pull = self._velocity = np.zeros(len(self._names))
        self._rests_s, self._spent_s, self._limit_s = 0.0, 0.0, 0.0
        self._resting = False

    @property
    def remaining(self) -> str:
        """How far the farthest joint is from home, for people."""
        far = int(np.argmax(np.abs(self._left)))
        return f'{self._names[far]} is {abs(self._left[far]):.2f} {self._units[far]} from home'

    def see(self, position: Vector) -> None:
        """Look where the robot is, and decide how it goes on.

        Args:
            position: `(A,)` measured; nan for what no joint tells.
        """
        self._left = np.nan_to_num(self._target - position)
        farthest = float(np.abs(self._left).max())
        if self._limit_s == 0.0:
            self._limit_s = PATIENCE * farthest / self._speed + SETTLE_S
            if farthest <= self._tolerance:
                self.arrived = True
        self._spent_s += self._answer_s
        self._rest(farthest)
        if self._spent_s > self._limit_s and not self.arrived:
            self.blocked = f'cannot get home: after {self._spent_s:.0f} s {self.remaining}'
        self._steer()

    def command(self, reference: Vector) -> Vector:
        """The next command `(A,)` after `reference`; `see` comes first."""
        longest = self._speed * self._command_s
        step = np.clip(self._target - reference, -longest, longest)
        return np.where(self._by_position, reference + np.nan_to_num(step), self._velocity)

    def _rest(self, farthest: float) -> None:
        """Rest where it is near enough, and go on where it does not stay there."""
        if not self._resting:
            self._resting, self._rests_s = farthest <= AIM * self._tolerance, 0.0
            return
        self._rests_s += self._answer_s
        self._resting = farthest <= self._tolerance
        self.arrived = self.arrived or (self._resting and self._rests_s >= REST_S)

    def _steer(self) -> None:
        if self._resting or self.arrived or self.blocked:
            self._velocity = np.zeros_like(self._velocity)
            return
        gain = GAIN / self._answer_s
        near = np.abs(self._left) * gain < self._speed
        self._pull = self._pull + np.where(near, self._left * gain**2 / 4 * self._answer_s, 0.0)
        self._pull = np.clip(self._pull, -self._speed, self._speed)
        self._velocity = np.clip(gain * self._left + self._pull, -self._speed, self._speed)
