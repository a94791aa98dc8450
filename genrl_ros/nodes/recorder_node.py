"""Records what a robot sees and is told, as MCAP bags for `genrl ingest`: one an episode."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_srvs.srv import Trigger

from genrl_ros.data.bags.bag_writer import EpisodeRecorder
from genrl_ros.nodes.ros import conversions
from genrl_ros.nodes.ros.commands import MESSAGES
from genrl_ros.nodes.ros.diagnostics import Diagnostics, Level, Status
from genrl_ros.nodes.ros.params import declare, parameter
from genrl_ros.nodes.ros.robot import load_robot
from genrl_ros.nodes.ros.run import main as run_main
from genrl_ros.system.home import below_home
from genrl_ros.system.room import check_room, free_gib

DEPTH = 50
REPORT_S = 10.0
LOOK_S = 1.0
"""How often the recorder looks at the free space, and tells its health."""


@dataclass(frozen=True)
class RecorderParameters:
    """Parameters of the recorder."""

    embodiment: str = parameter('kitchen', 'the robot: a file, or the name of a shipped one')
    folder: str = parameter('runs/recordings', 'where the bags go; relative: below GENRL_HOME')
    max_episode_s: float = parameter(
        300.0, 'seconds after which the next episode begins', low=1.0, high=86_400.0
    )
    min_free_gib: float = parameter(
        1.0, 'GiB that stay free on the disk: with less, recording stops', low=0.0
    )


class RecorderNode(Node):
    """Writes images, joint states and commands as they come, without looking into them.

    An episode ends after `max_episode_s`, on `recorder/next`, when stamps go back (as after a
    reset of the simulator), and with the node. Messages carry the time of their arrival.

    A position stays in force until the next one. So where an episode follows on another, it begins
    with the last positions that were commanded before it, unless stamps went back.

    Where the disk is nearly full, or cannot be written, the episode ends and nothing more is
    recorded until `recorder/next` is called and there is room.
    """

    def __init__(self, **options: object) -> None:
        super().__init__('recorder_node', **options)
        self._config = declare(self, RecorderParameters)
        robot = load_robot(self._config.embodiment)
        self._folder = folder = below_home(self._config.folder)
        self._stopped = ''
        classes: dict[str, type] = {
            robot.camera.topic: CompressedImage if robot.camera.is_compressed else Image,
            robot.joint_states.topic: JointState,
            **{group.topic: MESSAGES[group.interface] for group in robot.commands},
        }
        names = {topic: self.resolve_topic_name(topic) for topic in classes}
        types = {names[topic]: kind for topic, kind in robot.topics.items()}
        self._recorder = EpisodeRecorder(folder, types)
        self._began, self._stamp_ns, self._seen = 0.0, 0, dict.fromkeys(names.values(), 0)
        positions = [group.topic for group in robot.commands if group.quantity == 'position']
        self._position_topics = [names[topic] for topic in positions]
        self._held: dict[str, bytes] = {}
        for topic, kind in classes.items():
            is_command = topic not in (robot.camera.topic, robot.joint_states.topic)
            take = self._taker(names[topic], kind if topic == robot.camera.topic else None)
            self.create_subscription(kind, topic, take, _qos(is_command), raw=True)
        self.create_service(Trigger, 'recorder/next', self._on_next)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(REPORT_S, self._report, clock=steady)
        self._diagnostics = Diagnostics(self)
        self._look()
        self.create_timer(LOOK_S, self._look, clock=steady)
        self.get_logger().info(f'records {", ".join(types)} into {folder}')

    def destroy_node(self) -> None:
        """Finish the episode with the node."""
        try:
            self._finish('the recorder ends')
        finally:
            super().destroy_node()

    def _taker(self, topic: str, image: type | None) -> Callable[[bytes], None]:
        """The callback of a topic; `image` is the class of its messages if they set the clock."""

        def take(data: bytes) -> None:
            self._seen[topic] += 1
            if image is not None:
                self._watch_clock(data, image)
            if not self._stopped:
                self._write(topic, data)
            if topic in self._position_topics:
                self._held[topic] = data

        return take

    def _write(self, topic: str, data: bytes) -> None:
        if time.monotonic() - self._began > self._config.max_episode_s:
            self._finish(f'after {self._config.max_episode_s:g} s')
        messages = [(topic, data)]
        if self._recorder.current is None:
            self._began = time.monotonic()
            messages = [*self._held.items(), *messages]
        try:
            for message in messages:
                self._recorder.write(*message, time.time_ns())
        except OSError as error:
            self._stop(f'a message cannot be written: {error}')

    def _watch_clock(self, data: bytes, kind: type) -> None:
        stamp_ns = conversions.from_stamp(deserialize_message(data, kind).header.stamp)
        if stamp_ns < self._stamp_ns:
            self._finish('stamps went back')
            self._held.clear()
        self._stamp_ns = stamp_ns

    def _finish(self, why: str) -> str:
        messages = self._recorder.messages
        try:
            bag = self._recorder.finish()
        except OSError as error:
            text = f'an episode of {messages} messages cannot be finished: {error}'
            self.get_logger().error(text)
            return text
        if bag is None:
            return 'nothing was recorded since the last episode'
        text = f'{bag} has {messages} messages ({why})'
        self.get_logger().info(text)
        return text

    def _look(self) -> None:
        """Stop where the disk is nearly full, and tell how it is."""
        if not self._stopped:
            try:
                check_room(self._folder, self._config.min_free_gib)
            except OSError as error:
                self._stop(str(error))
        figures = {
            'messages': self._recorder.messages,
            'free (GiB)': f'{free_gib(self._folder):.2f}',
        }
        if self._stopped:
            status = Status(Level.ERROR, f'records nothing: {self._stopped}', figures)
        elif self._recorder.current is None:
            status = Status(Level.OK, 'waits for messages', figures)
        else:
            status = Status(Level.OK, f'records {self._recorder.current}', figures)
        self._diagnostics.publish(status)

    def _stop(self, because: str) -> None:
        self._stopped = because
        self._finish('the recorder stops')
        self.get_logger().error(
            f'records nothing any more: {because}; then call recorder/next to go on'
        )

    def _report(self) -> None:
        silent = [topic for topic, count in self._seen.items() if not count]
        if silent and any(self._seen.values()):
            self.get_logger().warning(f'nothing on {", ".join(silent)} in {REPORT_S:g} s')
        self._seen = dict.fromkeys(self._seen, 0)

    def _on_next(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._stopped:
            self._stopped = ''
            self._look()
            response.message = self._stopped or 'records again'
        else:
            response.message = self._finish('as asked for')
        response.success = not self._stopped
        return response


def _qos(is_command: bool) -> QoSProfile:
    """Best effort is served by every publisher; of commands, none may be lost."""
    reliable = ReliabilityPolicy.RELIABLE if is_command else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(depth=DEPTH, reliability=reliable)


def main() -> None:
    """Run the node."""
    run_main(RecorderNode)


if __name__ == '__main__':
    main()
