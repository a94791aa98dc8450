"""From the simulator over real DDS into a bag, and from the bag into a dataset."""

from __future__ import annotations

import contextlib
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from genrl_ros.cli.commands.ingest import Config, main
from genrl_ros.data.bags.bag import deserialize, find_bags, read_bag
from genrl_ros.data.store.episode_file import Episode
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.domains import registry
from genrl_ros.nodes.recorder_node import RecorderNode
from genrl_ros.nodes.ros import qos
from genrl_ros.nodes.ros.conversions import from_stamp, to_image, to_joint_state, to_stamp
from genrl_ros.nodes.ros.params import ParameterError
from genrl_ros.nodes.sim_node import SimNode
from genrl_ros.serving.robot.embodiment_file import find_embodiment, load_embodiment
from genrl_ros.system.room import GIB

KITCHEN = load_embodiment(find_embodiment('kitchen'))
COMMANDS = 'joint_velocity_controller/commands'
STEPS = 10


class Policy:
    """Answers each image with a command, and acts in every other, as policy_node does."""

    def __init__(self, bench, actions: np.ndarray) -> None:
        self.actions = actions
        self.answers = 0
        self._publisher = bench.observer.create_publisher(Float64MultiArray, COMMANDS, qos.COMMAND)
        bench.observer.create_subscription(Image, 'camera/image_raw', self._answer, qos.SENSOR)

    def _answer(self, message: Image) -> None:
        step = from_stamp(message.header.stamp) // 160_000_000
        if step < len(self.actions):
            command = KITCHEN.to_command(self.actions[step], np.zeros(9))
            self._publisher.publish(Float64MultiArray(data=command.tolist()))
            self.answers += 1


def direct(actions: np.ndarray) -> Episode:
    """What `genrl collect` makes of the same actions."""
    environment = registry.make_environment(registry.get('kitchen'))
    joints = environment.physics.joints
    images, states = [environment.reset(5)], [joints().position]
    for action in actions:
        # a command message has 64 bits
        images.append(environment.step(action.astype(np.float64)).image)
        states.append(joints().position)
    led = np.concatenate([np.zeros((1, 9), np.float32), actions])
    return Episode(np.stack(images), led, np.stack(states).astype(np.float32), 'direct', '5')


def test_recorded_and_ingested_is_what_was_collected_directly(bench, tmp_path) -> None:
    actions = np.random.default_rng(1).uniform(-1, 1, (STEPS, 9)).astype(np.float32)
    recorder = bench.make(RecorderNode, folder=str(tmp_path / 'bags'))
    policy = Policy(bench, actions)
    sim = bench.start(SimNode, seed=5, real_time_factor=0.4)
    bench.until(lambda: policy.answers == 2 * STEPS, 'all commands')
    images = bench.record(Image, 'camera/image_raw', qos.SENSOR)
    bench.until(lambda: len(images) > 2, 'what the last command led to')
    recorder.destroy_node()
    bench.nodes.remove(recorder)
    bench.executor.remove_node(sim)

    config = Config(bags=(tmp_path / 'bags',), robot='kitchen', out=tmp_path / 'data')
    assert main(config) == 0
    ingested = EpisodeStore.open(tmp_path / 'data')
    (name,) = ingested.episode_ids
    collected = direct(actions)
    assert ingested.length(name) in (STEPS + 1, STEPS + 2)  # the last command is held once more
    np.testing.assert_array_equal(ingested.action(name)[: STEPS + 1], collected.action)
    np.testing.assert_array_equal(ingested.image(name)[: STEPS + 1], collected.image)
    np.testing.assert_allclose(
        ingested.state(name)[: STEPS + 1], collected.state, rtol=0, atol=1e-7
    )


class Robot:
    """Publishes what a robot would, one control step a call."""

    def __init__(self, bench) -> None:
        make = bench.observer.create_publisher
        self.images = make(Image, 'camera/image_raw', qos.SENSOR)
        self.joints = make(JointState, 'joint_states', qos.SENSOR)
        self.commands = make(Float64MultiArray, COMMANDS, qos.COMMAND)

    def step(self, number: int) -> None:
        stamp = to_stamp(number * 80_000_000)
        pixels = np.full((3, 64, 64), number, np.uint8)
        self.images.publish(to_image(pixels, stamp, 'camera_optical_frame'))
        zeros = np.zeros(9)
        self.joints.publish(to_joint_state(KITCHEN.joints, zeros, zeros, stamp))
        self.commands.publish(Float64MultiArray(data=[0.1] * 9))

    def listened_to(self) -> bool:
        publishers = (self.images, self.joints, self.commands)
        return all(publisher.get_subscription_count() for publisher in publishers)


