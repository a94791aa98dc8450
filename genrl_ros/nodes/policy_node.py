"""Drives the robot with the announced policy; the one node that must never misbehave."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from genrl_interfaces.msg import LatentTokens, PolicyAnnouncement, PolicyState
from genrl_ros.data.bags.synchronise import Pace
from genrl_ros.nodes.ros import conversions, qos
from genrl_ros.nodes.ros.diagnostics import Level, Status
from genrl_ros.nodes.ros.forward_time import ForwardTime
from genrl_ros.nodes.ros.lifecycle import ManagedNode
from genrl_ros.nodes.ros.params import declare, parameter
from genrl_ros.nodes.ros.robot import from_joint_states, load_robot, to_policy_command
from genrl_ros.nodes.ros.run import main as run_main
from genrl_ros.serving.policy.bundle import BundleError, load_bundle
from genrl_ros.serving.policy.driver import Driver
from genrl_ros.serving.policy.runner import PolicyError, PolicyRunner
from genrl_ros.serving.policy.trial import Trial
from genrl_ros.serving.robot.embodiment import Measured, Vector
from genrl_ros.serving.safety.filter import FRESH, JUMPED, InputWatch, SafetyFilter, TickWatch
from genrl_ros.serving.safety.flicker import Flicker
from genrl_ros.serving.safety.gate import FORWARDING, OPEN
from genrl_ros.system.home import below_home

CONFIRM_S = 1.0
"""How often an unchanged state is published again."""
EPISODE_GAP_S = 1.0
"""After so long without driving, by the robot's clock, a policy starts anew."""
JUMP_PERIODS = 2
"""Stamps that go back by more answers than this mean that the clock has jumped."""
LEVELS = {'driving': Level.OK, 'waiting': Level.WARN, 'holding': Level.ERROR}


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


