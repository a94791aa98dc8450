"""Drives the robot with the announced policy; the one node that must never misbehave."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray, Header
from std_srvs.srv import Trigger

from genrl_interfaces.msg import LatentTokens, PolicyAnnouncement, PolicyState
from genrl_ros.nodes import conversions, qos
from genrl_ros.nodes.params import declare, parameter
from genrl_ros.nodes.run import main as run_main
from genrl_ros.serving.bundle import BundleError, EmbodimentExpectation, load_bundle
from genrl_ros.serving.driver import Driver
from genrl_ros.serving.policy import PolicyError, PolicyRunner

STALE_PERIODS = 2
"""Control periods without a latent after which the robot is held."""
CONFIRM_S = 1.0
"""How often an unchanged state is published again."""


@dataclass(frozen=True)
class PolicyParameters:
    """Parameters of the policy node: what the robot is, and where policies may come from."""

    joints: tuple[str, ...] = parameter(
        (
            *(f'panda_joint{i}' for i in range(1, 8)),
            *('panda_finger_joint1', 'panda_finger_joint2'),
        ),
        'joints in the order of the command message',
    )
    control_dt_s: float = parameter(0.08, 'seconds between two commands', low=0.001, high=10.0)
    real_time_factor: float = parameter(
        1.0, 'simulated seconds a second of wall time; 1 on a robot', low=0.05, high=10.0
    )
    command_limit: float = parameter(2.0, 'largest command (rad/s)', low=0.0)
    image_size: int = parameter(64, 'height and width of the camera image (pixels)', low=1)
    policies: str = parameter('runs/policies', 'only bundles below this folder are loaded')


class PolicyNode(Node):
    """Answers each latent with a command, and holds the robot when it cannot.

    Policies are loaded and tried in a thread, and take over between two latents. One that cannot
    be used is refused, and the one in charge drives on.
    """

    def __init__(self, **options: object) -> None:
        super().__init__('policy_node', **options)
        self._parameters = declare(self, PolicyParameters)
        self._robot = EmbodimentExpectation(
            image_size=self._parameters.image_size,
            action_names=self._parameters.joints,
            control_dt_s=self._parameters.control_dt_s,
            command_limit=self._parameters.command_limit,
        )
        period_s = self._parameters.control_dt_s / self._parameters.real_time_factor
        self._stale_after_s = STALE_PERIODS * period_s
        self._policies = Path(self._parameters.policies).expanduser().resolve()
        self._driver: Driver | None = None
        self._task_id = ''
        self._latent_at = float('-inf')
        self._state, self._reason, self._confirm_due = '', '', 0.0
        self._loader = ThreadPoolExecutor(1, thread_name_prefix='bundle')
        self._loading: Future[PolicyRunner] | None = None
        self._wanted: PolicyAnnouncement | None = None

        self._commands = self.create_publisher(
            Float64MultiArray, 'joint_velocity_controller/commands', qos.COMMAND
        )
        self._states = self.create_publisher(PolicyState, 'policy_state', qos.LATCHED)
        self.create_subscription(LatentTokens, 'latent', self._on_latent, qos.SENSOR)
        self.create_subscription(PolicyAnnouncement, 'policy', self._on_policy, qos.LATCHED)
        self.create_service(Trigger, 'policy/reset', self._on_reset)
        self.create_timer(period_s, self._watch, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._enter('waiting', 'no policy was announced yet on policy')

    def destroy_node(self) -> None:
        """Stop the robot with the node."""
        if self._driver is not None:
            self._send(self._driver.hold())
        self._loader.shutdown(wait=False, cancel_futures=True)
        super().destroy_node()

    def _on_policy(self, message: PolicyAnnouncement) -> None:
        self.get_logger().info(f'loads the policy for "{message.prompt}" from {message.path}')
        self._wanted = message
        self._swap()

    def _swap(self) -> None:
        """Between two latents: take over a policy that has been loaded, start to load the next."""
        if self._loading is not None and self._loading.done():
            try:
                self._driver = Driver(self._loading.result())
            except BundleError as error:
                keeps = 'the one in charge drives on' if self._driver else 'there is no other yet'
                self.get_logger().error(f'refuses a policy: {error}; {keeps}')
            else:
                about = self._driver.runner.bundle.description
                self._task_id = about.task_id
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
        bundle = load_bundle(path, self._robot)
        if bundle.sha256 != message.policy_sha256:
            raise BundleError(f'{path} is not the bundle that was announced: sha256 differs')
        return PolicyRunner(bundle)

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
            stamp_ns = conversions.from_stamp(message.header.stamp)
            command = self._driver.observe(tokens, stamp_ns)
        except (conversions.MessageError, PolicyError) as error:
            self._hold(str(error))
            return
        if command is not None:
            self._send(command)
            self._latent_at = time.monotonic()
            self._enter('driving', '')

    def _watch(self) -> None:
        self._swap()
        if self._driver is None:
            self._enter(self._state, self._reason)
        elif time.monotonic() - self._latent_at > self._stale_after_s:
            if self._state == 'waiting':
                self._enter(self._state, self._reason)
            elif self._state == 'holding':
                self._hold(self._reason)
            else:
                self._hold(f'no new latent on latent for {self._stale_after_s:.2f} s')

    def _hold(self, reason: str) -> None:
        assert self._driver is not None
        self._send(self._driver.hold())
        self._enter('holding', reason)

    def _send(self, command: npt.NDArray[np.float64]) -> None:
        self._commands.publish(Float64MultiArray(data=command.tolist()))

    def _enter(self, state: str, reason: str) -> None:
        now = time.monotonic()
        if (state, reason) == (self._state, self._reason) and now < self._confirm_due:
            return
        if (state, reason) != (self._state, self._reason):
            text = f'{state}: {reason}' if reason else state
            if state == 'holding':
                self.get_logger().warning(text, throttle_duration_sec=0.5)
            else:
                self.get_logger().info(text)
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
