"""Faults of the robot and of the processes that drive it, while it is being driven."""

from __future__ import annotations

import itertools
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header

from genrl_ros.nodes.ros import qos
from genrl_ros.nodes.ros.conversions import to_stamp

T = 0.08
MAX_AGE = 0.16
SECOND = 1_000_000_000
LIMIT = MAX_AGE + 2 * T
"""Within two periods of the age limit."""


def ms(seconds: float) -> str:
    return f'{seconds * 1000:.0f} ms'


def check_stale_input(rig, measured, what: str) -> None:
    """From a fault of the camera to the stop, and from its end to driving."""
    began = rig.robot.image_at
    stopped = rig.begin_stop(began) - began
    rig.wait_still()
    rig.until(lambda: rig.level_at('policy_node', DiagnosticStatus.ERROR, began), 'an ERROR')
    told = rig.level_at('policy_node', DiagnosticStatus.ERROR, began) - began - MAX_AGE
    images = rig.robot.images
    rig.mend()
    third = rig.until(lambda: rig.robot.images >= images + 3, 'three fresh images')
    back = rig.until(lambda: rig.robot.commands[-1][1].any(), 'commands') - third
    measured(f'{what}: brakes after {ms(stopped)} (limit {ms(LIMIT)}), '
             f'ERROR {ms(max(0.0, told))} after the age limit, '
             f'drives {ms(max(0.0, back))} after three images')  # fmt: skip
    assert stopped <= LIMIT
    assert told <= 1.0
    assert back <= 2 * T
    rig.wait_driving()


@pytest.mark.row(1)
def fault_camera_stalls(driving, measured) -> None:
    driving.robot.camera = lambda: None
    check_stale_input(driving, measured, 'stalled')


@pytest.mark.row(2)
def fault_camera_repeats_a_stamp(driving, measured) -> None:
    stamp = driving.robot.now_ns()
    driving.until(lambda: driving.robot.images and driving.robot.now_ns() > stamp, 'time')
    began = driving.robot.image_at
    driving.robot.camera = lambda: driving.robot.image(stamp)
    stopped = driving.begin_stop(began) - began
    measured(f'same stamp: brakes after {ms(stopped)} (limit {ms(LIMIT)})')
    assert stopped <= LIMIT
    driving.mend()
    driving.wait_driving()


@pytest.mark.row(2)
def fault_camera_repeats_its_pixels(driving, measured) -> None:
    stuck = driving.robot.image()

    def same() -> Image:
        stuck.header.stamp = to_stamp(driving.robot.now_ns())
        return stuck

    driving.robot.camera = same
    began = time.monotonic()
    stopped = driving.begin_stop(began) - began
    limit = MAX_AGE + T + LIMIT  # the parameter stuck_after_s, noticed at the next image
    measured(f'same pixels: brakes after {ms(stopped)} (limit {ms(limit)}, stuck_after_s 160 ms)')
    assert stopped <= limit
    assert driving.until(lambda: driving.figure('encoder_node', 'stuck'), 'the count')
    driving.mend()
    driving.wait_driving()


@pytest.mark.row(3)
@pytest.mark.parametrize(
    ('what', 'offset_s'), [('old stamp', -1.0), ('stamp in the future', 5.0), ('out of order', 0)]
)
def fault_stamps(driving, measured, what, offset_s) -> None:
    before = driving.figure('policy_node', f'latent: {what}')
    began = time.monotonic()
    if what == 'out of order':
        newest = driving.robot.now_ns()
        backwards = (driving.robot.image(newest - n * 1_000_000) for n in itertools.count(1))
        driving.robot.camera = lambda: next(backwards)
    else:
        driving.robot.camera = lambda: driving.robot.image(
            driving.robot.now_ns() + round(offset_s * SECOND)
        )
    stopped = driving.begin_stop(began) - began
    sent = driving.robot.images
    driving.until(lambda: driving.robot.images > sent + 12, 'more of them')
    assert not driving.moving, 'an action was computed from them'
    measured(f'{what}: brakes after {ms(stopped)}')
    assert stopped <= LIMIT + T
    driving.mend()
    driving.wait_driving()
    # out-of-order stamps become old ones in the end; all of them are counted
    driving.until(lambda: driving.figure('policy_node', f'latent: {what}') > before, 'the count')


@pytest.mark.row(4)
def fault_malformed_images(driving, measured) -> None:
    rng = np.random.default_rng(0)
    robot = driving.robot
    before, refused = driving.memory('encoder_node'), driving.figure('encoder_node', 'refused')
    began = time.monotonic()
    count = 0

    def malformed() -> Image:
        message = robot.image()
        kind = count % 6
        if kind == 0:
            message.encoding = ['32FC1', '', 'mono16', 'x' * 10_000][rng.integers(4)]
        elif kind == 1:
            message.height = message.width = 0
        elif kind == 2:
            message.step = int(rng.integers(0, 2**32))
        elif kind == 3:
            message.width = message.height = 10_000
        elif kind == 4:
            message.data = message.data[: int(rng.integers(0, 12_000))]
        else:
            message.data = bytes(int(rng.integers(1, 1_000_000)))
        return message

    robot.camera = lambda: None
    for count in range(1000):  # noqa: B007
        robot.camera_images.publish(malformed())
        time.sleep(0.003)
    robot.camera = robot.image
    driving.wait_driving()
    driving.until(lambda: driving.figure('encoder_node', 'refused') > refused + 500, 'the count')
    growth = (driving.memory('encoder_node') - before) / 1e6
    said = driving.figure('encoder_node', 'refused') - refused
    measured(f'1,000 sent, {said} arrived and refused (best effort), memory grows {growth:.1f} MB')
    assert growth < 50
    assert driving.begin_stop(began) - began <= LIMIT + T