class PolicyNode(ManagedNode):
    """Answers each latent with a command, and holds the robot when it cannot.

    Policies are tried in a process of their own, loaded in a thread, and take over between two
    latents. One that cannot be used is refused, and the one in charge keeps driving.
    """

    def __init__(self, **options: object) -> None:
        super().__init__('policy_node', **options)
        self._config = declare(self, PolicyParameters)
        self._loader: ThreadPoolExecutor | None = None
        self._flicker = Flicker()

    def configure(self) -> None:
        """Read the embodiment, and begin to listen for policies and joint states."""
        self._robot = robot = load_robot(self._config.embodiment)
        lockstep, period_s = self._config.lockstep, robot.answer_dt_s
        self._now_s = ForwardTime(self.get_clock()) if lockstep else time.monotonic
        factor = 1.0 if lockstep else self._config.real_time_factor
        self._policies = below_home(self._config.policies)
        self.get_logger().info(f'takes policies from {self._policies}')
        self._loader = ThreadPoolExecutor(1, thread_name_prefix='bundle')
        self._trial = Trial(self._config.trial_timeout_s)
        self._loading: Future[PolicyRunner] | None = None
        self._wanted: PolicyAnnouncement | None = None
        self._driver: Driver | None = None
        self._task_id, self._stamp_ns = '', 0
        self._drove_s = float('-inf')
        self._reference: Vector | None = None
        self._episode_gap_s = EPISODE_GAP_S / factor
        self._safety = SafetyFilter(robot.channels, robot.control_dt_s, self._config.blend_s)
        self._measured: Measured | None = None
        self._measured_ns = 0
        self._joint_problem, self._gate = '', FORWARDING
        self._latents, self._joints = (
            InputWatch(
                name,
                max_age_s=max_age_s,
                ahead_s=period_s,
                jump_s=JUMP_PERIODS * period_s,
                real_time_factor=factor,
            )
            for name, max_age_s in (
                ('latent', robot.camera.max_age_s),
                (robot.joint_states.topic, robot.joint_states.max_age_s),
            )
        )
        self._pace = Pace(round(period_s * 1e9), round(1e9 / robot.camera_rate_hz))
        self._ticks = TickWatch(period_s / self._config.real_time_factor)
        self._state, self._reason, self._confirm_due = '', '', 0.0

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
        self.every(period_s / self._config.real_time_factor, self._watch)

    def activate(self) -> None:
        """Start to drive, unless the robot lacks a joint."""
        if self._joint_problem:
            raise ValueError(self._joint_problem)
        missing = 'policy was announced yet on policy' if self._driver is None else 'latent yet'
        self._enter('waiting', f'no {missing}')

    def deactivate(self) -> None:
        """Stop the robot."""
        if self._state == 'driving':
            self._hold('policy_node was deactivated')

    def cleanup(self) -> None:
        """Let go of the policy."""
        self._driver = None
        if self._loader is not None:
            self._loader.shutdown(wait=False, cancel_futures=True)
            self._trial.end()

    def health(self) -> Status:
        """What the policy does with the robot, and all that was counted."""
        text = f'{self._state}: {self._reason}' if self._reason else self._state
        figures: dict[str, object] = {
            'steps': self._driver.steps if self._driver else 0,
            'period p50 (s)': f'{self._ticks.percentile(50):.4f}',
            'period p99 (s)': f'{self._ticks.percentile(99):.4f}',
            'overruns': self._ticks.overruns,
        }
        for name, counts in (
            ('safety', self._safety.counts),
            ('latent', self._latents.counts),
            ('joint states', self._joints.counts),
        ):
            figures |= {f'{name}: {what}': count for what, count in counts.items()}
        return Status(LEVELS[self._state], text, figures)

    def _on_policy(self, message: PolicyAnnouncement) -> None:
        self.get_logger().info(f'loads the policy for "{message.prompt}" from {message.path}')
        self._wanted = message
        self._swap()

    def _swap(self) -> None:
        """Between two latents: take over a policy that has been loaded, start to load the next."""
        assert self._loader is not None
        if self._loading is not None and self._loading.done():
            try:
                self._driver = Driver(self._loading.result(), self._robot.answer_dt_s)
            except Exception as error:  # whatever it is, the policy in charge has to drive on
                reason = str(error) or type(error).__name__
                keeps = 'the one in charge drives on' if self._driver else 'there is no other yet'
                self.get_logger().error(f'refuses a policy: {reason}; {keeps}')
            else:
                about = self._driver.runner.bundle.description
                self._task_id = about.task_id
                self._drove_s = float('-inf')
                self.get_logger().info(f'the policy for "{about.prompt}" takes over')
                self._enter('waiting', 'no latents yet on latent')
            self._loading = None
        if self._loading is None and self._wanted is not None:
            self._loading = self._loader.submit(self._load, self._wanted)
            self._wanted = None

    def _load(self, message: PolicyAnnouncement) -> PolicyRunner:
        path = Path(message.path).resolve()
        if not path.is_relative_to(self._policies):
            raise BundleError(f'{path} is not below {self._policies} (parameter policies)')
        bundle = load_bundle(path, self._robot.spec())
        if bundle.sha256 != message.policy_sha256:
            raise BundleError(f'{path} is not the bundle that was announced: sha256 differs')
        self._trial.prove(bundle)
        return PolicyRunner(bundle)

    def _on_joint_states(self, message: JointState) -> None:
        try:
            measured = from_joint_states(message, self._robot)
        except conversions.MessageError as error:
            self._joint_problem = str(error)
            return
        self._joint_problem = ''
        if self._judge(self._joints, message.header) in (FRESH, JUMPED):
            self._measured = measured
            self._measured_ns = conversions.from_stamp(message.header.stamp)

    def _on_gate(self, message: DiagnosticStatus) -> None:
        self._gate = message.message

    def _judge(self, watch: InputWatch, header: Header) -> str:
        stamp_ns = conversions.from_stamp(header.stamp)
        return watch.see(stamp_ns, self.get_clock().now().nanoseconds, self._now_s())

    def _on_latent(self, message: LatentTokens) -> None:
        self._swap()
        if self._driver is None:
            return
        bundle = self._driver.runner.bundle
        about = bundle.description
        try:
            if message.encoder_sha256 != bundle.encoder_sha256:
                raise conversions.MessageError(
                    f'latents come from encoder {message.encoder_sha256[:12]}, the policy was '
                    f'learned with {bundle.encoder_sha256[:12]}: start encoder_node and '
                    'trainer_node with the same model'
                )
            tokens = conversions.from_latent(message, about.stoch, about.classes)
            verdict = self._judge(self._latents, message.header)
            if verdict not in (FRESH, JUMPED):
                return
            stamp_ns = conversions.from_stamp(message.header.stamp)
            if not self._is_due(stamp_ns):
                return
            self._stamp_ns = stamp_ns
            if problem := self._problem():
                self._hold(problem)
                return
            self._begin_if_needed(jumped=verdict == JUMPED)
            self._drive(self._driver, self._driver.observe(tokens, self._stamp_ns))
        except (conversions.MessageError, PolicyError) as error:
            self._hold(str(error))

    def _is_due(self, stamp_ns: int) -> bool:
        """Whether an image is to be answered: of a faster camera's, only some are."""
        judged = self._pace.judge(stamp_ns)
        if judged == 'gap':
            self._pace.restart()
            judged = self._pace.judge(stamp_ns)
        return judged == 'take'

    def _begin_if_needed(self, *, jumped: bool) -> None:
        """Start an episode from the measured state: at first, after a gap, or at a new clock."""
        assert self._driver is not None
        assert self._measured is not None
        now = self._now_s()
        gap = now - self._drove_s > self._episode_gap_s
        if gap or jumped:
            self._driver.reset()
            self._safety.start(self._measured.position, self._measured.velocity, blend=gap)
            self._reference = np.where(
                np.isnan(self._measured.position), 0.0, self._measured.position
            )
        self._drove_s = now

    def _drive(self, driver: Driver, action: npt.NDArray[np.floating]) -> None:
        assert self._measured is not None
        assert self._reference is not None
        position = self._measured.position

        def follow(reference: Vector, age_s: float) -> Vector:
            return self._safety.follow(self._robot.to_command(action, reference), position, age_s)

        self._send(driver, follow)
        self._enter('driving', '')

    def _measured_age_s(self) -> float:
        """How long ago the joints were where they are known to have been, by the robot's clock."""
        return max(0.0, (self.get_clock().now().nanoseconds - self._measured_ns) / 1e9)

    def _problem(self) -> str:
        """Why the robot must not be driven now; empty if it may."""
        if self._gate not in OPEN:
            return f'command_gate is {self._gate}'
        now = self._now_s()
        return self._joint_problem or self._joints.stale(now) or self._latents.stale(now)

    def _watch(self) -> None:
        self._ticks.tick(time.monotonic())
        if summary := self._flicker.summary(time.monotonic()):
            self.get_logger().warning(summary)
        self._swap()
        problem = self._problem()
        if problem and self._driver is not None and self._state != 'waiting':
            self._hold(problem)
        else:
            self._enter(self._state, self._reason)

    def _hold(self, reason: str) -> None:
        """Do what each channel declares; the policy acts at the next observation."""
        assert self._driver is not None
        if self._gate not in OPEN:
            self._drove_s = float('-inf')
        elif self._reference is not None and not self._robot.stops_time:
            position = None if self._measured is None else self._measured.position
            self._send(self._driver, lambda _, age_s: self._safety.react(position, age_s))
        self._driver.interrupt()
        self._enter('waiting' if self._state == 'waiting' else 'holding', reason)

    def _send(self, driver: Driver, next_command: Callable[[Vector, float], Vector]) -> None:
        """Send what the robot shall have been told when the next image is answered.

        Args:
            driver: is told of each command on the way there; the gate goes it as this does.
            next_command: the command after one, when the joints were measured so long ago.
        """
        assert self._reference is not None
        age_s = self._measured_age_s()
        for _ in range(self._robot.commands_per_answer):
            command = next_command(self._reference, age_s)
            driver.sent(self._robot.to_action(command, self._reference))
            self._reference = command
            age_s += self._robot.control_dt_s
        stamp = conversions.to_stamp(self._stamp_ns)  # the gate refuses what answers old images
        self._commands.publish(to_policy_command(self._reference, self._robot, stamp))

    def _enter(self, state: str, reason: str) -> None:
        now = time.monotonic()
        changed = (state, reason) != (self._state, self._reason)
        if not changed and now < self._confirm_due:
            return
        if changed:
            text = f'{state}: {reason}' if reason else state
            if state in ('driving', 'holding'):
                text = self._flicker.change(text, now)
            if state == 'holding' and text:
                self.get_logger().warning(text)
            elif text:
                self.get_logger().info(text)
        worse = state != self._state
        self._state, self._reason, self._confirm_due = state, reason, now + CONFIRM_S
        self._states.publish(
            PolicyState(
                header=Header(stamp=self.get_clock().now().to_msg()),
                task_id=self._task_id,
                state=state,
                reason=reason,
                steps=self._driver.steps if self._driver else 0,
            )
        )
        if worse:
            self.tell()

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._driver is not None
        response.message = 'there is no policy yet'
        if self._driver is not None:
            self._driver.reset()
            response.message = 'the policy starts an episode with the next image'
        return response


def main() -> None:
    """Run the node."""
    run_main(PolicyNode)


if __name__ == '__main__':
    main()
