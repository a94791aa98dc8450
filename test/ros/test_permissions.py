"""The SROS2 policy against nodes that run: what they do is allowed, what is allowed they do."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rclpy.node import Node

from genrl_ros.cli.discovery import private_domain
from genrl_ros.deploy.permissions import BESIDES, GRAPH, Permissions, topics_of
from genrl_ros.nodes.clients.probe import Probe
from genrl_ros.nodes.recorder_node import RecorderNode
from genrl_ros.serving.robot.embodiment_file import find_embodiment, load_embodiment

ROBOT = load_embodiment(find_embodiment('kitchen'))
EVERYBODY = {'/parameter_events', '/rosout', '/clock', '/diagnostics'}
NAMED = {permissions.node: permissions for permissions in (*GRAPH, *BESIDES)}


def topics(found: list[tuple[str, list[str]]], node: str) -> set[str]:
    """Names of topics, without those of actions and those that everybody may use."""
    names = {name for name, _ in found if not name.startswith('/learn_task/_action/')}
    return names - EVERYBODY - {f'/{node}/transition_event'}


def allowed(names: tuple[str, ...]) -> set[str]:
    return {
        name
        for name in topics_of(names, ROBOT)
        if not name.startswith('/learn_task/_action/')
    } - EVERYBODY  # fmt: skip


def differences(observer: Node, permissions: Permissions) -> list[str]:
    """Where a running node does other things than the policy says."""
    node = permissions.node
    of = {
        'publish': observer.get_publisher_names_and_types_by_node,
        'subscribe': observer.get_subscriber_names_and_types_by_node,
    }
    return [
        f'{node}: {verb} {name}'
        for verb, ask in of.items()
        for name in topics(ask(node, '/'), node) ^ allowed(getattr(permissions, verb))
    ]


def test_recorder_and_preflight_do_what_they_may(bench, tmp_path) -> None:
    bench.make(RecorderNode, folder=str(tmp_path))
    bench.add(Probe(ROBOT, context=bench.context))
    for name in ('recorder_node', 'genrl_preflight'):
        bench.until(lambda name=name: name in bench.observer.get_node_names(), name)
        assert differences(bench.observer, NAMED[name]) == []


@pytest.fixture
def graph(tmp_path: Path) -> Iterator[subprocess.Popen]:
    with private_domain() as environment:
        process = subprocess.Popen(
            [sys.executable, '-m', 'genrl_ros.cli.main', 'up', 'kitchen'],
            env={**os.environ, **environment},
            cwd=tmp_path,
        )
        yield process
        process.terminate()
        process.wait(60)


@pytest.mark.full
def test_the_whole_graph_does_what_it_may(bench, graph) -> None:
    """Every node of `genrl up kitchen`, once all of them are there."""
    left = ['nothing was seen']

    def fits() -> bool:
        assert graph.poll() is None, 'genrl up has ended'
        names = bench.observer.get_node_names()
        if not all(permissions.node in names for permissions in GRAPH):
            return False
        left[:] = [text for each in GRAPH for text in differences(bench.observer, each)]
        return not left

    deadline = time.monotonic() + 120
    while not fits():
        assert time.monotonic() < deadline, left
        bench.executor.spin_once(timeout_sec=0.2)


@pytest.mark.parametrize('keystore', ['', 'keys'])
def test_where_security_is_asked_for_no_node_runs_without_it(tmp_path, keystore) -> None:
    """Fast DDS of PyPI has no security plugins; an installation that has them has no keys."""
    (tmp_path / 'keys' / 'enclaves' / 'genrl').mkdir(parents=True)
    node = subprocess.run(
        [sys.executable, '-m', 'genrl_ros.nodes.recorder_node'],
        env={
            **os.environ,
            'ROS_SECURITY_ENABLE': 'true',
            'ROS_SECURITY_STRATEGY': 'Enforce',
            'ROS_SECURITY_KEYSTORE': str(tmp_path / keystore) if keystore else '/nowhere',
            'ROS_SECURITY_ENCLAVE_OVERRIDE': '/genrl',
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert node.returncode != 0
    assert 'ecurity' in node.stderr or 'SECURITY' in node.stderr
    assert not (tmp_path / 'runs').exists()
