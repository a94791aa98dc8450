"""Real processes over real DDS, a robot that can break in every way, and a recording of it all.

This process is the robot: camera, joint states, clock, controller. Encoder, policy node, gate and
bring-up run as processes of their own, as `genrl up` runs them, and are killed for real.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from faults.table import Report, write_report
from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray, Header
from std_srvs.srv import Trigger

from genrl_interfaces.msg import PolicyAnnouncement, PolicyState
from genrl_ros.cli.discovery import private_domain
from genrl_ros.cli.processes import NodeProcesses
from genrl_ros.deploy.graph import BRINGUP, NODES
from genrl_ros.nodes.ros import qos
from genrl_ros.nodes.ros.conversions import to_image, to_stamp
from genrl_ros.nodes.ros.transport import share_no_memory
from genrl_ros.serving.policy.bundle import PolicyBundle
from genrl_ros.serving.safety.gate import OPEN, STOPPED

PERIOD = 0.08
MAX_AGE = 0.16
POSITION, VELOCITY, ACCELERATION = 2.9, 2.0, 12.5
"""Limits of the robot, to either side: it takes two periods to stop from full speed."""
SECOND = 1_000_000_000
TIMEOUT = 30.0
JOINTS = [f'panda_joint{i}' for i in range(1, 8)]
JOINTS += ['panda_finger_joint1', 'panda_finger_joint2']
PROCESSES = ('encoder_node', 'policy_node', 'command_gate')


def embodiment() -> str:
    limits = (
        f'{{position: [-{POSITION}, {POSITION}], velocity: {VELOCITY}, '
        f'acceleration: {ACCELERATION}}}'
    )
    channels = '\n'.join(
        f'      - {{joint: {joint}, unit: rad/s, scale: 2.0, reaction: zero, limits: {limits}}}'
        for joint in JOINTS
    )
    return f"""\
name: kitchen
command_rate_hz: {1 / PERIOD}
action_repeat: 2
use_sim_time: true
camera:
  {{topic: camera/image_raw, encoding: rgb8, width: 64, height: 64, max_age_s: {MAX_AGE}}}
