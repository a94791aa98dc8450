"""Looks at a running graph: who publishes what, how often, and what the messages say."""

from __future__ import annotations

from typing import Any

from rcl_interfaces.srv import GetParameters
from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.duration import Infinite
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible
from rclpy.serialization import deserialize_message
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import String

from genrl_ros.nodes.ros import qos
from genrl_ros.nodes.ros.conversions import NANOSECONDS, from_stamp
from genrl_ros.serving.robot.embodiment import Embodiment
from genrl_ros.serving.robot.preflight import Endpoint, Seen
from genrl_ros.serving.robot.urdf import UrdfError, parse_joint_limits

FIRST_MESSAGE_S = 5.0
"""How long to wait for what is there: discovery takes up to three seconds."""
ANSWER_S = 2.0


class Probe(Node):
    """Listens to the topics of an embodiment, and publishes nothing."""

    def __init__(self, robot: Embodiment, namespace: str = '', **options: Any) -> None:
        """Begin to listen.

        Args:
            robot: names the topics.
            namespace: ROS namespace of the robot.
            **options: for the ROS node.
        """
        super().__init__(
            'genrl_preflight',
            namespace=namespace,
            parameter_overrides=[Parameter('use_sim_time', value=robot.use_sim_time)],
            **options,
        )
        camera, states = robot.camera.topic, robot.joint_states.topic
        self._kinds: dict[str, type] = {
            self.resolve_topic_name(camera): (
                CompressedImage if robot.camera.is_compressed else Image
            ),
            self.resolve_topic_name(states): JointState,
        }
        self._camera, self._states = self._kinds
        self._commands = [self.resolve_topic_name(group.topic) for group in robot.commands]
        self._counts = dict.fromkeys(self._kinds, 0)
        self._last: dict[str, tuple[bytes, int]] = {}
        self._urdf = ''
        for topic, kind in self._kinds.items():
            self.create_subscription(kind, topic, self._taker(topic), qos.SENSOR, raw=True)
        self.create_subscription(String, 'robot_description', self._on_urdf, qos.LATCHED)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)

    def look(self, executor: SingleThreadedExecutor, seconds: float) -> Seen:
        """Spin for a while, and tell what was seen.

        Args:
            executor: that this node was added to.
            seconds: how long to count messages, once there are some.
        """
        self._spin(executor, FIRST_MESSAGE_S, self._is_complete)
        self._counts = dict.fromkeys(self._kinds, 0)
        began_ns = self.get_clock().now().nanoseconds
        self._spin(executor, seconds, lambda: False)
        elapsed_s = (self.get_clock().now().nanoseconds - began_ns) / NANOSECONDS
        messages, ages_s = self._messages()
        return Seen(
            seconds=max(elapsed_s, 1e-3),
            publishers={
                topic: self._givers_of(topic) for topic in (*self._kinds, *self._commands)
            },
            subscriptions={topic: self._takers_of(executor, topic) for topic in self._commands},
            counts=dict(self._counts),
            ages_s=ages_s,
            image=messages.get(self._camera),
            joint_states=messages.get(self._states),
            has_clock=self.count_publishers('/clock') > 0,
            urdf=self._limits(),
        )

    def _taker(self, topic: str) -> Any:
        def take(data: bytes) -> None:
            self._counts[topic] += 1
            self._last[topic] = data, self.get_clock().now().nanoseconds

        return take

    def _on_urdf(self, message: String) -> None:
        self._urdf = message.data

    def _is_complete(self) -> bool:
        taken = all(self.count_subscribers(topic) for topic in self._commands)
        return taken and all(self._counts.values())

    def _spin(self, executor: SingleThreadedExecutor, seconds: float, until: Any) -> None:
        deadline = self._steady.now().nanoseconds + seconds * NANOSECONDS
        while self._steady.now().nanoseconds < deadline and not until():
            executor.spin_once(timeout_sec=0.05)

    def _messages(self) -> tuple[dict[str, Any], dict[str, float]]:
        messages, ages_s = {}, {}
        for topic, (data, arrived_ns) in self._last.items():
            messages[topic] = deserialize_message(data, self._kinds[topic])
            stamp_ns = from_stamp(messages[topic].header.stamp)
            ages_s[topic] = (arrived_ns - stamp_ns) / NANOSECONDS
        return messages, ages_s

    def _givers_of(self, topic: str) -> list[Endpoint]:
        return [
            Endpoint(
                info.node_name, info.topic_type, _mismatch(info.qos_profile, _explicit(qos.SENSOR))
            )
            for info in self.get_publishers_info_by_topic(topic)
        ]

    def _takers_of(self, executor: SingleThreadedExecutor, topic: str) -> list[Endpoint]:
        return [
            Endpoint(
                info.node_name,
                info.topic_type,
                _mismatch(_explicit(qos.COMMAND), info.qos_profile),
                self._joints_of(executor, info),
            )
            for info in self.get_subscriptions_info_by_topic(topic)
            if info.node_name != self.get_name()
        ]

    def _joints_of(
        self, executor: SingleThreadedExecutor, info: TopicEndpointInfo
    ) -> tuple[str, ...]:
        """The parameter `joints` of a controller; empty if it has none or does not answer."""
        name = f'{info.node_namespace.rstrip("/")}/{info.node_name}/get_parameters'
        client = self.create_client(GetParameters, name)
        try:
            self._spin(executor, ANSWER_S, client.service_is_ready)
            if not client.service_is_ready():
                return ()
            future = client.call_async(GetParameters.Request(names=['joints']))
            self._spin(executor, ANSWER_S, future.done)
            answer = future.result() if future.done() else None
            return tuple(answer.values[0].string_array_value) if answer and answer.values else ()
        finally:
            self.destroy_client(client)

    def _limits(self) -> Any:
        if not self._urdf:
            return {}
        try:
            return parse_joint_limits(self._urdf.encode(), 'on robot_description')
        except UrdfError as error:
            self.get_logger().warning(str(error))
            return {}


def _explicit(profile: QoSProfile) -> QoSProfile:
    """A profile of ours as the graph shows it: what it leaves open is without a limit there."""
    return QoSProfile(
        depth=profile.depth,
        reliability=profile.reliability,
        durability=profile.durability,
        deadline=Infinite,
        liveliness_lease_duration=Infinite,
    )


def _mismatch(publisher: QoSProfile, subscription: QoSProfile) -> str:
    compatibility, reason = qos_check_compatible(publisher, subscription)
    return reason if compatibility == QoSCompatibility.ERROR else ''


def run_probe(robot: Embodiment, namespace: str, seconds: float) -> Seen:
    """Look at the graph that the environment variables name, from a node of its own."""
    context = Context()
    context.init()
    executor = SingleThreadedExecutor(context=context)
    probe = Probe(robot, namespace, context=context)
    try:
        executor.add_node(probe)
        return probe.look(executor, seconds)
    finally:
        probe.destroy_node()
        executor.shutdown()
        context.try_shutdown()
