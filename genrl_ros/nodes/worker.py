"""The trainer's end of the process that learns."""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from genrl_ros.training.behavior.learn_worker import LearnRequest

KILL_AFTER_S = 1.0
_LAST_LINES = 20


class LearnWorker:
    """A running worker: never waited for, only asked what is new.

    Attributes:
        progress: what it said last of its progress.
        result: what it has learned, once it has.
        error: why it failed, once it has.
    """

    def __init__(
        self, command: Sequence[str], request: LearnRequest, log: Callable[[str], Any]
    ) -> None:
        """Start a worker.

        Args:
            command: the program and its arguments.
            request: what to learn.
            log: gets every line that the worker prints for people.
        """
        self.progress: dict[str, Any] = {}
        self.result: dict[str, Any] | None = None
        self.error: str | None = None
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        # In a session of its own, so that a terminal's Ctrl-C reaches it only through the node.
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._readers = [
            threading.Thread(target=self._read_answers, daemon=True),
            threading.Thread(target=self._read_log, args=(log,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(asdict(request)) + '\n')
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it ended at once: `poll` says why

    def poll(self) -> bool:
        """Take in what the worker has said; whether it has ended."""
        ended = self._process.poll() is not None
        if ended:
            for reader in self._readers:
                reader.join(timeout=1.0)
        while not self._messages.empty():
            message = self._messages.get()
            self.progress = message.get('progress', self.progress)
            self.result = message.get('result', self.result)
            self.error = message.get('error', self.error)
        if ended and self.result is None and self.error is None:
            said = self._last_lines[-1] if self._last_lines else 'without a word'
            self.error = f'the worker ended with status {self._process.returncode}: {said}'
        return ended

    def stop(self) -> None:
        """Ask it to end early and keep what it has."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it now, whatever it has."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=KILL_AFTER_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read_answers(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                message = json.loads(line)
            except ValueError:
                message = None
            if isinstance(message, dict):
                self._messages.put(message)

    def _read_log(self, log: Callable[[str], Any]) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if line.strip():
                self._last_lines.append(line.strip())
                log(line.rstrip())
