"""`genrl preflight`, a process of its own, looks at the simulator over real DDS."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Float64MultiArray, String

from genrl_ros.nodes.ros import qos
from genrl_ros.nodes.sim_node import SimNode
from genrl_ros.serving.robot.embodiment_file import find_embodiment

COMMANDS = 'joint_velocity_controller/commands'


@pytest.fixture
def preflight(bench) -> Callable[..., tuple[int, str]]:
    """Runs `genrl preflight` while the nodes of the test go on; gives status and output."""

    def run(file: str | Path, *arguments: str) -> tuple[int, str]:
        process = subprocess.Popen(
            [
                *(sys.executable, '-m', 'genrl_ros.cli.main', 'preflight', str(file)),
                *('--seconds', '2', *arguments),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            bench.until(lambda: process.poll() is not None, 'genrl preflight', timeout=90)
            return process.returncode, process.stdout.read()
        finally:
            process.kill()
            process.stdout.close()

    return run


def test_the_simulator_is_as_its_file_says(bench, preflight) -> None:
    bench.start(SimNode, real_time_factor=0.5)
    status, output = preflight('kitchen')
    assert status == 0, output
    assert 'WRONG' not in output and output.endswith('kitchen: ready\n')
    for words in ('/camera/image_raw: 64x64 rgb8', 'all 9 joints are there', 'from /clock'):
        assert words in output


def test_everything_that_differs_is_told(bench, preflight, counting_env, tmp_path) -> None:
    robot = yaml.safe_load(find_embodiment('kitchen').read_text())
    robot['use_sim_time'] = False
    robot['camera'] |= {'width': 128, 'height': 128, 'rate_hz': 30.0}
    robot['commands'][0]['channels'][3]['joint'] = 'panda_joint_4'
    positions = robot['home']['positions']
    positions['panda_joint_4'] = positions.pop('panda_joint4')
    robot['commands'].append(
        {
            'topic': 'gripper/commands',
            'interface': 'position_group',
            'channels': [
                {
                    'joint': 'gripper',
                    'unit': 'm',
                    'scale': 0.02,
                    'centre': 0.02,
                    'reaction': 'hold',
                    'limits': {'position': [0.0, 0.04], 'velocity': 1.0},
                }
            ],
        }
    )
    file = tmp_path / 'robot.yaml'
    file.write_text(yaml.safe_dump(robot))
    bench.start(SimNode, lambda domain: counting_env.scene, real_time_factor=0.5)
    bench.observer.create_publisher(Float64MultiArray, COMMANDS, qos.COMMAND)
    description = bench.observer.create_publisher(String, 'robot_description', qos.LATCHED)
    limit = '<limit lower="-1" upper="1" velocity="9"/>'
    joint = f'<joint name="panda_joint1" type="revolute">{limit}</joint>'
    description.publish(String(data=f'<robot name="r">{joint}</robot>'))
    status, output = preflight(file)
    assert status == 1, output
    for words in (
        'somebody publishes /clock, but use_sim_time is false',
        '/camera/image_raw: image is 64x64; 128x128 is expected',
        'messages a second, 30 are expected',
        "joint 'panda_joint_4' is missing; is it 'panda_joint4' now?",
        "joint 'gripper' is missing",
        '/gripper/commands: nobody takes commands',
        'observer publishes commands, too',
        'panda_joint1: limits of position',
    ):
        assert words in output, output
    assert output.count('WRONG') == int(output.split()[-3])


def test_a_controller_that_would_get_nothing_or_mixes_joints_up(
    bench, preflight, counting_env
) -> None:
    bench.start(SimNode, lambda domain: counting_env.scene, real_time_factor=0.5)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    bench.observer.create_subscription(Float64MultiArray, COMMANDS, lambda _: None, latched)
    bench.observer.declare_parameter('joints', ['panda_joint2', 'panda_joint1'])
    status, output = preflight('kitchen')
    assert status == 1, output
    assert 'observer would get no commands: ERROR: Volatile publisher' in output
    assert "the parameter `joints` of observer does not fit: joint 'panda_joint3'" in output


def test_an_empty_graph_says_what_to_start(preflight) -> None:
    status, output = preflight('kitchen')
    assert status == 1
    assert output.count('nobody') == 4 and 'start the simulator' in output


def test_a_bad_file_is_told_before_anything_else(preflight, tmp_path) -> None:
    file = tmp_path / 'robot.yaml'
    file.write_text('name: robot\ncommand_rate_hz: -1\n')
    status, output = preflight(file)
    assert status == 1
    assert 'command_rate_hz must be' in output and 'camera is missing' in output
