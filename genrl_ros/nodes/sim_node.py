"""MuJoCo behind the topics that a robot's drivers and its velocity controller have."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_srvs.srv import SetBool, Trigger
from visualization_msgs.msg import MarkerArray

from genrl_interfaces.msg import TaskState
from genrl_ros.domains import registry
from genrl_ros.domains.base import RobotSpec
from genrl_ros.domains.environment import Scene
from genrl_ros.nodes.ros import conversions, qos
from genrl_ros.nodes.ros.commands import MESSAGES, from_message
from genrl_ros.nodes.ros.lifecycle import ManagedNode
from genrl_ros.nodes.ros.params import ParameterError, declare, parameter
from genrl_ros.nodes.ros.robot import load_robot
from genrl_ros.nodes.ros.run import main as run_main
from genrl_ros.serving.robot.embodiment import Embodiment

COMMAND_PERIODS = 2
"""Control periods that a command holds; after that the arm stops."""
PATIENCE_S = 1.0
"""Steady seconds that are waited, in lockstep, for an answer."""
REPORT_S = 10.0
"""How often the real-time factor is looked at."""


@dataclass(frozen=True)
class SimParameters:
    """Parameters of the simulator."""

    domain: str = parameter('kitchen', 'scene to simulate')
    embodiment: str = parameter('kitchen', 'the robot: a file, or the name of a shipped one')
    real_time_factor: float = parameter(
        1.0, 'simulated seconds a second of wall time', low=0.05, high=10.0
    )
    lockstep: bool = parameter(
        False, 'wait for the answer to each image, once images are answered'
    )
    seed: int = parameter(0, 'seed of the noise on joint readings', low=0)


class SimNode(ManagedNode):
    """Steps the simulator in real time: a command for each control period, an image for some.

    At the end of every control period the newest command is applied, and the next image published
    where the camera has one. So a command that answers an image within the period acts without a
    delay of its own. Without a command the robot stays as it is, or the physics stand still while
    the clock goes on, as the robot's reaction says.
    """

    _scene: Scene | None = None

    def __init__(
        self, make_scene: Callable[[str], Scene] | None = None, **options: object
    ) -> None:
        """Make an unconfigured node.

        Args:
            make_scene: makes the scene of a domain.
            **options: for the ROS node.
        """
        super().__init__('sim_node', **options)
        self._make_scene = make_scene or _make_scene
        self._config = declare(self, SimParameters)

    def configure(self) -> None:
        """Load the scene, and check that the embodiment fits it."""
        self.get_logger().info(f'loads the {self._config.domain}')
        self._robot = robot = load_robot(self._config.embodiment)
        self._scene = self._make_scene(self._config.domain)
        self._order = _channel_order(robot, self._scene.domain.robot)
        self._steps_per_image = _steps_per_image(robot)
        self._units = {each.name: each.unit for each in self._scene.domain.readings}

        self._image = self.create_publisher(Image, robot.camera.topic, qos.SENSOR)
        self._camera_info = self.create_publisher(
            CameraInfo, f'{robot.camera.topic.rpartition("/")[0]}/camera_info', qos.SENSOR
        )
        self._joint_states = self.create_publisher(
            JointState, robot.joint_states.topic, qos.SENSOR
        )
        self._task_state = self.create_publisher(TaskState, 'task_state', qos.LATCHED)
        self._markers = self.create_publisher(MarkerArray, 'task_state/markers', qos.LATCHED)
        self._clock_message = self.create_publisher(ClockMessage, '/clock', qos.CLOCK)
        (group,) = robot.commands
        self.create_subscription(
            MESSAGES[group.interface], group.topic, self.when_active(self._on_command), qos.COMMAND
        )
        self.create_service(Trigger, 'sim/reset', self._on_reset)
        self.create_service(SetBool, 'sim/pause', self._on_pause)

        self._paused, self._answers, self._overdue, self._shown_s = False, False, False, 0.0
        self._period_s = robot.control_dt_s / self._config.real_time_factor
        self._timer = self.every(self._period_s, self._tick)
        self.get_logger().info(
            f'publishes {robot.camera.topic} every '
            f'{self._steps_per_image * self._period_s * 1000:.0f} ms and waits for commands on '
            f'{group.topic}'
        )

    def activate(self) -> None:
        """Start the first episode; those after it go on with its noise."""
        self._reset(self._config.seed)

    def deactivate(self) -> None:
        """Stop time."""
        self._forget_command()

    def cleanup(self) -> None:
        """Close the simulator."""
        if self._scene is not None:
            self._scene.physics.close()
            self._scene = None

    def _reset(self, seed: int | None) -> None:
        assert self._scene is not None
        self._sim_time_ns, self._steps = 0, 0
        self._forget_command()
        self._scene.physics.reset(seed)
        self._publish()
        self._timer.reset()  # so that the first image, too, has a whole period to be answered
        self._begin_report()

    def _begin_report(self) -> None:
        self._report_due, self._steps_since_report = time.monotonic() + REPORT_S, 0

    def _forget_command(self) -> None:
        self._answers = self._overdue = False
        self._command = np.zeros(len(self._order))
        self._command_age = COMMAND_PERIODS

    def _tick(self) -> None:
        assert self._scene is not None
        if self._paused or self._waits_for_answer():
            return
        if self._command_age >= COMMAND_PERIODS:
            if self._command.any():
                does = 'time stands still' if self._robot.stops_time else 'the robot stops'
                self.get_logger().warning(
                    f'no command for {COMMAND_PERIODS} control periods: {does}',
                    throttle_duration_sec=5.0,
                )
            self._forget_command()
        if self._steps % self._steps_per_image == 0:
            self._answers = self._command_age == 0
        self._step()
        self._command_age += 1
        self._steps += 1
        self._sim_time_ns += round(self._robot.control_dt_s * conversions.NANOSECONDS)
        self._publish()
        self._report_rate()

    def _waits_for_answer(self) -> bool:
        """In lockstep: whether the answer to the last image may still come."""
        if not self._config.lockstep or not self._answers or self._command_age == 0:
            return False
        if time.monotonic() < self._shown_s + PATIENCE_S:
            self._overdue = True
            return True
        self._answers = False
        if self._command.any():
            self.get_logger().warning(
                f'no command has answered an image for {PATIENCE_S:g} s: time goes on without one'
            )
        return False

    def _step(self) -> None:
        """One control period of the physics, if they do not stand still."""
        assert self._scene is not None
        physics, robot = self._scene.physics, self._robot
        without = self._command_age >= COMMAND_PERIODS
        rests = robot.commands[0].quantity == 'velocity' and not self._command.any()
        if without and robot.stops_time:
            return
        if without or rests:  # as a velocity controller does
            physics.hold()
        else:
            physics.control(self._command)

    def _publish(self) -> None:
        assert self._scene is not None
        physics, joints = self._scene.physics, self._scene.physics.joints()
        image = None if self._steps % self._steps_per_image else physics.render()
        stamp = conversions.to_stamp(self._sim_time_ns)
        frame = self._robot.camera.frame_id
        self._clock_message.publish(ClockMessage(clock=stamp))
        self._joint_states.publish(
            conversions.to_joint_state(joints.names, joints.position, joints.velocity, stamp)
        )
        if image is None:
            return
        self._image.publish(conversions.to_image(image, stamp, frame))
        self._shown_s = time.monotonic()
        self._camera_info.publish(
            conversions.to_camera_info(
                image.shape[-1], self._scene.domain.camera_fov_deg, stamp, frame
            )
        )
        tasks = {
            name: (logic.reward(physics), logic.success(physics))
            for name, logic in self._scene.logics.items()
        }
        state = conversions.to_task_state(tasks, physics.readings(), self._units, stamp)
        self._task_state.publish(state)
        if self._markers.get_subscription_count() > 0:
            self._markers.publish(conversions.to_task_markers(state))

    def _report_rate(self) -> None:
        self._steps_since_report += 1
        now = time.monotonic()
        if now < self._report_due:
            return
        seconds = now - self._report_due + REPORT_S
        simulated = self._steps_since_report * self._robot.control_dt_s
        self._begin_report()
        wanted = self._config.real_time_factor
        if simulated / seconds < 0.9 * wanted:
            self.get_logger().warning(
                f'keeps a real-time factor of {simulated / seconds:.2f} only, where {wanted:.2f} '
                'is asked for: this machine is too slow or too busy'
            )

    def _on_command(self, message: Any) -> None:
        if self._paused:
            return
        try:
            command = from_message(self._robot.commands[0], message)
        except conversions.MessageError as error:
            self.get_logger().error(f'refuses a command: {error}', throttle_duration_sec=5.0)
            return
        self._command = command[self._order]
        self._command_age = 0
        if self._overdue:
            self._overdue = False
            self._timer.reset()
            self._tick()

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if not self.active:
            response.message = f'sim_node is {self.state_name}'
            return response
        self._reset(None)
        response.success = True
        response.message = f'{self._config.domain} is back at its start, time at zero'
        self.get_logger().info(response.message)
        return response

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._paused = request.data
        self._forget_command()
        self._begin_report()
        response.success = True
        response.message = 'paused' if self._paused else 'goes on'
        self.get_logger().info(response.message)
        return response


def _make_scene(name: str) -> Scene:
    try:
        domain = registry.get(name)
    except ValueError as error:
        raise ParameterError(f'parameter domain: {error}') from None
    return registry.make_scene(domain)


def _steps_per_image(robot: Embodiment) -> int:
    """Control steps from one image to the next."""
    steps = robot.command_rate_hz / robot.camera_rate_hz
    if round(steps) < 1 or abs(steps - round(steps)) > 1e-6 * steps:
        raise ParameterError(
            f'embodiment {robot.name} has {robot.camera_rate_hz:g} images and '
            f'{robot.command_rate_hz:g} commands a second: the simulator sends an image at every '
            'command, or at every second, third and so on'
        )
    return round(steps)


def _channel_order(robot: Embodiment, spec: RobotSpec) -> list[int]:
    """For each action of the simulator, its place in the command."""
    names = [channel.name for channel in robot.channels]
    if len(robot.commands) != 1 or sorted(names) != sorted(spec.action_names):
        raise ParameterError(
            f'embodiment {robot.name} must have one command topic for each of '
            f'{", ".join(spec.action_names)} once, but has {", ".join(names)}'
        )
    if robot.control_dt_s != spec.control_dt_s:
        raise ParameterError(
            f'embodiment {robot.name} has a command every {robot.control_dt_s:g} s, but '
            f'{spec.name} is simulated with one every {spec.control_dt_s:g} s'
        )
    return [names.index(channel) for channel in spec.action_names]


def main() -> None:
    """Run the node."""
    run_main(SimNode)


if __name__ == '__main__':
    main()
