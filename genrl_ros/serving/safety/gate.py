"""The last line before the robot: what a command gate forwards, and what it does on its own.

Knows no ROS, no torch and no ONNX. The time is passed in.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence

import numpy as np

from genrl_ros.serving.robot.embodiment import Channel, Vector
from genrl_ros.serving.safety.filter import USABLE, InputWatch
from genrl_ros.serving.safety.limits import BRAKE_STEPS, REMEMBERED, Limited, Limiter

STOPPED = 'stopped'
PAUSED = 'paused'
WAITING = 'waiting'
FORWARDING = 'forwarding'
REACTING = 'reacting'
OPEN = (WAITING, FORWARDING, REACTING)
"""States in which the next fresh command is forwarded."""

TIMEOUT_PERIODS = 2
"""Answers of the policy that are missing before the declared reaction begins."""
TICKS = 4
"""How often a command period `tick` is called, at least."""
LASTS_PERIODS = 1.0 + 2.0 / TICKS
"""Command periods for which a velocity may be in force: until the first tick after its own, and
as much again for a robot that obeys late."""
BURST = 2
"""Commands that may pass at once; after that, one a period."""
ROUNDING_S = 1e-6


class Gate:
    """Forwards fresh commands, and brings the robot to rest when there are none.

    It starts stopped, and says so to the robot: a gate that comes back after a crash cannot know
    what it was stopped for, nor what moves. A stop wins over everything, and only `release` ends
    it; `open` ends the one that it starts with, and no other.

    Limits of position hold whoever commands, and also where the commands end: a robot that has
    any is driven only while it is known where it is, and is braked before a limit.

    A velocity at rest is commanded on and on while the gate is not open. A position at rest is
    not: whoever moves the arm by hand meanwhile shall not see it go back. So positions begin from
    where the robot is.

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
        just_started: whether it is stopped as it began, and not by anybody.
        needs_positions: whether it has to be told where the robot is.
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
        self._rate = real_time_factor
        self.state, self.reason = STOPPED, 'it has just started; call release'
        self.counts: Counter[str] = Counter()
        self._limiter = Limiter(channels, control_dt_s, control_dt_s * LASTS_PERIODS)
        self.needs_positions = bool(self._limiter.needs_position.any())
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
        self._joints = InputWatch(
            'the joint states',
            max_age_s=measured_max_age_s,
            ahead_s=control_dt_s,
            jump_s=TIMEOUT_PERIODS * control_dt_s,
            real_time_factor=real_time_factor,
        )
        self._measured = np.full(len(channels), np.nan)
        self._measured_s = float('-inf')
        self._sent: deque[tuple[float, Vector]] = deque(maxlen=REMEMBERED)
        """Velocities `(A,)` that were sent, with the steady times."""
        self._acts = True
        """Whether the robot may have to be told to rest."""
        self._begins = True
        """Whether the next command begins from where the robot is."""
        self.just_started = True

    def measure(self, position: Vector, stamp_ns: int, clock_ns: int, now_s: float) -> None:
        """Be told where the robot is.

        Args:
            position: `(A,)`; nan for what is unknown.
            stamp_ns: when it was there.
            clock_ns: the clock that stamps are taken from.
            now_s: steady time.
        """
        if not np.isfinite(position[self._limiter.needs_position]).all():
            self.counts['joint states: not finite'] += 1
            return
        verdict = self._joints.see(stamp_ns, clock_ns, now_s)
        if verdict not in USABLE:
            self.counts[f'joint states: {verdict}'] += 1
            return
        self._measured = position
        self._measured_s = now_s - max(0.0, (clock_ns - stamp_ns) / 1e9) / self._rate

    def stop(self, reason: str) -> None:
        """The emergency stop."""
        self.state, self.reason, self.just_started = STOPPED, reason, False

    def open(self) -> bool:
        """End the stop that the gate starts with. False if there is none, or another one."""
        return self.just_started and self.release()

    def release(self) -> bool:
        """End a stop: the next fresh command is forwarded. False if nothing was stopped."""
        self.just_started = False
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
        if verdict not in USABLE:
            self.counts[verdict] += 1
            return None
        if self.state in (STOPPED, PAUSED):
            self.counts[f'refused while {self.state}'] += 1
            return None
        if lost := self._lost(now_s):
            self.counts['without joint states'] += 1
            self.state = WAITING if self.state == WAITING else REACTING
            self.reason = lost
            return None
        if not self._within_rate(now_s):
            self.counts['too many'] += 1
            return None
        if self._begins:
            self._limiter.start(self._position(now_s))
        self._wanted, self._left = command, self._commands_per_answer
        limited = self._towards_wanted(now_s)
        self.counts['forwarded'] += 1
        self.counts['limited'] += bool(limited.causes)
        self.state, self.reason = FORWARDING, ''
        self._offered_s = now_s
        self._acts, self._begins = True, False
        return limited.command

    def tick(self, now_s: float) -> Vector | None:
        """What to send to the robot now, without a command; None if nothing, as nan is.

        To be called several times a period: it sends at most once a period.
        """
        if self.state == FORWARDING:
            silent = now_s - self._offered_s > self.timeout_s
            problem = f'no command for {self.timeout_s:.2f} s' if silent else self._lost(now_s)
            if problem:
                self.state, self.reason = REACTING, problem
        if self.state == FORWARDING and self._repeats_now(now_s):
            return self._towards_wanted(now_s).command
        if self._stops_time or now_s - self._sent_s < self.period_s - ROUNDING_S:
            return None
        if self.state == FORWARDING:
            goes_on = self._limiter.go_on(self._position(now_s))
            self.counts['braked before a limit'] += not goes_on
        else:
            goes_on = not self._acts
        return None if goes_on else self._brake(now_s)

    def come_to_rest(self, now_s: float) -> Iterator[Vector]:
        """The commands that bring the robot to rest, to be sent a period apart; stop it first."""
        for step in range(BRAKE_STEPS):
            if self._limiter.at_rest or self._stops_time:
                return
            yield self._brake(now_s + step * self.period_s)

    def _lost(self, now_s: float) -> str:
        """Why it is not known where the robot is, for people; empty if it is, or need not be."""
        stands_still = self._stops_time and self._joints.seen  # and is where it was
        return self._joints.stale(now_s) if self.needs_positions and not stands_still else ''

    def _position(self, now_s: float) -> Vector | None:
        """Where the robot is by now: as measured, and led on by what was sent since.

        None if it need not be known; all nan if it is not known.
        """
        if not self.needs_positions:
            return None
        if self._lost(now_s):
            return np.full_like(self._measured, np.nan)
        position, end_s = self._measured.copy(), now_s
        for sent_s, velocity in reversed(self._sent):
            position += velocity * (end_s - max(sent_s, self._measured_s)) * self._rate
            if sent_s <= self._measured_s:
                break
            end_s = sent_s
        return position

    def _remember(self, command: Vector, now_s: float) -> None:
        self._sent_s = now_s
        moves = self._limiter.needs_position & ~self._limiter.by_position
        self._sent.append((now_s, np.where(moves, command, 0.0)))

    def _repeats_now(self, now_s: float) -> bool:
        """Whether the last command of the policy is due once more."""
        due_s = self._offered_s + (self._commands_per_answer - self._left) * self.period_s
        if not self._left or now_s < due_s - ROUNDING_S or not self._within_rate(now_s):
            return False
        self.counts['repeated'] += 1
        return True

    def _towards_wanted(self, now_s: float) -> Limited:
        share, self._left = 1.0 / self._left, self._left - 1
        limited = self._limiter.follow(self._wanted, self._position(now_s), share=share)
        self._remember(limited.command, now_s)
        return limited

    def _within_rate(self, now_s: float) -> bool:
        """Whether a command may pass: limits a period are limits a second only at that rate."""
        earned = (now_s - self._credit_s) / self.period_s
        self._credit, self._credit_s = min(BURST, self._credit + earned), now_s
        if self._credit < 1.0 - ROUNDING_S:
            return False
        self._credit -= 1.0
        return True

    def _brake(self, now_s: float) -> Vector:
        self.counts['reactions'] += 1
        self._begins = self._limiter.at_rest
        everything = self.state == STOPPED
        command = self._limiter.brake(self._position(now_s), everything=everything).command
        self._remember(command, now_s)
        return np.where(self._limiter.by_position & self._begins, np.nan, command)

    def _wait_if(self, state: str) -> bool:
        if self.state != state:
            return False
        self.state, self.reason = WAITING, 'no fresh command yet'
        if self._limiter.at_rest:
            self._acts, self._begins = False, True
        return True
