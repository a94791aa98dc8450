"""Drives the robot with the announced policy; the one node that must never misbehave."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from genrl_interfaces.msg import LatentTokens, PolicyAnnouncement, PolicyState
from genrl_ros.data.bags.synchronise import Pace
from genrl_ros.nodes.ros import conversions, qos
from genrl_ros.nodes.ros.diagnostics import Level, Status
from genrl_ros.nodes.ros.forward_time import time_outs
from genrl_ros.nodes.ros.lifecycle import ManagedNode
from genrl_ros.nodes.ros.params import declare, parameter
from genrl_ros.nodes.ros.robot import from_joint_states, load_robot, to_policy_command
from genrl_ros.nodes.ros.run import main as run_main
from genrl_ros.serving.policy.bundle import BundleError, load_bundle
from genrl_ros.serving.policy.runner import PolicyRunner
from genrl_ros.serving.policy.trial import Trial
from genrl_ros.serving.safety.drive import Decision, Drive, Latent, State
from genrl_ros.serving.safety.filter import TickWatch
from genrl_ros.serving.safety.flicker import Flicker
from genrl_ros.system.home import below_home

CONFIRM_S = 1.0
"""How often an unchanged state is published again."""
LEVELS = {
    State.WAITING: Level.WARN,
    State.HOMING: Level.OK,
    State.DRIVING: Level.OK,
    State.DONE: Level.OK,
    State.HOLDING: Level.ERROR,
}


CAUSES = {
    'joint_states': "the simulator's or the driver's joint states are late",
    'latent': 'encoder_node is late',
}


@dataclass(frozen=True)
class PolicyParameters:
    """Parameters of the policy node: what the robot is, and where policies may come from."""

    embodiment: str = parameter('kitchen', 'the robot: a file, or the name of a shipped one')
    real_time_factor: float = parameter(
        1.0, 'simulated seconds a second of wall time; 1 on a robot', low=0.05, high=10.0
    )
    lockstep: bool = parameter(
        False, "time-outs are by a simulator's clock, which waits for answers; never on a robot"
    )
    blend_s: float = parameter(
        0.32, 'seconds in which a policy that starts gains full influence', low=0.0, high=10.0
    )
    policies: str = parameter(
        'runs/policies', 'only bundles below this folder are loaded; relative: below GENRL_HOME'
    )
    trial_timeout_s: float = parameter(
        30.0, 'seconds within which a policy has to load and to act once', low=1.0, high=600.0
    )
    drive_on: bool = parameter(
        False, 'drive on when the goal is reached, or the steps of an episode are over'
    )


class PolicyNode(ManagedNode):
    """Answers each latent with a command, and holds the robot when it cannot: as `Drive` decides.

    Policies are tried in a process of their own, loaded in a thread, and take over between two
    latents. One that cannot be used is refused, and the one in charge keeps driving.
    """

    def __init__(self, **options: object) -> None:
        super().__init__('policy_node', **options)
        self._config = declare(self, PolicyParameters)
        self._loader: ThreadPoolExecutor | None = None
        self._flicker = Flicker(CAUSES)

    def configure(self) -> None:
        """Read the embodiment, and begin to listen for policies and joint states."""
        self._robot = robot = load_robot(self._config.embodiment)
        factor = self._config.real_time_factor
        now_s, pace = time_outs(self.get_clock(), factor, lockstep=self._config.lockstep)
        self._policies = below_home(self._config.policies)
        self.get_logger().info(f'takes policies from {self._policies}')
        self._loader = ThreadPoolExecutor(1, thread_name_prefix='bundle')
        self._trial = Trial(self._config.trial_timeout_s)
        self._loading: Future[tuple[PolicyRunner, bool]] | None = None
        self._wanted: PolicyAnnouncement | None = None
        self._drive = Drive(
            robot,
            _Time(self.get_clock(), now_s),
            Pace(round(robot.answer_dt_s * 1e9), round(1e9 / robot.camera_rate_hz)),
            self._config.blend_s,
            pace,
            drive_on=self._config.drive_on,
        )
        self._ticks = TickWatch(robot.answer_dt_s / factor)
        self._told: tuple[State, str] | None = None
        self._confirm_due = 0.0

        self._commands = self.create_publisher(JointState, 'policy/command', qos.COMMAND)
        self._states = self.create_publisher(PolicyState, 'policy_state', qos.LATCHED)
        self.create_subscription(
            LatentTokens, 'latent', self.when_active(self._on_latent), qos.SENSOR
        )
        self.create_subscription(
            JointState, robot.joint_states.topic, self._on_joint_states, qos.SENSOR
        )
        self.create_subscription(
            DiagnosticStatus, 'command_gate/state', self._on_gate, qos.LATCHED
        )
        self.create_subscription(PolicyAnnouncement, 'policy', self._on_policy, qos.LATCHED)
        self.create_service(Trigger, 'policy/reset', self._on_reset)
        self.every(robot.answer_dt_s / factor, self._watch)

    def activate(self) -> None:
        """Start to drive, unless the robot lacks a joint."""
        if self._drive.joint_problem:
            raise ValueError(self._drive.joint_problem)
        self._act(self._drive.begin())

    def deactivate(self) -> None:
        """Stop the robot."""
        if self._drive.state in (State.DRIVING, State.HOMING):
            self._act(self._drive.hold('policy_node was deactivated'))

    def cleanup(self) -> None:
        """Let go of the policy."""
        with contextlib.suppress(AttributeError):  # it may not have come that far
            self._drive.driver = None
        if self._loader is not None:
            self._loader.shutdown(wait=False, cancel_futures=True)
            self._trial.end()

    def health(self) -> Status:
        """What the policy does with the robot, and all that was counted."""
        drive = self._drive
        text = f'{drive.state.value}: {drive.reason}' if drive.reason else drive.state.value
        figures: dict[str, object] = {
            'steps': self._steps,
            'period p50 (s)': f'{self._ticks.percentile(50):.4f}',
            'period p99 (s)': f'{self._ticks.percentile(99):.4f}',
            'overruns': self._ticks.overruns,
        }
        for name, counts in (
            ('safety', drive.safety.counts),
            ('latent', drive.latents.counts),
            ('joint states', drive.joints.counts),
        ):
            figures |= {f'{name}: {what}': count for what, count in counts.items()}
        return Status(LEVELS[drive.state], text, figures)

    @property
    def _steps(self) -> int:
        return self._drive.driver.steps if self._drive.driver else 0

    def _on_policy(self, message: PolicyAnnouncement) -> None:
        self.get_logger().info(f'loads the policy for "{message.prompt}" from {message.path}')
        self._wanted = message
        self._swap()

    def _swap(self) -> None:
        """Between two latents: take over a policy that has been loaded, start to load the next."""
        assert self._loader is not None
        if self._loading is not None and self._loading.done():
            try:
                runner, from_here = self._loading.result()
                decision = self._drive.take_over(runner, from_here=from_here)
            except Exception as error:  # whatever it is, the policy in charge has to drive on
                reason = str(error) or type(error).__name__
                keeps = 'keeps the current one' if self._drive.driver else 'there is no other'
                self.get_logger().error(f'refuses a policy: {reason}; {keeps}')
            else:
                about = runner.bundle.description
                self.get_logger().info(f'the policy for "{about.prompt}" takes over')
                self._act(decision)
            self._loading = None
        if self._loading is None and self._wanted is not None:
            self._loading = self._loader.submit(self._load, self._wanted)
            self._wanted = None

    def _load(self, message: PolicyAnnouncement) -> tuple[PolicyRunner, bool]:
        """The policy that was announced, and whether it starts from where the robot is."""
        path = Path(message.path).resolve()
        if not path.is_relative_to(self._policies):
            raise BundleError(f'{path} is not below {self._policies} (parameter policies)')
        bundle = load_bundle(path, self._robot.spec())
        if bundle.sha256 != message.policy_sha256:
            raise BundleError(f'{path} is not the bundle that was announced: sha256 differs')
        self._trial.prove(bundle)
        return PolicyRunner(bundle), message.from_here

    def _on_joint_states(self, message: JointState) -> None:
        try:
            measured = from_joint_states(message, self._robot)
        except conversions.MessageError as error:
            self._drive.joint_problem = str(error)
        else:
            self._drive.feel(measured, conversions.from_stamp(message.header.stamp))

    def _on_gate(self, message: DiagnosticStatus) -> None:
        self._drive.gate = message.message

    def _on_latent(self, message: LatentTokens) -> None:
        self._swap()
        if self._drive.driver is None:
            return
        about = self._drive.driver.runner.bundle.description
        tokens, problem = None, ''
        try:
            tokens = conversions.from_latent(message, about.stoch, about.classes)
        except conversions.MessageError as error:
            problem = str(error)
        stamp_ns = conversions.from_stamp(message.header.stamp)
        decision = self._drive.step(Latent(stamp_ns, message.encoder_sha256, tokens, problem))
        if decision is not None:
            self._act(decision)

    def _watch(self) -> None:
        self._ticks.tick(time.monotonic())
        if summary := self._flicker.summary(time.monotonic()):
            self.get_logger().warning(summary)
        self._swap()
        decision = self._drive.step(None)
        assert decision is not None
        self._act(decision)

    def _act(self, decision: Decision) -> None:
        """Send the command of a decision, and tell its state where that is new."""
        if decision.command is not None:
            stamp = conversions.to_stamp(decision.stamp_ns)  # the gate refuses old answers
            self._commands.publish(to_policy_command(decision.command, self._robot, stamp))
        self._tell_state(decision.state, decision.reason)

    def _tell_state(self, state: State, reason: str) -> None:
        now = time.monotonic()
        on_the_way = state is State.HOMING and self._told is not None and self._told[0] is state
        changed = (state, reason) != self._told and not on_the_way  # the rest is told in time
        if not changed and now < self._confirm_due:
            return
        if changed:
            text = f'{state.value}: {reason}' if reason else state.value
            if state is not State.WAITING:
                text = self._flicker.change(text, now)
            if state is State.HOLDING and text:
                self.get_logger().warning(text)
            elif text:
                self.get_logger().info(text)
        worse = self._told is None or state is not self._told[0]
        self._told, self._confirm_due = (state, reason), now + CONFIRM_S
        driver = self._drive.driver
        self._states.publish(
            PolicyState(
                header=Header(stamp=self.get_clock().now().to_msg()),
                task_id=driver.runner.bundle.description.task_id if driver else '',
                state=state.value,
                reason=reason,
                steps=self._steps,
            )
        )
        if worse:
            self.tell()

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._drive.reset()
        response.message = (
            'the policy starts an episode with the next image'
            if response.success
            else 'there is no policy yet'
        )
        return response


class _Time:
    """The clock of stamps, and the time of time-outs."""

    def __init__(self, clock: Clock, now_s: Callable[[], float]) -> None:
        self._clock, self.now_s = clock, now_s

    def stamp_ns(self) -> int:
        return int(self._clock.now().nanoseconds)


def main() -> None:
    """Run the node."""
    run_main(PolicyNode)


if __name__ == '__main__':
    main()
