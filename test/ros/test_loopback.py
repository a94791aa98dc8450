"""Nobody on the network can reach a graph of `genrl up`: it listens on the loopback alone."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genrl_ros.cli.discovery import private_domain

LISTENS = '0A'  # TCP state
LOOPBACK = '0100007F'  # 127.0.0.1, lowest byte first
MULTICAST = '0100FFEF'  # 239.255.0.1, which the gate joins on the loopback interface
PORTS = range(7400, 7400 + 250 * 102)
"""Where DDS participants of the domains 0 to 101 listen."""


def sockets(pid: int) -> list[tuple[str, str, int]]:
    """Protocol, address and port of all that a process might be spoken to at."""
    own = set()
    for link in Path(f'/proc/{pid}/fd').iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            if found := re.match(r'socket:\[(\d+)\]', os.readlink(link)):
                own.add(found[1])
    bound = []
    for protocol in ('udp', 'udp6', 'tcp', 'tcp6'):
        for line in Path(f'/proc/net/{protocol}').read_text().splitlines()[1:]:
            fields = line.split()
            address, port = fields[1].split(':')
            if fields[9] in own and (protocol.startswith('udp') or fields[3] == LISTENS):
                bound.append((protocol, address, int(port, 16)))
    return bound


def mapped(pid: int) -> list[str]:
    """What a process has mapped into its memory."""
    return Path(f'/proc/{pid}/maps').read_text().splitlines()


def listening(pid: int, domain: int) -> set[str]:
    """Addresses at which a process waits for DDS of a domain, or for any TCP connection."""
    ports = PORTS[250 * domain : 250 * domain + 250]
    return {
        address
        for protocol, address, port in sockets(pid)
        if port in ports or protocol.startswith('tcp')
    }


@pytest.mark.parametrize('node', ['recorder_node', 'command_gate'])
def test_a_graph_of_our_own_listens_on_the_loopback_alone(tmp_path, node) -> None:
    with private_domain() as environment:
        domain = int(environment['ROS_DOMAIN_ID'])
        process = subprocess.Popen(
            [sys.executable, '-m', f'genrl_ros.nodes.{node}'],
            env={**os.environ, **environment},
            cwd=tmp_path,
        )
        try:
            deadline = time.monotonic() + 60
            while not (addresses := listening(process.pid, domain)):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            assert addresses <= {LOOPBACK, MULTICAST} and LOOPBACK in addresses
            shared = any('/dev/shm/fastdds' in line for line in mapped(process.pid))
            assert shared == (node != 'command_gate')
        finally:
            process.kill()
            process.wait()
