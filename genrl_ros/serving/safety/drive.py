"""Decides what a policy does with the robot: when it acts, and when the robot is held instead.

Knows no ROS. `Drive` is told what has come (joint states, the gate's state, a new policy), and is
asked for a decision about each latent and once a period.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from genrl_ros.serving.policy.driver import Driver
from genrl_ros.serving.policy.ending import Ending
from genrl_ros.serving.policy.runner import PolicyError, PolicyRunner, Tokens
from genrl_ros.serving.robot.embodiment import Embodiment, Measured, Vector
from genrl_ros.serving.safety.filter import JUMPED, USABLE, InputWatch, SafetyFilter
from genrl_ros.serving.safety.gate import FORWARDING, OPEN
from genrl_ros.serving.safety.homing import Homing

EPISODE_GAP_S = 1.0
"""After so long without driving, by the robot's clock, a policy starts anew."""
JUMP_PERIODS = 2
"""Stamps that go back by more answers than this mean that the clock has jumped."""


class State(enum.Enum):
    """What the policy does with the robot.

    It waits for what it needs; the robot goes home; the policy drives; it is done, and the robot
    rests; or the robot is held, because it must not be driven.
    """

    WAITING = 'waiting'
    HOMING = 'homing'
    DRIVING = 'driving'
    DONE = 'done'
    HOLDING = 'holding'


class Time(Protocol):
    """The two times that decisions go by."""

    def stamp_ns(self) -> int:
        """The clock that stamps are taken from."""
        ...

    def now_s(self) -> float:
        """The time that time-outs run on."""
        ...


class Pace(Protocol):
    """Picks the images that are answered, of a camera that may be faster."""

    def judge(self, stamp_ns: int) -> str:
        """`take`, `skip`, or `gap`: images are missing before it, or the clock has gone back."""
        ...

    def restart(self) -> None:
        """Take the next image, whenever it is from."""
        ...


@dataclass(frozen=True)
class Latent:
    """An observation.

    Attributes:
        stamp_ns: of its image.
        encoder_sha256: of the encoder that it comes from.
        tokens: `(S,)`; None where the message does not fit the policy.
        problem: why it does not.
    """

    stamp_ns: int
    encoder_sha256: str
    tokens: Tokens | None
    problem: str = ''


@dataclass(frozen=True)
class Decision:
    """What to do now.

    Attributes:
        state: what the policy does with the robot.
        reason: why, for people; empty while it drives.
        command: `(A,)` to send to the gate; None: nothing.
        stamp_ns: of the observation that the command answers.
    """

    state: State
    reason: str
    command: Vector | None = None
    stamp_ns: int = 0


