"""What a demo has come to know, stage by stage; `demo_report` tells it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from genrl_ros.domains.base import Task
from genrl_ros.system.memory import PeakMemory

if TYPE_CHECKING:
    from genrl_ros.nodes.clients.session import Learned, Recording, TaskAnswer


class StageTimes:
    """Times of what is done one after another."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._now: str | None = None
        self._since = time.monotonic()

    def begin(self, name: str) -> None:
        """End the stage before, begin this one."""
        self.end()
        self._now, self._since = name, time.monotonic()

    def end(self) -> None:
        """End the stage that goes on."""
        if self._now is not None:
            self.seconds[self._now] = time.monotonic() - self._since
            self._now = None


@dataclass
class DemoRun:
    """What a demo has come to know, as far as it has come.

    Returns are sums over control steps, of which there are `steps_per_image` from one image, and
    one reward that is told, to the next.
    """

    folder: Path
    prompt: str
    task: Task | None
    steps_per_image: int = 1
    stages: StageTimes = field(default_factory=StageTimes)
    memory: PeakMemory = field(default_factory=PeakMemory)
    answer: TaskAnswer | None = None
    learned: Learned | None = None
    curve: list[tuple[int, float]] = field(default_factory=list)
    recordings: list[Recording] = field(default_factory=list)
    error: str = ''
