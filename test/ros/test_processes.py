from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from genrl_ros.cli import shared_memory
from genrl_ros.cli.commands import up
from genrl_ros.cli.discovery import private_domain
from genrl_ros.cli.processes import NodeFailedError, NodeProcesses
from genrl_ros.deploy.graph import BRINGUP, NODES

TIMEOUT_S = 30.0
SOME = [node for node in NODES if node.name in ('encoder_node', 'trainer_node', 'policy_node')]
BRING_UP = {'bringup': {'nodes': [node.name for node in SOME]}}


def until(happened: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not happened():
        assert time.monotonic() < deadline, f'waited {TIMEOUT_S} s for {what}'
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False


@pytest.fixture
def params_file(tmp_path, encoder_bytes) -> Path:
    (tmp_path / 'encoder.onnx').write_bytes(encoder_bytes)
    path = tmp_path / 'params.yaml'
    path.write_text(
        f'/**:\n  ros__parameters:\n    model: {tmp_path}\n    policies: {tmp_path}/policies\n'
    )
    return path


@pytest.fixture
def processes(params_file, tmp_path) -> NodeProcesses:
    return NodeProcesses([*SOME, BRINGUP], [params_file], BRING_UP, {}, logs=tmp_path / 'log')


def says(tmp_path: Path, node: str, text: str) -> bool:
    path = tmp_path / 'log' / f'{node}.log'
    return path.is_file() and text in path.read_text()


def wait_for_nodes(tmp_path: Path) -> None:
    until(lambda: says(tmp_path, 'bringup', 'everything is active'), 'the bring-up')
    for node in SOME:
        until(lambda node=node: says(tmp_path, node.name, 'wait'), f'{node.name} to wait')


def test_a_ros_domain_that_has_no_ports_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r'--ros-domain must be in \[0, 232\], got 999'):
        up.Config('kitchen', ros_domain=999)
    monkeypatch.setenv('ROS_DOMAIN_ID', '999')
    with pytest.raises(ValueError, match='it must be a number from 0 to 232'), private_domain():
        pass


def test_nodes_end_together_and_leave_nothing(processes, tmp_path) -> None:
    before = shared_memory.ours()
    with processes:
        wait_for_nodes(tmp_path)
        processes.check()
        pids = list(processes.pids.values())
        assert shared_memory.ours() > before
    assert not any(alive(pid) for pid in pids)
    assert shared_memory.remove_dead(before) == []
    for node in SOME:
        assert says(tmp_path, node.name, 'ends, as asked')


def test_a_node_that_dies_is_named_and_its_shared_memory_removed(processes, tmp_path) -> None:
    before = shared_memory.ours()
    with processes:
        wait_for_nodes(tmp_path)
        os.kill(processes.pids['policy_node'], signal.SIGKILL)
        with pytest.raises(NodeFailedError, match='policy_node has ended with status -9'):
            until(processes.check, 'the death to be seen')
    assert shared_memory.remove_dead(before) == []


def test_a_node_that_dies_comes_back_and_is_activated_again(params_file, tmp_path) -> None:
    processes = NodeProcesses(
        [*SOME, BRINGUP], [params_file], BRING_UP, {}, logs=tmp_path / 'log', respawn=True
    )
    log = tmp_path / 'log' / 'policy_node.log'
    with processes:
        wait_for_nodes(tmp_path)
        before = processes.pids['policy_node']
        os.kill(before, signal.SIGKILL)
        until(
            lambda: processes.check() or log.read_text().count('no policy was announced') == 2,
            'the policy node to be active again',
        )
        assert processes.pids['policy_node'] != before


def test_a_node_that_cannot_start_says_why(processes, tmp_path) -> None:
    (tmp_path / 'encoder.onnx').unlink()
    with processes, pytest.raises(NodeFailedError, match='(?s)encoder_node: .*cannot be read'):
        until(processes.check, 'the failure to be seen')


def test_the_nodes_end_with_their_parent(params_file, tmp_path) -> None:
    script = (
        'import sys, time\n'
        'from pathlib import Path\n'
        'from genrl_ros.cli.processes import NodeProcesses\n'
        'from genrl_ros.deploy.graph import NODES\n'
        'nodes = [node for node in NODES if node.name == "policy_node"]\n'
        'logs = Path(sys.argv[2])\n'
        'with NodeProcesses(nodes, [Path(sys.argv[1])], {}, {}, logs=logs) as processes:\n'
        '    print(processes.pids["policy_node"], flush=True)\n'
        '    time.sleep(60)\n'
    )
    parent = subprocess.Popen(
        [sys.executable, '-c', script, str(params_file), str(tmp_path / 'log')],
        stdout=subprocess.PIPE,
        text=True,
    )
    pid = int(parent.stdout.readline())
    until(lambda: alive(pid), 'the node')
    parent.kill()
    parent.wait()
    until(lambda: not alive(pid), 'the node to end')


def test_domains_do_not_collide(monkeypatch) -> None:
    monkeypatch.delenv('ROS_DOMAIN_ID')
    with private_domain() as first, private_domain() as second:
        assert first['ROS_DOMAIN_ID'] != second['ROS_DOMAIN_ID']
        assert first['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'
        assert Path(first['FASTDDS_DEFAULT_PROFILES_FILE']).is_file()


def test_a_domain_in_use_is_not_chosen(monkeypatch) -> None:
    monkeypatch.delenv('ROS_DOMAIN_ID')
    monkeypatch.setattr('genrl_ros.cli.discovery.ROS_DOMAIN_IDS', range(60, 61))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(('', 7400 + 250 * 60))
        with pytest.raises(OSError, match='every ROS domain'), private_domain():
            pass


def test_what_the_user_says_counts(monkeypatch) -> None:
    with private_domain(7) as environment:
        assert environment['ROS_DOMAIN_ID'] == '7'
    monkeypatch.setenv('ROS_DOMAIN_ID', '42')
    with private_domain() as environment:
        assert environment['ROS_DOMAIN_ID'] == '42'
    monkeypatch.setenv('ROS_DOMAIN_ID', 'mine')
    with pytest.raises(ValueError, match="'mine'; it must be a number"), private_domain():
        pass


@pytest.mark.parametrize('namespace', ['', 'left'])
def test_overrides_count_more_than_the_file_whatever_it_holds(
    params_file, tmp_path, namespace
) -> None:
    with params_file.open('a') as file:
        file.write('/**/trainer_node:\n  ros__parameters:\n    updates: 5\n')
    trainer = [node for node in NODES if node.name == 'trainer_node']
    odd = str(tmp_path / 'on: "the" \'ünsafe\' #side')
    Path(odd).mkdir()
    values = {'updates': -1, 'model': odd}
    processes = NodeProcesses(
        trainer, [params_file], {'trainer_node': values}, {}, namespace, logs=tmp_path / 'log'
    )
    # Updates of -1 are out of bounds: the node names the value that counted.
    with processes, pytest.raises(NodeFailedError, match=r'parameter updates .*-1') as caught:
        until(processes.check, 'the refusal')
    values['updates'] = 7
    processes = NodeProcesses(
        [*trainer, BRINGUP],
        [params_file],
        {'trainer_node': values, 'bringup': {'nodes': ['trainer_node']}},
        {},
        namespace,
        logs=tmp_path / 'log',
    )
    with processes:
        until(lambda: says(tmp_path, 'trainer_node', f'uses {odd}'), 'the trainer')
    assert 'trainer_node' in str(caught.value)