class Drive:
    """Answers each latent with a command, and holds the robot when it cannot.

    A policy begins with the robot at home, where the embodiment declares one, and ends with the
    robot at rest. A new policy, `reset`, or a simulator's clock that goes back begin an episode.

    Attributes:
        state: what the policy does with the robot.
        reason: why, for people; what is left of the way home; empty while the policy drives.
        driver: the policy in charge; None before the first.
        gate: state of the command gate, as it told last.
        joint_problem: why the last joint states cannot be used; empty if they can.
        safety: the filter that commands go through, with its counters.
        latents: the watch of latents, with its counters.
        joints: the watch of joint states, with its counters.
    """

    def __init__(
        self,
        robot: Embodiment,
        time: Time,
        pace: Pace,
        blend_s: float = 0.0,
        real_time_factor: float = 1.0,
        *,
        drive_on: bool = False,
    ) -> None:
        """Begin without a policy.

        Args:
            robot: what is driven.
            time: the clocks.
            pace: which images are answered.
            blend_s: seconds in which a policy that starts gains full influence.
            real_time_factor: seconds of the robot's clock in one of the time of time-outs.
            drive_on: whether a policy goes on when its episode is over.
        """
        self.state, self.reason = State.WAITING, ''
        self.driver: Driver | None = None
        self.gate, self.joint_problem = FORWARDING, ''
        self.safety = SafetyFilter(robot.channels, robot.control_dt_s, blend_s)
        self._robot, self._time, self._drive_on = robot, time, drive_on
        self._homing: Homing | None = None
        """The way home, until the robot is there."""
        self._gap_s = EPISODE_GAP_S / real_time_factor
        self._drove_s = float('-inf')
        self._jumped = False
        """Whether the clock has gone back since the last episode."""
        self._measured: Measured | None = None
        self._measured_ns, self._stamp_ns = 0, 0
        self._reference: Vector | None = None
        """The last command, which relative ones go on from; None before anything was driven."""
        self._pace, period_s = pace, robot.answer_dt_s
        self.latents, self.joints = (
            InputWatch(
                name,
                max_age_s=max_age_s,
                ahead_s=period_s,
                jump_s=JUMP_PERIODS * period_s,
                real_time_factor=real_time_factor,
            )
            for name, max_age_s in (
                ('latent', robot.camera.max_age_s),
                (robot.joint_states.topic, robot.joint_states.max_age_s),
            )
        )

    def feel(self, measured: Measured, stamp_ns: int) -> None:
        """Be told where the robot was at a stamp."""
        self.joint_problem = ''
        if self._judge(self.joints, stamp_ns) in USABLE:
            self._measured, self._measured_ns = measured, stamp_ns

    def take_over(self, runner: PolicyRunner, *, from_here: bool = False) -> Decision:
        """Let another policy drive from the next latent on, or from home, if there is one.

        Args:
            runner: the policy.
            from_here: whether it begins where the robot is.
        """
        robot, about = self._robot, runner.bundle.description
        ending = Ending(about.attempt_steps or robot.episode_steps, robot.spec().step_s)
        self.driver = Driver(runner, robot.answer_dt_s, ending, drive_on=self._drive_on)
        goes_home = robot.home is not None and not from_here
        self._homing = Homing(robot) if goes_home else None
        self._drove_s, self._jumped = float('-inf'), False
        return self._wait('no latents yet on latent')

    def begin(self) -> Decision:
        """Wait for what is missing."""
        missing = 'policy was announced yet on policy' if self.driver is None else 'latent yet'
        return self._wait(f'no {missing}')

    def reset(self) -> bool:
        """Let the policy start an episode with the next latent. False if there is none."""
        if self.driver is not None:
            self.driver.reset()
        if self._homing is not None:
            self._homing.begin()
        return self.driver is not None

    def step(self, latent: Latent | None) -> Decision | None:
        """Decide about a latent that has come, or, with None, once a period, whether all is well.

        Returns:
            What to do; None if nothing follows from the latent.
        """
        if latent is None:
            problem = self._problem()
            holds = problem and self.driver is not None and self.state is not State.WAITING
            return self.hold(problem) if holds else Decision(self.state, self.reason)
        if self.driver is None:
            return None
        try:
            return self._answer(self.driver, latent)
        except PolicyError as error:
            return self.hold(str(error))

    def hold(self, reason: str) -> Decision:
        """Do what each channel declares; the policy acts at the next observation, if it does."""
        assert self.driver is not None
        command = None
        if self.gate not in OPEN:
            self._drove_s = float('-inf')
        elif self._reference is not None and not self._robot.stops_time:
            position = None if self._measured is None else self._measured.position
            command = self._go(self.driver, lambda _, age_s: self.safety.react(position, age_s))
        self.driver.interrupt()
        if self.driver.is_over():
            self.state, self.reason = State.DONE, self.driver.ended
        else:
            self.state = State.WAITING if self.state is State.WAITING else State.HOLDING
            self.reason = reason
        return Decision(self.state, self.reason, command, self._stamp_ns)

    def _answer(self, driver: Driver, latent: Latent) -> Decision | None:
        ours = driver.runner.bundle.encoder_sha256
        if latent.encoder_sha256 != ours:
            return self.hold(
                f'latents come from encoder {latent.encoder_sha256[:12]}, the policy was '
                f'learned with {ours[:12]}: start encoder_node and trainer_node with the same '
                'model'
            )
        if latent.tokens is None:
            return self.hold(latent.problem)
        verdict = self._judge(self.latents, latent.stamp_ns)
        if verdict not in USABLE or not self._is_due(latent.stamp_ns):
            return None
        self._stamp_ns = latent.stamp_ns
        self._jumped = self._jumped or verdict == JUMPED
        if problem := self._problem():
            return self.hold(problem)
        assert self._measured is not None
        jumped, self._jumped = self._jumped, False
        if jumped and driver.is_over() and self._robot.use_sim_time:
            driver.reset()
        if driver.is_over():
            return self.hold(driver.ended)
        self._begin_if_needed(driver, self._measured, jumped=jumped)
        if self._homing is not None:
            self._homing.see(self._measured.position)
            if not self._homing.arrived:
                return self._go_home(driver, self._homing, self._measured.position)
            self._homing, self._drove_s = None, float('-inf')
            self._begin_if_needed(driver, self._measured, jumped=False)
        action = driver.observe(latent.tokens, latent.stamp_ns)
        if driver.is_over():
            return self.hold(driver.ended)
        command = self._follow(driver, action, self._measured.position)
        self.state = State.DRIVING
        self.reason = f'{driver.ended}; it keeps driving' if driver.ended else ''
        return Decision(self.state, self.reason, command, self._stamp_ns)

    def _go_home(self, driver: Driver, homing: Homing, position: Vector) -> Decision:
        if homing.blocked:
            self.state = State.HOLDING
            return self.hold(f'{homing.blocked}; call policy/reset to try again')

        def follow(reference: Vector, age_s: float) -> Vector:
            return self.safety.follow(homing.command(reference), position, age_s)

        command = self._go(driver, follow)
        self.state, self.reason = State.HOMING, homing.remaining
        return Decision(self.state, self.reason, command, self._stamp_ns)

    def _is_due(self, stamp_ns: int) -> bool:
        """Whether an image is to be answered: of a faster camera's, only some are."""
        judged = self._pace.judge(stamp_ns)
        if judged == 'gap':
            self._pace.restart()
            judged = self._pace.judge(stamp_ns)
        return judged == 'take'

    def _begin_if_needed(self, driver: Driver, measured: Measured, *, jumped: bool) -> None:
        """Start an episode from the measured state: at first, after a gap, or at a new clock."""
        now_s = self._time.now_s()
        gap = now_s - self._drove_s > self._gap_s
        if gap or jumped:
            driver.reset()
            self.safety.start(measured.position, measured.velocity, blend=gap)
            self._reference = np.where(np.isnan(measured.position), 0.0, measured.position)
            if self._homing is not None and (jumped or not self._homing.blocked):
                self._homing.begin()
        self._drove_s = now_s

    def _follow(
        self, driver: Driver, action: npt.NDArray[np.floating], position: Vector
    ) -> Vector:
        def follow(reference: Vector, age_s: float) -> Vector:
            return self.safety.follow(self._robot.to_command(action, reference), position, age_s)

        return self._go(driver, follow)

    def _go(self, driver: Driver, next_command: Callable[[Vector, float], Vector]) -> Vector:
        """What the robot shall have been told when the next image is answered.

        Args:
            driver: is told of each command on the way there; the gate goes it as this does.
            next_command: the command after one, when the joints were measured so long ago.
        """
        assert self._reference is not None
        age_s = max(0.0, (self._time.stamp_ns() - self._measured_ns) / 1e9)
        for _ in range(self._robot.commands_per_answer):
            command = next_command(self._reference, age_s)
            driver.sent(self._robot.to_action(command, self._reference))
            self._reference = command
            age_s += self._robot.control_dt_s
        return self._reference

    def _problem(self) -> str:
        """Why the robot must not be driven now; empty if it may."""
        if self.gate not in OPEN:
            return f'command_gate is {self.gate}'
        now_s = self._time.now_s()
        return self.joint_problem or self.joints.stale(now_s) or self.latents.stale(now_s)

    def _judge(self, watch: InputWatch, stamp_ns: int) -> str:
        return watch.see(stamp_ns, self._time.stamp_ns(), self._time.now_s())

    def _wait(self, reason: str) -> Decision:
        self.state, self.reason = State.WAITING, reason
        return Decision(self.state, reason)