@pytest.fixture
def robot(bench) -> Robot:
    return Robot(bench)


def written(recorder: RecorderNode) -> int:
    return recorder._recorder.messages


def step_until_written(bench, robot, recorder, first: int, steps: int) -> None:
    for number in range(first, first + steps):
        before = written(recorder)
        robot.step(number)
        bench.until(lambda before=before: written(recorder) != before, 'a message')
    bench.until(lambda: written(recorder) >= 3 * (steps - 2), 'most of the messages')


def test_episodes_end_on_request_and_when_time_goes_back(bench, tmp_path, robot) -> None:
    recorder = bench.make(RecorderNode, folder=str(tmp_path))
    bench.until(robot.listened_to, 'the recorder')
    step_until_written(bench, robot, recorder, 50, 12)
    answer = bench.call(Trigger, 'recorder/next', Trigger.Request())
    assert answer.success and 'episode_0000' in answer.message

    def nothing_is_left() -> bool:
        answer = bench.call(Trigger, 'recorder/next', Trigger.Request())
        return 'nothing was recorded' in answer.message

    bench.until(nothing_is_left, 'the last messages')
    before = len(find_bags(tmp_path))
    step_until_written(bench, robot, recorder, 62, 12)
    robot.step(0)
    bench.until(lambda: len(list(tmp_path.glob('episode_*'))) > before, 'the next episode')


def test_an_episode_begins_with_the_positions_that_are_held(bench, tmp_path) -> None:
    """A gripper that was told once where to be is still there in the episodes that follow."""
    make = bench.observer.create_publisher
    gripper = make(Float64MultiArray, 'hand_position_controller/commands', qos.COMMAND)
    arm = make(Float64MultiArray, 'joint_group_velocity_controller/commands', qos.COMMAND)
    images = make(Image, 'camera/color/image_raw', qos.SENSOR)
    recorder = bench.make(RecorderNode, embodiment='fr3_velocity', folder=str(tmp_path))
    publishers = (gripper, arm, images)
    bench.until(lambda: all(p.get_subscription_count() for p in publishers), 'the recorder')

    def send(publisher, message) -> None:
        def where() -> tuple[object, int]:
            return recorder._recorder.current, written(recorder)

        before = where()
        publisher.publish(message)
        bench.until(lambda: where() != before, 'a message')

    def image(stamp_ns: int) -> Image:
        return to_image(np.zeros((3, 8, 8), np.uint8), to_stamp(stamp_ns), 'camera')

    def told() -> list[list[float]]:
        """What the gripper was told in the episode that ends now, where it begins so."""
        bench.call(Trigger, 'recorder/next', Trigger.Request())
        bag = find_bags(tmp_path)[-1]
        topics = [gripper.topic_name, arm.topic_name, images.topic_name]
        messages = list(read_bag(bag, topics, lambda _: None))
        kind = 'std_msgs/msg/Float64MultiArray'
        return [
            list(deserialize(message, kind).data)
            for message in messages if message.topic == gripper.topic_name
        ]  # fmt: skip

    send(gripper, Float64MultiArray(data=[0.03]))
    send(arm, Float64MultiArray(data=[0.1] * 7))
    assert told() == [[0.03]]
    for _ in range(2):
        send(arm, Float64MultiArray(data=[0.2] * 7))
        assert told() == [[0.03]]
    send(images, image(10**9))
    assert told() == [[0.03]]
    send(images, image(10**8))  # a simulator was reset
    assert told() == []