joint_states: {{topic: joint_states, max_age_s: {MAX_AGE}}}
commands:
  - topic: joint_velocity_controller/commands
    interface: velocity_group
    channels:
{channels}
"""


class Robot(Node):
    """A camera, joint states, a clock and a controller, each of which can be broken.

    Attributes:
        offset_ns: what its clock adds to the machine's.
        camera: makes the next image message, or None.
        joints: makes the next joint states, or None.
        commands: every command that came, with the steady time of its arrival.
        position: limit of each joint, to either side (rad).
        velocity: limit of each joint (rad/s).
    """

    position, velocity = POSITION, VELOCITY

    def __init__(self, context: Context) -> None:
        super().__init__('robot', context=context)
        self.offset_ns = 0
        self.images = 0
        self.image_at = 0.0
        self.camera: Callable[[], Image | None] = self.image
        self.joints: Callable[[], JointState | None] = self.joint_states
        self.commands: list[tuple[float, np.ndarray]] = []
        self.states: list[tuple[float, PolicyState]] = []
        self.gate: list[tuple[float, str]] = []
        self.diagnostics: list[tuple[float, DiagnosticStatus]] = []
        self._noise = np.random.default_rng(0)
        self._clock_messages = self.create_publisher(ClockMessage, '/clock', qos.CLOCK)
        self.camera_images = self.create_publisher(Image, 'camera/image_raw', qos.SENSOR)
        self._joint_states = self.create_publisher(JointState, 'joint_states', qos.SENSOR)
        self.policies = self.create_publisher(PolicyAnnouncement, 'policy', qos.LATCHED)
        self.create_subscription(
            Float64MultiArray, 'joint_velocity_controller/commands', self._on_command, 1000
        )
        self.create_subscription(PolicyState, 'policy_state', self._on_state, qos.LATCHED)
        self.create_subscription(
            DiagnosticStatus, 'command_gate/state', self._on_gate, qos.LATCHED
        )
        self.create_subscription(
            DiagnosticArray, '/diagnostics', self._on_diagnostics, qos.DIAGNOSTICS
        )
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(0.02, self._tell_time, clock=steady)
        self.create_timer(PERIOD, self._tick, clock=steady)

    def now_ns(self) -> int:
        return time.time_ns() + self.offset_ns

    def image(self, stamp_ns: int | None = None) -> Image:
        """A good image: noise, as a camera has it."""
        pixels = self._noise.integers(0, 256, (3, 64, 64), np.uint8)
        return to_image(pixels, to_stamp(stamp_ns or self.now_ns()), 'eye')

    def joint_states(self) -> JointState:
        """Good joint states, in an order of their own."""
        zeros = [0.0] * len(JOINTS)
        return JointState(
            header=Header(stamp=to_stamp(self.now_ns())),
            name=JOINTS[::-1],
            position=zeros,
            velocity=zeros,
        )

    def _tell_time(self) -> None:
        self._clock_messages.publish(ClockMessage(clock=to_stamp(self.now_ns())))

    def _tick(self) -> None:
        self._tell_time()
        for make, publisher in (
            (self.joints, self._joint_states),
            (self.camera, self.camera_images),
        ):
            message = make()
            if message is None:
                continue
            publisher.publish(message)
            if publisher is self.camera_images:
                self.images, self.image_at = self.images + 1, time.monotonic()

    def _on_command(self, message: Float64MultiArray) -> None:
        self.commands.append((time.monotonic(), np.array(message.data)))

    def _on_state(self, message: PolicyState) -> None:
        self.states.append((time.monotonic(), message))

    def _on_gate(self, message: DiagnosticStatus) -> None:
        self.gate.append((time.monotonic(), message.message))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.diagnostics += [(time.monotonic(), status) for status in message.status]


class Rig:
    """The robot, the processes, and what the tests ask of both."""

    def __init__(self, robot: Robot, processes: NodeProcesses, folder: Path) -> None:
        self.robot, self.processes, self.folder = robot, processes, folder
        self.brought_up = False
        self._checked = 0

    def mend(self) -> None:
        """Put the robot in order."""
        self.robot.camera, self.robot.joints = self.robot.image, self.robot.joint_states

    def gate_state(self) -> str:
        self.until(lambda: self.robot.gate, 'the gate')
        return self.robot.gate[-1][1]

    def until(self, happened: Callable[[], object], what: str, timeout: float = TIMEOUT) -> float:
        """Wait until something has happened; when that was."""
        deadline = time.monotonic() + timeout
        while not happened():
            assert time.monotonic() < deadline, f'waited {timeout} s for {what}; {self.summary()}'
            self.processes.check()
            time.sleep(0.002)
        return time.monotonic()

    def summary(self) -> str:
        state = self.robot.states[-1][1] if self.robot.states else None
        return f'{state and (state.state, state.reason)}, gate {self.robot.gate[-1:]}'

    def announce(self, bundle: object, **changes: object) -> None:
        fields = {
            'task_id': bundle.description.task_id,
            'prompt': bundle.description.prompt,
            'path': str(bundle.path),
            'policy_sha256': bundle.sha256,
        }
        self.robot.policies.publish(PolicyAnnouncement(**(fields | changes)))

    def call(self, kind: type, name: str, request: object) -> object:
        """Call a service; the robot's thread spins."""
        client = self.robot.create_client(kind, name)
        self.until(client.service_is_ready, f'service {name}')
        future = client.call_async(request)
        self.until(future.done, f'an answer of {name}')
        self.robot.destroy_client(client)
        return future.result()

    def gate(self, name: str) -> Trigger.Response:
        return self.call(Trigger, f'command_gate/{name}', Trigger.Request())

    @property
    def moving(self) -> bool:
        """Whether the last command moves the robot at the policy's speed, and just came."""
        if not self.robot.commands:
            return False
        when, command = self.robot.commands[-1]
        return time.monotonic() - when < 2 * PERIOD and np.abs(command).max() > 0.4

    def moves_within(self, seconds: float) -> bool:
        """Whether the robot is driven now, or soon."""
        deadline = time.monotonic() + seconds
        while not self.moving and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.moving

    def wait_driving(self) -> None:
        self.until(lambda: self.moving, 'the robot to be driven')

    def begin_stop(self, since: float) -> float:
        """When the first command after `since` came that is slower than the one before it."""

        def slower() -> float | None:
            commands = list(self.robot.commands)
            for (_, before), (when, after) in zip(commands, commands[1:], strict=False):
                if when > since and np.abs(after).max() < np.abs(before).max() - 1e-6:
                    return when
            return None

        self.until(slower, 'the robot to be braked')
        return slower()

    def wait_still(self) -> float:
        """When the robot was at rest."""
        return self.until(
            lambda: self.robot.commands and not self.robot.commands[-1][1].any(), 'rest'
        )

    def figure(self, node: str, name: str) -> int:
        """A counter that a node last told in its diagnostics."""
        for _, status in reversed(self.robot.diagnostics):
            if status.name == node:
                for value in status.values:
                    if value.key == name:
                        return int(value.value)
        return 0

    def level_at(self, node: str, level: bytes, since: float) -> float | None:
        """When a node first told a level."""
        for when, status in self.robot.diagnostics:
            if when >= since and status.name == node and status.level == level:
                return when
        return None

    def memory(self, node: str) -> int:
        pages = Path(f'/proc/{self.processes.pids[node]}/statm').read_text().split()[1]
        return int(pages) * os.sysconf('SC_PAGE_SIZE')

    def forget_commands(self) -> None:
        """Let the next check begin with the newest command."""
        self._checked = max(0, len(self.robot.commands) - 1)

    def check_commands(self) -> int:
        """Assert that no command since the last check broke a limit; how many there were."""
        commands = [command for _, command in self.robot.commands]
        for before, after in zip(
            commands[self._checked :], commands[self._checked + 1 :], strict=False
        ):
            assert after.shape == (len(JOINTS),)
            assert np.isfinite(after).all(), 'a command is not finite'
            assert np.abs(after).max() <= VELOCITY + 1e-9, 'a command is too fast'
            change = np.abs(after - before).max() / PERIOD
            assert change <= ACCELERATION + 1e-6, f'a command accelerates by {change}'
        count = len(commands) - self._checked
        self.forget_commands()
        return count