@pytest.mark.row(5)
@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def fault_joint_states_that_are_not_finite(driving, measured, value) -> None:
    def broken() -> JointState:
        message = driving.robot.joint_states()
        message.position[3] = value
        return message

    began = time.monotonic()
    driving.robot.joints = broken
    stopped = driving.begin_stop(began) - began
    measured(f'{value}: brakes after {ms(stopped)}')
    assert stopped <= LIMIT
    driving.wait_still()
    driving.mend()
    driving.wait_driving()


@pytest.mark.row(5)
def fault_float_images(driving, measured) -> None:
    def floats() -> Image:
        message = driving.robot.image()
        message.encoding, message.step = '32FC3', 64 * 12
        message.data = np.full(64 * 64 * 3, np.nan, np.float32).tobytes()
        return message

    began = time.monotonic()
    driving.robot.camera = floats
    measured(f'float image: brakes after {ms(driving.begin_stop(began) - began)}')
    driving.mend()
    driving.wait_driving()


@pytest.mark.row(6)
def fault_wild_commands(driving, measured) -> None:
    """Straight to the gate, beside a policy that goes on: the limits hold all the same."""
    rng = np.random.default_rng(1)
    robot = driving.robot
    publisher = robot.create_publisher(JointState, 'policy/command', qos.COMMAND)
    names = robot.joint_states().name
    driving.check_commands()
    os.kill(driving.processes.pids['policy_node'], signal.SIGSTOP)
    try:
        for _ in range(2000):
            values = rng.normal(size=9) * 10.0 ** rng.uniform(-2, 12)
            if rng.random() < 0.2:
                values[rng.integers(9)] = rng.choice([np.nan, np.inf, -np.inf])
            publisher.publish(
                JointState(
                    header=Header(stamp=to_stamp(robot.now_ns())),
                    name=names,
                    position=[float('nan')] * 9,
                    velocity=values.tolist(),
                )
            )
            time.sleep(0.002)
    finally:
        os.kill(driving.processes.pids['policy_node'], signal.SIGCONT)
        robot.destroy_publisher(publisher)
    passed = driving.check_commands()
    measured(f'2,000 wild commands at the gate: {passed} commands sent, 0 break a limit; '
             '100,000 fuzzed outputs in test/unit/test_safety.py, 0 break a limit')  # fmt: skip
    assert passed > 40


@pytest.mark.row(29)
def fault_somebody_else_drives_towards_the_limits(driving, measured) -> None:
    """Beside a policy that goes on, and a robot that does as it is told."""
    robot, position, farthest, moved = driving.robot, np.zeros(9), 0.0, time.monotonic()
    joints, limit, speed = robot.joint_states().name[::-1], robot.position, robot.velocity

    def move() -> None:
        nonlocal farthest, moved
        now = time.monotonic()
        position[:] += robot.commands[-1][1] * (now - moved)
        farthest, moved = max(farthest, float(np.abs(position).max())), now

    def joint_states() -> JointState:
        return JointState(
            header=Header(stamp=to_stamp(robot.now_ns())),
            name=joints,
            position=position.tolist(),
            velocity=robot.commands[-1][1].tolist(),
        )

    robot.joints = joint_states
    publisher = robot.create_publisher(JointState, 'policy/command', qos.COMMAND)
    count, end, due = 0, time.monotonic() + 6.0, 0.0
    try:
        while time.monotonic() < end:
            move()
            if time.monotonic() >= due:
                due, count = time.monotonic() + 0.01, count + 1
                publisher.publish(
                    JointState(
                        header=Header(stamp=to_stamp(robot.now_ns())),
                        name=joints,
                        position=[float('nan')] * 9,
                        velocity=[speed] * 4 + [-speed] * 5,
                    )
                )
            time.sleep(0.001)
    finally:
        robot.destroy_publisher(publisher)
    measured(f'{count} commands of full speed in 6 s: the joints stop at {farthest:.2f} rad '
             f'(limit {limit} rad)')  # fmt: skip
    assert 0.9 * limit < farthest <= limit
    driving.mend()
    driving.wait_driving()