def test_a_recorder_stops_before_the_disk_is_full_and_says_so(
    bench, tmp_path, robot, monkeypatch
) -> None:
    free = 5 * GIB
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: SimpleNamespace(free=free))
    told = bench.record(DiagnosticArray, '/diagnostics', qos.DIAGNOSTICS)
    recorder = bench.make(RecorderNode, folder=str(tmp_path), min_free_gib=2.0)
    bench.until(robot.listened_to, 'the recorder')
    step_until_written(bench, robot, recorder, 50, 12)

    free = GIB
    bench.until(lambda: find_bags(tmp_path), 'the end of the episode')
    bench.until(lambda: told[-1].status[0].level == DiagnosticStatus.ERROR, 'an error')
    status = told[-1].status[0]
    assert status.name == 'recorder_node'
    assert f'records nothing: only 1.00 GiB are free where {tmp_path} is' in status.message
    for number in range(62, 72):
        robot.step(number)
        bench.executor.spin_once(timeout_sec=0.01)
    assert not any((tmp_path / 'unfinished').iterdir())
    answer = bench.call(Trigger, 'recorder/next', Trigger.Request())
    assert not answer.success and 'only 1.00 GiB are free' in answer.message

    free = 5 * GIB
    answer = bench.call(Trigger, 'recorder/next', Trigger.Request())
    assert (answer.success, answer.message) == (True, 'records again')
    step_until_written(bench, robot, recorder, 80, 12)


@contextlib.contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """As where a disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_recorder_outlives_an_episode_that_cannot_be_written(bench, tmp_path, robot) -> None:
    recorder = bench.make(RecorderNode, folder=str(tmp_path), min_free_gib=0.0)
    bench.until(robot.listened_to, 'the recorder')
    step_until_written(bench, robot, recorder, 50, 6)
    with no_file_larger_than(1000):
        answer = bench.call(Trigger, 'recorder/next', Trigger.Request())
    assert 'cannot be finished: ' in answer.message and 'File too large' in answer.message
    step_until_written(bench, robot, recorder, 60, 6)
    answer = bench.call(Trigger, 'recorder/next', Trigger.Request())
    assert 'episode_0001' in answer.message
    assert len(find_bags(tmp_path)) >= 1


def test_a_killed_recorder_loses_the_last_episode_at_most(bench, tmp_path, robot) -> None:
    bags = tmp_path / 'bags'
    node = [sys.executable, '-m', 'genrl_ros.nodes.recorder_node']
    recorder = subprocess.Popen([*node, '--ros-args', '-p', f'folder:={bags}'])
    try:
        bench.until(robot.listened_to, 'the recorder', timeout=60)
        number = 0

        def episode() -> None:
            nonlocal number
            for number in range(number, number + 40):  # noqa: B020
                robot.step(number)
                bench.executor.spin_once(timeout_sec=0.01)

        def finished(count: int) -> bool:
            episode()
            bench.call(Trigger, 'recorder/next', Trigger.Request())
            return len(list(bags.glob('episode_*'))) >= count

        bench.until(lambda: finished(2), 'two episodes')
        bench.until(lambda: episode() or any((bags / 'unfinished').iterdir()), 'a third one')
        intact = sorted(bags.glob('episode_*'))
        before = [(bag / f'{bag.name}.mcap').read_bytes() for bag in intact]
    finally:
        recorder.kill()
        recorder.wait()
    assert [(bag / f'{bag.name}.mcap').read_bytes() for bag in intact] == before
    assert main(Config(bags=(bags,), robot='kitchen', out=tmp_path / 'data')) == 0
    names = EpisodeStore.open(tmp_path / 'data').episode_ids
    assert {name.split('-')[0] for name in names} >= {bag.name for bag in intact}


def test_a_wrong_embodiment_is_refused(bench, tmp_path) -> None:
    with pytest.raises(ParameterError, match="parameter embodiment is 'r2': there is no"):
        bench.make(RecorderNode, embodiment='r2', folder=str(tmp_path))


def test_ctrl_c_finishes_the_episode(bench, tmp_path, robot) -> None:
    recorder = subprocess.Popen(
        [sys.executable, '-m', 'genrl_ros.cli.main', 'record', 'kitchen', '--out', str(tmp_path)],
    )
    try:
        bench.until(robot.listened_to, 'the recorder', timeout=60)
        bench.until(
            lambda: robot.step(1) or any((tmp_path / 'unfinished').iterdir()), 'an episode'
        )
        recorder.send_signal(signal.SIGINT)
        assert recorder.wait(30) == 0
    finally:
        recorder.kill()
    assert Path(tmp_path / 'episode_0000' / 'metadata.yaml').is_file()
    assert not any((tmp_path / 'unfinished').iterdir())