@pytest.fixture(scope='session')
def rig(tmp_path_factory: pytest.TempPathFactory, encoder_bytes: bytes) -> Iterator[Rig]:
    """The processes, brought up once for all tests; those that are killed come back."""
    folder = tmp_path_factory.mktemp('rig')
    (folder / 'encoder.onnx').write_bytes(encoder_bytes)
    (folder / 'robot.yaml').write_text(embodiment())
    parameters = folder / 'parameters.yaml'
    parameters.write_text(
        '/**:\n  ros__parameters:\n    use_sim_time: true\n'
        f'    model: {folder}\n    embodiment: {folder}/robot.yaml\n'
        f'    policies: {tmp_path_factory.getbasetemp()}\n    blend_s: {2 * PERIOD}\n'
        f'    stuck_after_s: {MAX_AGE}\n    trial_timeout_s: 10.0\n    drive_on: true\n'
    )
    nodes = [node for node in NODES if node.name in PROCESSES] + [BRINGUP]
    with private_domain() as environment:
        os.environ.update(environment)
        share_no_memory()  # a recorder must not be held up by what it records
        context = Context()
        rclpy.init(
            context=context,
            domain_id=int(environment['ROS_DOMAIN_ID']),
            signal_handler_options=SignalHandlerOptions.NO,
        )
        robot = Robot(context)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(robot)
        thread = threading.Thread(target=executor.spin, daemon=True)
        thread.start()
        with NodeProcesses(
            nodes, [parameters], {'bringup': {'nodes': list(PROCESSES)}}, environment,
            logs=folder / 'log', respawn=True,
        ) as processes:  # fmt: skip
            yield Rig(robot, processes, folder)
        executor.shutdown()
        thread.join()
        robot.destroy_node()
        context.try_shutdown()


@pytest.fixture
def driving(rig: Rig, make_bundle: Callable[..., PolicyBundle]) -> Iterator[Rig]:
    """A rig whose robot is in order and being driven; in the end no command has broken a limit."""
    rig.mend()
    if rig.brought_up and rig.gate_state() == STOPPED:
        assert rig.gate('release').success
    rig.until(lambda: rig.gate_state() in OPEN, 'an open gate')
    rig.brought_up = True
    if not rig.moves_within(1.0):
        rig.announce(make_bundle(action=0.25))
    rig.wait_driving()
    rig.check_commands()
    yield rig
    rig.check_commands()


REPORT = Report()


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Adds a figure to the row of the test."""
    row = request.node.get_closest_marker('row').args[0]
    return REPORT.figures.setdefault(row, []).append


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    marker = item.get_closest_marker('row')
    if marker and (report.when == 'call' or report.failed):
        REPORT.outcomes.setdefault(marker.args[0], []).append(report.outcome)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption('--faults-report', help='write the table of faults into this file')


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line('markers', 'row(number): the row of the fault table')


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.getoption('--faults-report', default=None)
    if path:
        write_report(Path(path), REPORT)