@pytest.mark.row(7)
@pytest.mark.parametrize('signum', [signal.SIGKILL, signal.SIGSTOP])
def fault_policy_node_dies(driving, measured, signum) -> None:
    maps = Path(f'/proc/{driving.processes.pids["command_gate"]}/maps').read_text()
    shares = '/dev/shm/fast' in maps
    assert not shares, 'the gate shares memory with what may hang'
    times = []
    count = 5 if signum == signal.SIGKILL else 20
    for _ in range(count):
        driving.wait_driving()
        pid = driving.processes.pids['policy_node']
        last = driving.robot.commands[-1][0]
        os.kill(pid, signum)
        killed = time.monotonic()
        stopped = driving.begin_stop(killed)
        last = max(when for when, command in driving.robot.commands if when < stopped)
        times.append(stopped - last)
        driving.wait_still()
        if signum == signal.SIGSTOP:
            os.kill(pid, signal.SIGCONT)
        driving.wait_driving()
    measured(f'{signum.name}: brakes {ms(max(times))} after the last command, worst of {count} '
             f'(limit {ms(2 * T + 0.1)}), and drives again')  # fmt: skip
    assert max(times) <= 2 * T + 0.1


@pytest.mark.row(8)
def fault_policy_node_overruns(driving, measured) -> None:
    overruns = driving.figure('policy_node', 'overruns')
    pid = driving.processes.pids['policy_node']
    for _ in range(3):
        os.kill(pid, signal.SIGSTOP)
        stopped = time.monotonic()
        driving.begin_stop(stopped)
        driving.wait_still()
        count = len(driving.robot.commands)
        os.kill(pid, signal.SIGCONT)
        driving.wait_driving()
        burst = [b[0] - a[0] for a, b in itertools.pairwise(driving.robot.commands[count:])]
        assert not burst or min(burst) > 0.0
    driving.until(
        lambda: driving.figure('policy_node', 'overruns') >= overruns + 3, 'the overruns'
    )
    told = [
        float(value.value)
        for _, status in driving.robot.diagnostics
        for value in status.values
        if value.key == 'period p99 (s)'
    ]
    measured(f'3 stalls, 3 overruns counted, p99 of the period published ({ms(told[-1])})')
    assert told[-1] > 0


@pytest.mark.row(19)
def fault_encoder_dies(driving, measured) -> None:
    began = driving.robot.image_at
    os.kill(driving.processes.pids['encoder_node'], signal.SIGKILL)
    stopped = driving.begin_stop(began) - began
    driving.wait_still()
    back = driving.until(lambda: driving.moving, 'the encoder to be back') - began
    measured(f'encoder killed: brakes after {ms(stopped)} (limit {ms(LIMIT)}), '
             f'driven again by itself after {back:.1f} s')  # fmt: skip
    assert stopped <= LIMIT


@pytest.mark.row(19)
def fault_images_are_lost(driving, measured) -> None:
    rng = np.random.default_rng(2)
    robot = driving.robot
    robot.camera = lambda: None if rng.random() < 0.3 else robot.image()
    began, images = time.monotonic(), robot.images
    driving.until(lambda: robot.images > images + 70, 'seventy images')
    commands = [when for when, command in robot.commands if when > began]
    holds = sum(1 for when, state in robot.states if when > began and state.state == 'holding')
    longest = max(b - a for a, b in itertools.pairwise(commands))
    measured(f'30 % of images lost for 8 s: {holds} holds, keeps driving; '
             f'longest silence on the command topic {ms(longest)}')  # fmt: skip
    assert longest <= 2 * T + 0.1
    driving.mend()
    driving.wait_driving()


@pytest.mark.row(20)
@pytest.mark.parametrize('hours', [1, -1])
def fault_the_clock_jumps(driving, measured, hours) -> None:
    robot = driving.robot
    count = len(robot.commands)
    robot.offset_ns += hours * 3600 * SECOND
    began = time.monotonic()
    driving.until(lambda: time.monotonic() > began + 0.5, 'a while')
    driving.wait_driving()
    gaps = [b[0] - a[0] for a, b in itertools.pairwise(robot.commands[count:])]
    measured(f'{hours:+d} h: keeps driving, longest silence {ms(max(gaps))}, '
             f'shortest {ms(min(gaps))}')  # fmt: skip
    assert max(gaps) <= 2 * T + 0.1
    assert sum(gap < T / 4 for gap in gaps) <= 2, 'a burst'


@pytest.mark.row(21)
@pytest.mark.parametrize('what', ['missing', 'renamed'])
def fault_joint_states_lack_a_joint(driving, measured, what) -> None:
    def broken() -> JointState:
        message = driving.robot.joint_states()
        if what == 'renamed':
            message.name[4] = 'panda_elbow'
            return message
        return JointState(
            header=message.header,
            name=message.name[1:],
            position=message.position[1:],
            velocity=message.velocity[1:],
        )

    began = time.monotonic()
    driving.robot.joints = broken
    stopped = driving.begin_stop(began) - began
    driving.wait_still()
    assert 'is missing' in driving.robot.states[-1][1].reason
    measured(f'{what}: brakes after {ms(stopped)}, and says which; reordered: mapped by name')
    assert stopped <= LIMIT
    driving.mend()
    driving.wait_driving()
