from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import SetBool, Trigger

from genrl_interfaces.msg import TaskState
from genrl_ros.nodes import sim_node
from genrl_ros.nodes.ros import qos
from genrl_ros.nodes.ros.conversions import from_image, from_stamp
from genrl_ros.nodes.ros.forward_time import ForwardTime
from genrl_ros.nodes.sim_node import SimNode

COMMANDS = 'joint_velocity_controller/commands'


@pytest.fixture
def sim(bench, tiny_env, tiny_robot) -> SimNode:
    return bench.start(
        SimNode, lambda domain: tiny_env.scene, embodiment=tiny_robot, seed=3, real_time_factor=4.0
    )


def stepped(bench, env, steps: int) -> None:
    count = len(env.commands)
    bench.until(lambda: len(env.commands) >= count + steps, f'{steps} control steps')


def test_it_publishes_what_a_robot_would(bench, sim, tiny_env) -> None:
    images = bench.record(Image, 'camera/image_raw', qos.SENSOR)
    infos = bench.record(CameraInfo, 'camera/camera_info', qos.SENSOR)
    joints = bench.record(JointState, 'joint_states', qos.SENSOR)
    clocks = bench.record(Clock, '/clock', qos.CLOCK)
    states = bench.record(TaskState, 'task_state', qos.LATCHED)
    bench.until(
        lambda: min(map(len, (images, infos, joints, clocks, states))) > 3, 'all of its topics'
    )
    image = images[-1]
    assert image.header.frame_id == infos[-1].header.frame_id == 'eye'
    pixels = from_image(image, 64)
    assert pixels[0, 5, 5] == 7 and pixels[1, 0, 1] == 200
    assert (infos[-1].k[0], infos[-1].k[2]) == (pytest.approx(77.25, abs=0.01), 32.0)
    assert joints[-1].name == ['a', 'b', 'c']
    assert states[-1].tasks == ['push'] and list(states[-1].rewards) == [0.25]
    assert (states[-1].readings, states[-1].units) == (['a'], ['rad'])
    stamps = [from_stamp(clock.clock) for clock in clocks]
    steps = [later - earlier for earlier, later in zip(stamps, stamps[1:], strict=False)]
    assert min(steps) == 80_000_000
    assert all(step % 80_000_000 == 0 for step in steps)  # best effort: one may be lost
    assert tiny_env.seed == 3


def test_a_slower_camera_has_fewer_images_and_the_same_joint_states(
    bench, tiny_env, tiny_robot
) -> None:
    file = Path(tiny_robot)
    file.write_text(file.read_text().replace('height: 64,', 'height: 64, rate_hz: 6.25,'))
    bench.start(SimNode, lambda domain: tiny_env.scene, embodiment=tiny_robot)
    images = bench.record(Image, 'camera/image_raw', qos.SENSOR)
    joints = bench.record(JointState, 'joint_states', qos.SENSOR)
    bench.until(lambda: len(images) > 4 and len(joints) > 8, 'images and joint states')
    stamps = [from_stamp(message.header.stamp) for message in images]
    assert all(stamp % 160_000_000 == 0 for stamp in stamps)
    assert any(from_stamp(each.header.stamp) % 160_000_000 for each in joints)


def test_a_camera_that_the_simulator_cannot_be_is_refused(bench, tiny_env, tiny_robot) -> None:
    file = Path(tiny_robot)
    file.write_text(file.read_text().replace('height: 64,', 'height: 64, rate_hz: 10,'))
    node = bench.make(SimNode, lambda domain: tiny_env.scene, embodiment=tiny_robot)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert '10 images and 12.5 commands a second' in node._failure


def test_a_command_is_mapped_by_name_and_holds_for_two_periods(bench, sim, tiny_env) -> None:
    commands = bench.observer.create_publisher(Float64MultiArray, COMMANDS, qos.COMMAND)
    bench.connected(commands)
    tiny_env.commands.clear()
    commands.publish(Float64MultiArray(data=[3.0, 1.0, 2.0]))
    bench.until(lambda: [1.0, 2.0, 3.0] in tiny_env.commands, 'the command')
    stepped(bench, tiny_env, 4)
    first = tiny_env.commands.index([1.0, 2.0, 3.0])
    assert tiny_env.commands[first : first + 3] == [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [0.0] * 3]


@pytest.mark.parametrize('data', [[], [1.0] * 2, [1.0] * 4, [math.nan] * 3, [1.0, math.inf, 1.0]])
def test_a_senseless_command_changes_nothing(bench, sim, tiny_env, data) -> None:
    commands = bench.observer.create_publisher(Float64MultiArray, COMMANDS, qos.COMMAND)
    bench.connected(commands)
    commands.publish(Float64MultiArray(data=data))
    stepped(bench, tiny_env, 4)
    assert all(command == [0.0] * 3 for command in tiny_env.commands)
    commands.publish(Float64MultiArray(data=[1.0] * 3))
    bench.until(lambda: [1.0] * 3 in tiny_env.commands, 'the next good command')


def test_reset_takes_pose_and_time_back(bench, sim, tiny_env) -> None:
    clocks = bench.record(Clock, '/clock', qos.CLOCK)
    bench.until(lambda: clocks and from_stamp(clocks[-1].clock) > 200_000_000, 'some time')
    tiny_env.position += 1.0
    before = len(clocks)
    assert bench.call(Trigger, 'sim/reset', Trigger.Request()).success
    assert (tiny_env.position < 0.5).all()
    bench.until(lambda: len(clocks) > before + 1, 'time to go on')
    assert 0 in [from_stamp(clock.clock) for clock in clocks]


