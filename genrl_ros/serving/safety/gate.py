"""The last line before the robot: what a command gate forwards, and what it does on its own.

Knows no ROS, no torch and no ONNX. The time is passed in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from genrl_ros.serving.robot.embodiment import Channel, Vector
from genrl_ros.serving.safety.filter import FRESH, JUMPED, InputWatch
from genrl_ros.serving.safety.limits import BRAKE_STEPS, Limited, Limiter

STOPPED = 'stopped'
PAUSED = 'paused'
WAITING = 'waiting'
FORWARDING = 'forwarding'
REACTING = 'reacting'
OPEN = (WAITING, FORWARDING, REACTING)
"""States in which the next fresh command is forwarded."""

TIMEOUT_PERIODS = 2
"""Answers of the policy that are missing before the declared reaction begins."""
BURST = 2
"""Commands that may pass at once; after that, one a period."""
ROUNDING_S = 1e-6


class Gate:
    """Forwards fresh commands, and brings the robot to rest when there are none.

    It starts stopped, and says so to the robot: a gate that comes back after a crash cannot know
    what it was stopped for, nor what moves. A stop wins over everything, and only `release` ends
    it; `open` ends the one that it starts with, and no other.

    A velocity at rest is commanded on and on while the gate is not open. A position at rest is
    not: whoever moves the arm by hand meanwhile shall not see it go back. So positions begin from
    where the robot is, and nothing passes while that is not known.

    Where the camera is slower than the commands, the policy answers each image with one command.
    The gate repeats it until the next is due; a position is reached with the last of these.

    A robot whose reaction is to stop time gets no command while the gate does not forward any:
    its simulator stands still then, and goes on with the next.

    No more than a command a period passes, so that a limit of the change from one command to the
    next is a limit of acceleration.

    Attributes:
        state: one of the names above.
        reason: why it is in that state, for people.
        counts: commands by what became of them.
        period_s: steady seconds between two commands.
        timeout_s: steady seconds without a command of the policy after which the reaction begins.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        control_dt_s: float,
        real_time_factor: float = 1.0,
        measured_max_age_s: float = 0.2,
        commands_per_answer: int = 1,
    ) -> None:
        """Set the limits.

        Args:
            channels: in the order of the command vector.
            control_dt_s: seconds between two commands, by the robot's clock.
            real_time_factor: seconds of the robot's clock in a second of steady time.
            measured_max_age_s: how long it is known where the robot is, by its clock.
            commands_per_answer: commands to the robot for one of the policy.
        """
        self.state, self.reason = STOPPED, 'it has just started; call release'
        self.counts: Counter[str] = Counter()
        self._limiter = Limiter(channels, control_dt_s)
        self.period_s = control_dt_s / real_time_factor
        answer_dt_s = commands_per_answer * control_dt_s
        self.timeout_s = TIMEOUT_PERIODS * answer_dt_s / real_time_factor
        self._watch = InputWatch(
            'commands',
            max_age_s=(TIMEOUT_PERIODS + 1) * answer_dt_s,
            ahead_s=answer_dt_s,
            jump_s=TIMEOUT_PERIODS * answer_dt_s,
            repeats=True,
        )
        self._stops_time = any(channel.reaction == 'stop_time' for channel in channels)
        self._commands_per_answer = commands_per_answer
        self._wanted, self._left = np.zeros(len(channels)), 0
        """The last command of the policy, and how often it is to be sent yet."""
        self._offered_s = float('-inf')
        self._credit, self._credit_s = float(BURST), float('-inf')
        self._sent_s = float('-inf')
        self._measured: Vector | None = None
        self._measured_s = float('-inf')
        self._patience_s = measured_max_age_s / real_time_factor
        self._acts = True
        """Whether the robot may have to be told to rest."""
        self._begins = True
        """Whether the next command begins from where the robot is."""
        self._just_started = True

    @property
    def needs_positions(self) -> bool:
        """Whether it has to be told where the robot is."""
        return bool(self._limiter.by_position.any())

    def measure(self, position: Vector, now_s: float) -> None:
        """Be told where the robot is at a steady time: `(A,)`, nan for what is unknown."""
        self._measured = np.where(self._limiter.by_position, position, np.nan)
        self._measured_s = now_s

    def stop(self, reason: str) -> None:
        """The emergency stop."""
        self.state, self.reason, self._just_started = STOPPED, reason, False

    def open(self) -> bool:
        """End the stop that the gate starts with. False if there is none, or another one."""
        return self._just_started and self.release()

    def release(self) -> bool:
        """End a stop: the next fresh command is forwarded. False if nothing was stopped."""
        self._just_started = False
        return self._wait_if(STOPPED)

    def pause(self) -> bool:
        """Hold until `resume`. False if a stop holds already, which goes on."""
        if self.state == STOPPED:
            return False
        self.state, self.reason = PAUSED, 'it was paused; call resume'
        return True

    def resume(self) -> bool:
        """End a pause. False if nothing was paused: a stop needs a release."""
        return self._wait_if(PAUSED)

    def offer(self, command: Vector, stamp_ns: int, clock_ns: int, now_s: float) -> Vector | None:
        """Take a command from the policy.

        Args:
            command: `(A,)`.
            stamp_ns: of the observation that it answers.
            clock_ns: the clock that stamps are taken from.
            now_s: steady time.

        Returns:
            What to send to the robot; None if nothing, because of what `counts` says.
        """
        if not np.isfinite(command).all():
            self.counts['not finite'] += 1
            return None
        verdict = self._watch.see(stamp_ns, clock_ns, now_s)
        if verdict not in (FRESH, JUMPED):
            self.counts[verdict] += 1
            return None
        if self.state in (STOPPED, PAUSED):
            self.counts[f'refused while {self.state}'] += 1
            return None
        lost = now_s - self._measured_s > self._patience_s
        if self._begins and self.needs_positions and lost:
            self.counts['without joint states'] += 1
            self.reason = f'no joint states for {self._patience_s:.2f} s'
            return None
        if not self._within_rate(now_s):
            self.counts['too many'] += 1
            return None
        if self._begins:
            self._limiter.start(self._measured)
        self._wanted, self._left = command, self._commands_per_answer
        limited = self._towards_wanted()
        self.counts['forwarded'] += 1
        self.counts['limited'] += bool(limited.causes)
        self.state, self.reason = FORWARDING, ''
        self._offered_s = self._sent_s = now_s
        self._acts, self._begins = True, False
        return limited.command

    def tick(self, now_s: float) -> Vector | None:
        """What to send to the robot now, without a command; None if nothing, as nan is.

        To be called several times a period: it sends at most once a period.
        """
        if self.state == FORWARDING and now_s - self._offered_s > self.timeout_s:
            self.state = REACTING
            self.reason = f'no command for {self.timeout_s:.2f} s'
        if self.state == FORWARDING and self._repeats_now(now_s):
            return self._towards_wanted().command
        if self._stops_time:
            return None
        reacts = self.state != FORWARDING and self._acts
        if not reacts or now_s - self._sent_s < self.period_s - ROUNDING_S:
            return None
        self._sent_s = now_s
        return self._brake()

    def come_to_rest(self) -> Iterator[Vector]:
        """The commands that bring the robot to rest, to be sent a period apart; stop it first."""
        for _ in range(BRAKE_STEPS):
            if self._limiter.at_rest or self._stops_time:
                return
            yield self._brake()

    def _repeats_now(self, now_s: float) -> bool:
        """Whether the last command of the policy is due once more."""
        due_s = self._offered_s + (self._commands_per_answer - self._left) * self.period_s
        if not self._left or now_s < due_s - ROUNDING_S or not self._within_rate(now_s):
            return False
        self._sent_s = now_s
        self.counts['repeated'] += 1
        return True

    def _towards_wanted(self) -> Limited:
        share, self._left = 1.0 / self._left, self._left - 1
        return self._limiter.follow(self._wanted, share=share)

    def _within_rate(self, now_s: float) -> bool:
        """Whether a command may pass: limits a period are limits a second only at that rate."""
        earned = (now_s - self._credit_s) / self.period_s
        self._credit, self._credit_s = min(BURST, self._credit + earned), now_s
        if self._credit < 1.0 - ROUNDING_S:
            return False
        self._credit -= 1.0
        return True

    def _brake(self) -> Vector:
        self.counts['reactions'] += 1
        self._begins = self._limiter.at_rest
        command = self._limiter.brake(everything=self.state == STOPPED).command
        return np.where(self._limiter.by_position & self._begins, np.nan, command)

    def _wait_if(self, state: str) -> bool:
        if self.state != state:
            return False
        self.state, self.reason = WAITING, 'no fresh command yet'
        if self._limiter.at_rest:
            self._acts, self._begins = False, True
        return True
