"""The nodes of the graph as child processes: started together, watched, and ended together."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from genrl_ros.cli import shared_memory
from genrl_ros.deploy.graph import BRINGUP, NodeSpec, Value, command, overrides
from genrl_ros.system import home
from genrl_ros.system.processes import die_with_parent

END_S = 8.0
"""How long a node may take to end when it is asked to."""
RESPAWNS = 5
"""How often a node is started again within a while, before it is given up."""
RESPAWN_WINDOW_S = 60.0


class NodeFailedError(RuntimeError):
    """A node has ended by itself."""


class NodeProcesses:
    """Runs nodes while a `with` block runs; when it ends, so do they, and nothing is left.

    Relative folders in their parameters are below the current one, unless `GENRL_HOME` says else.
    """

    def __init__(
        self,
        nodes: Sequence[NodeSpec],
        params_files: Sequence[Path],
        parameters: Mapping[str, Mapping[str, Value]],
        environment: Mapping[str, str],
        namespace: str = '',
        logs: Path | None = None,
        *,
        respawn: bool = False,
    ) -> None:
        """Say what to run.

        Args:
            nodes: which nodes.
            params_files: ROS parameter files of all of them; later ones count more.
            parameters: by node name, what differs from them.
            environment: variables on top of this process's own.
            namespace: ROS namespace.
            logs: folder for one log file a node; without it they print on the terminal.
            respawn: whether a node that ends by itself is started again, but for the bring-up.
        """
        self._nodes = nodes
        self._params_files = params_files
        self._parameters = parameters
        self._namespace = namespace
        self._environment = {
            home.VARIABLE: str(Path.cwd()),
            **os.environ,
            'PYTHONUNBUFFERED': '1',
            **environment,
        }
        self._logs = logs
        self._respawn = respawn
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: dict[str, list[str]] = {}
        self._ends: dict[str, list[float]] = {}
        self._before: set[str] = set()
        self._overrides: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> NodeProcesses:
        """Start them."""
        self._before = shared_memory.ours()
        if self._logs is not None:
            self._logs.mkdir(parents=True, exist_ok=True)
        try:
            self._overrides = tempfile.TemporaryDirectory(prefix='genrl-')
            for node in self._nodes:
                files = [*self._params_files]
                if parameters := self._parameters.get(node.name):
                    files.append(Path(self._overrides.name) / f'{node.name}.yaml')
                    files[-1].write_text(overrides(node, parameters, self._namespace))
                self._commands[node.name] = command(node, files, self._namespace)
                self._processes[node.name] = self._start(node.name)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End them."""
        self.stop()

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by node name."""
        return {name: process.pid for name, process in self._processes.items()}

    def check(self) -> None:
        """Look whether all of them run, and start again those that may be.

        Raises:
            NodeFailedError: naming the node that has ended, and what it said last.
        """
        for name, process in self._processes.items():
            status = process.poll()
            if status is None:
                continue
            if not self._may_respawn(name):
                raise NodeFailedError(f'{name} has ended with status {status}{self._said(name)}')
            print(f'{name} has ended with status {status}; restarting it', file=sys.stderr)
            self._processes[name] = self._start(name)

    def _may_respawn(self, name: str) -> bool:
        if not self._respawn or name == BRINGUP.name:
            return False
        now = time.monotonic()
        recent = [end for end in self._ends.get(name, []) if now - end < RESPAWN_WINDOW_S]
        self._ends[name] = [*recent, now]
        return len(recent) < RESPAWNS

    def stop(self) -> None:
        """End all of them: first politely, then by force. May be called any number of times."""
        with _signals_ignored():
            for signum in (signal.SIGTERM, signal.SIGKILL):
                for process in self._processes.values():
                    if process.poll() is None:
                        process.send_signal(signum)
                deadline = time.monotonic() + END_S
                while time.monotonic() < deadline and self._any_alive():
                    time.sleep(0.02)
            shared_memory.remove_dead(self._before)
            if self._overrides is not None:
                self._overrides.cleanup()

    def _any_alive(self) -> bool:
        return any(process.poll() is None for process in self._processes.values())

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        output: IO[bytes] | None = None
        if self._logs is not None:
            output = (self._logs / f'{name}.log').open('ab')
        try:
            # A session of its own, so that a terminal's Ctrl-C comes through `stop` alone.
            return subprocess.Popen(
                self._commands[name],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output is not None else None,
                start_new_session=True,
                preexec_fn=functools.partial(die_with_parent, signal.SIGTERM),
            )
        finally:
            if output is not None:
                output.close()

    def _said(self, name: str) -> str:
        if self._logs is None:
            return ''
        path = self._logs / f'{name}.log'
        lines = path.read_text(errors='replace').strip().splitlines()
        return f'; the end of {path}:\n' + '\n'.join(f'  {line}' for line in lines[-5:])


class _signals_ignored:  # noqa: N801
    """While ending, a second Ctrl-C changes nothing."""

    def __enter__(self) -> None:
        self._handlers = {
            signum: signal.signal(signum, signal.SIG_IGN)
            for signum in (signal.SIGINT, signal.SIGTERM)
        }

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._handlers.items():
            signal.signal(signum, handler)


def end_in_order() -> None:
    """Make SIGINT and SIGTERM leave all `with` blocks, even where a shell had SIGINT ignored."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, interrupt)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