def test_noise_begins_with_the_seed_and_goes_on_after_resets(bench, sim, tiny_env) -> None:
    assert tiny_env.seed == 3
    assert bench.call(Trigger, 'sim/reset', Trigger.Request()).success
    assert tiny_env.seed is None


def test_nothing_moves_while_paused(bench, sim, tiny_env) -> None:
    commands = bench.observer.create_publisher(Float64MultiArray, COMMANDS, qos.COMMAND)
    bench.connected(commands)
    assert bench.call(SetBool, 'sim/pause', SetBool.Request(data=True)).message == 'paused'
    count = len(tiny_env.commands)
    commands.publish(Float64MultiArray(data=[1.0] * 3))
    assert bench.call(Trigger, 'sim/reset', Trigger.Request()).success
    assert len(tiny_env.commands) == count
    bench.call(SetBool, 'sim/pause', SetBool.Request(data=False))
    stepped(bench, tiny_env, 2)
    assert tiny_env.commands[count:][0] == [0.0] * 3, 'a command from before must not come through'


def test_a_robot_that_does_not_fit_the_scene_is_refused(bench, tiny_env) -> None:
    node = bench.make(SimNode, lambda domain: tiny_env.scene, embodiment='fr3_velocity')
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert 'must have one command topic for each of a, b, c once' in node._failure


def test_time_stands_still_while_it_is_inactive(bench, sim, tiny_env) -> None:
    stepped(bench, tiny_env, 2)
    assert sim.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    count = len(tiny_env.commands)
    assert not bench.call(Trigger, 'sim/reset', Trigger.Request()).success
    assert len(tiny_env.commands) == count
    assert sim.trigger_activate() == TransitionCallbackReturn.SUCCESS
    stepped(bench, tiny_env, 2)
    assert sim.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    assert sim.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    assert tiny_env.closed


@pytest.fixture
def in_lockstep(bench, tiny_env, tiny_robot, monkeypatch) -> Callable[[float], Publisher]:
    """Starts a simulator in lockstep, which waits so long; gives what answers it."""

    def start(patience_s: float) -> Publisher:
        monkeypatch.setattr(sim_node, 'PATIENCE_S', patience_s)
        bench.start(
            SimNode, lambda domain: tiny_env.scene, embodiment=tiny_robot, lockstep=True,
            real_time_factor=10.0,
        )  # fmt: skip
        commands = bench.observer.create_publisher(Float64MultiArray, COMMANDS, qos.COMMAND)
        bench.connected(commands)
        return commands

    return start


def test_in_lockstep_time_waits_for_the_answer_to_an_image(bench, tiny_env, in_lockstep) -> None:
    commands = in_lockstep(1e9)
    stepped(bench, tiny_env, 3)  # nobody answers, and nobody is waited for
    images = bench.record(Image, 'camera/image_raw', qos.SENSOR)
    bench.until(lambda: images, 'an image')
    commands.publish(Float64MultiArray(data=[1.0] * 3))
    bench.until(lambda: [1.0] * 3 in tiny_env.commands, 'the command')
    rounds: list[int] = []
    bench.observer.create_timer(0.05, lambda: rounds.append(len(tiny_env.commands)))
    bench.until(lambda: len(rounds) > 6, 'what would be 30 periods')
    first = tiny_env.commands.index([1.0] * 3)
    assert len(tiny_env.commands) == first + 1
    for count in range(1, 4):
        commands.publish(Float64MultiArray(data=[2.0] * 3))
        bench.until(lambda n=count: len(tiny_env.commands) > first + n, 'the next step')
    assert tiny_env.commands[first + 1 :] == [[2.0] * 3] * 3


def test_in_lockstep_time_goes_on_when_nobody_answers_any_more(
    bench, tiny_env, in_lockstep
) -> None:
    commands = in_lockstep(0.2)
    commands.publish(Float64MultiArray(data=[1.0] * 3))
    bench.until(lambda: [1.0] * 3 in tiny_env.commands, 'the command')
    first = tiny_env.commands.index([1.0] * 3)
    stepped(bench, tiny_env, 5)
    assert tiny_env.commands[first + 3] == [0.0] * 3


class SetClock:
    """A ROS clock that is set."""

    def __init__(self) -> None:
        self.nanoseconds = 5_000_000_000

    def now(self) -> SetClock:
        return self


def test_forward_time_stands_still_and_never_goes_back() -> None:
    clock = SetClock()
    time_s = ForwardTime(clock)
    assert time_s() == time_s() == 0.0
    clock.nanoseconds += 250_000_000
    assert time_s() == 0.25
    clock.nanoseconds = 0  # the simulator was reset
    assert time_s() == 0.25
    clock.nanoseconds = 100_000_000
    assert time_s() == pytest.approx(0.35)


def test_each_namespace_has_a_clock_of_its_own(bench, tiny_robot, tiny_env) -> None:
    """As `genrl up` and the launch files remap it."""
    remap = ['--ros-args', '-r', '/clock:=clock', '-r', '__ns:=/left']
    node = bench.add(
        SimNode(
            lambda domain: tiny_env.scene, context=bench.context, cli_args=remap,
            parameter_overrides=[Parameter('embodiment', value=tiny_robot)],
        )
    )  # fmt: skip
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    shared = bench.record(Clock, '/clock', qos.CLOCK)
    own = bench.record(Clock, '/left/clock', qos.CLOCK)
    watcher = Node(
        'watcher', context=bench.context, cli_args=remap,
        parameter_overrides=[Parameter('use_sim_time', value=True)],
    )  # fmt: skip
    bench.add(watcher)
    bench.until(lambda: watcher.get_clock().now().nanoseconds > 0, 'simulated time')
    bench.until(lambda: own, 'its clock')
    assert not shared
