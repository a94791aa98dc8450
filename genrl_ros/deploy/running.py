"""The graphs that `genrl up` runs on this machine, so that other commands find them.

Each has a small file in the user's runtime folder while it runs.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from genrl_ros.system.files import read_json, write_json


@dataclass(frozen=True)
class RunningGraph:
    """A graph, and how to talk to it.

    Attributes:
        pid: of the process that runs it.
        started_s: when that process began, which tells it from a later one of the same pid.
        domain: what it simulates.
        namespace: ROS namespace of its nodes.
        environment: variables with which a program talks to it.
    """

    pid: int
    started_s: float
    domain: str
    namespace: str
    environment: Mapping[str, str]


@contextlib.contextmanager
def announced(domain: str, namespace: str, environment: Mapping[str, str]) -> Iterator[None]:
    """Let others find this process's graph while the block runs."""
    me = psutil.Process()
    graph = RunningGraph(me.pid, me.create_time(), domain, namespace, environment)
    file = _folder() / f'{me.pid}.json'
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_json(file, asdict(graph))
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def running_graphs() -> list[RunningGraph]:
    """The graphs that run; files of those that were killed are removed."""
    found = []
    for file in sorted(_folder().glob('*.json')):
        try:
            graph = RunningGraph(**read_json(file))
            if psutil.Process(graph.pid).create_time() == graph.started_s:
                found.append(graph)
                continue
        except (ValueError, TypeError, OSError, psutil.Error):
            pass
        file.unlink(missing_ok=True)
    return found


def _folder() -> Path:
    runtime = os.environ.get('XDG_RUNTIME_DIR') or f'{tempfile.gettempdir()}/genrl-{os.getuid()}'
    return Path(runtime) / 'genrl-graphs'
