"""Real nodes over real DDS, in one process: each test in a context and a domain of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter

from genrl_ros.domains.base import Domain, Joints, Reading, RobotSpec, Scripted, Task
from genrl_ros.domains.environment import Scene
from genrl_ros.domains.kitchen import DOMAIN as KITCHEN

TIMEOUT_S = 20.0
JOINTS = (
    *(f'panda_joint{i}' for i in range(1, 8)),
    *('panda_finger_joint1', 'panda_finger_joint2'),
)


class Bench:
    """Holds the nodes of a test and spins them until something has happened."""

    def __init__(self, domain: int) -> None:
        self.context = Context()
        self.context.init(domain_id=domain)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.nodes: list[Node] = []
        self.observer = self.add(Node('observer', context=self.context))

    def add(self, node: Node) -> Node:
        self.nodes.append(node)
        self.executor.add_node(node)
        return node

    def start(self, kind: Callable[..., Node], *arguments: object, **parameters: object) -> Node:
        """Make one of the package's nodes with these parameters, and activate it."""
        node = self.make(kind, *arguments, **parameters)
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        return node

    def make(self, kind: Callable[..., Node], *arguments: object, **parameters: object) -> Node:
        """Make one of the package's nodes with these parameters, unconfigured."""
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        return self.add(kind(*arguments, context=self.context, parameter_overrides=overrides))

    def record(self, kind: type, topic: str, profile: object) -> list:
        """All messages of a topic, as they come."""
        messages: list = []
        self.observer.create_subscription(kind, topic, messages.append, profile)
        return messages

    def until(self, happened: Callable[[], object], what: str, timeout: float = TIMEOUT_S) -> None:
        deadline = time.monotonic() + timeout
        while not happened():
            assert time.monotonic() < deadline, f'waited {timeout} s for {what}'
            self.executor.spin_once(timeout_sec=0.05)

    def connected(self, publisher: object) -> None:
        """Wait until somebody listens to a publisher."""
        self.until(lambda: publisher.get_subscription_count() > 0, f'{publisher.topic_name}')

    def call(self, kind: type, name: str, request: object) -> object:
        """Call a service and wait for its answer."""
        client = self.observer.create_client(kind, name)
        self.until(client.service_is_ready, f'service {name}')
        future = client.call_async(request)
        self.until(future.done, f'answer of {name}')
        return future.result()

    def close(self) -> None:
        for node in reversed(self.nodes):
            node.destroy_node()
        self.executor.shutdown()
        self.context.try_shutdown()


@pytest.fixture
def bench(ros_domain: int) -> Iterator[Bench]:
    bench = Bench(ros_domain)
    yield bench
    bench.close()


TINY_ROBOT = """
name: tiny
command_rate_hz: 12.5
action_repeat: 2
use_sim_time: true
camera: {topic: camera/image_raw, encoding: rgb8, width: 64, height: 64, frame_id: eye}
commands:
  - topic: joint_velocity_controller/commands
    interface: velocity_group
    channels:
      - {joint: c, unit: rad/s, scale: 2.0, reaction: zero, limits: {velocity: 2.0}}
      - {joint: a, unit: rad/s, scale: 2.0, reaction: zero, limits: {velocity: 2.0}}
      - {joint: b, unit: rad/s, scale: 2.0, reaction: zero, limits: {velocity: 2.0}}
"""


@pytest.fixture
def tiny_robot(tmp_path: Path) -> str:
    """The embodiment file of the tiny environment."""
    path = tmp_path / 'tiny.yaml'
    path.write_text(TINY_ROBOT)
    return str(path)


class TinyEnv:
    """Three joints that do as they are told, and a camera that shows the time."""

    robot = RobotSpec('tiny', ('a', 'b', 'c'), (2.0,) * 3, ('rad/s',) * 3, 0.08, 2, 12.5)

    def __init__(self) -> None:
        self.commands: list[list[float]] = []
        self.seed: int | None = None
        self.closed = False
        self.position = self.velocity = np.zeros(3)
        tasks, readings = (Task('push', 'push it'),), (Reading('a', 'rad'),)
        domain = Domain(self.robot, 10, tasks, readings, '', '', Scripted(''))
        self.scene = Scene(domain, self, {'push': Push()})

    def reset(self, seed: int | None = None) -> None:
        self.seed = seed
        self.position = self.velocity = np.zeros(3)

    def control(self, command: np.ndarray) -> None:
        self.commands.append(command.tolist())
        self.velocity = command
        self.position = self.position + command * 0.08

    def hold(self) -> None:
        self.control(np.zeros(3))

    def render(self, size: int = 64) -> np.ndarray:
        image = np.zeros((3, size, size), np.uint8)
        image[0], image[1, 0, 1] = 7, 200
        return image

    def joints(self) -> Joints:
        return Joints(self.robot.action_names, self.position.copy(), self.velocity)

    def readings(self) -> dict[str, float]:
        return {'a': float(self.position[0])}

    def close(self) -> None:
        self.closed = True


class Push:
    def reward(self, physics: TinyEnv) -> float:
        return 0.25

    def success(self, physics: TinyEnv) -> bool:
        return bool(physics.position[0] > 0.5)


@pytest.fixture
def tiny_env() -> TinyEnv:
    return TinyEnv()


class CountingEnv:
    """Stands in for the kitchen: each image shows its number, and every command is kept."""

    robot = KITCHEN.robot

    def __init__(self) -> None:
        self.commands: list[np.ndarray] = []
        self.scene = Scene(replace(KITCHEN, tasks=()), self, {})

    def reset(self, seed: int | None = None) -> None:
        self.commands.clear()

    def control(self, command: np.ndarray) -> None:
        self.commands.append(np.array(command))

    def hold(self) -> None:
        self.control(np.zeros(9))

    def render(self, size: int = 64) -> np.ndarray:
        image = np.zeros((3, size, size), np.uint8)
        image[0], image[1] = divmod(len(self.commands), 256)
        return image

    def joints(self) -> Joints:
        return Joints(JOINTS, np.full(9, 0.01), np.zeros(9))

    def readings(self) -> dict[str, float]:
        return {}

    def close(self) -> None:
        pass


@pytest.fixture
def counting_env() -> CountingEnv:
    return CountingEnv()
