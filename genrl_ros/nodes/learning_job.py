"""A task that is being learned: who waits for it, and what they are told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rclpy.action.server import ServerGoalHandle

from genrl_interfaces.action import LearnTask
from genrl_ros.nodes.ros.conversions import Goal
from genrl_ros.nodes.worker import LearnWorker

LINE_S = 10.0
"""How often the log tells how learning goes."""
STARTING = {
    'stage': 'starting', 'update': 0, 'imagined_reward': 0.0, 'updates_per_s': 0.0,
    'remaining_s': 0.0,
}  # fmt: skip


@dataclass
class Job:
    """A task that is being learned, and everybody who waits for it.

    Attributes:
        goal: what is learned.
        updates: how long.
        owner: whose goal began it; cancelling another one only stops to watch. None if it was set
            on the topic: only `stop_learning` and another task stop it then.
        waiting: goals that get feedback and the result.
        worker: the process that learns.
        told: the progress that was last given as feedback.
        line_due_s: when the log is to tell it again, in steady time.
        stopped_because: why it was stopped; empty if it was not.
    """

    goal: Goal
    updates: int
    owner: ServerGoalHandle | None = None
    waiting: list[ServerGoalHandle] = field(default_factory=list)
    worker: LearnWorker | None = None
    told: dict[str, Any] = field(default_factory=dict)
    line_due_s: float = 0.0
    stopped_because: str = ''

    @property
    def progress(self) -> dict[str, Any]:
        """How far learning is, as the worker has said it last."""
        said = self.worker.progress if self.worker is not None else {}
        return {**STARTING, 'of': self.updates, **said}

    def give_feedback(self) -> None:
        """Tell everybody who waits how far it is, if that is new."""
        progress = self.progress
        if progress == self.told:
            return
        self.told = progress
        feedback = LearnTask.Feedback(
            stage=str(progress['stage']),
            update=int(progress['update']),
            of=int(progress['of']),
            imagined_reward=float(progress['imagined_reward']),
            updates_per_s=float(progress['updates_per_s']),
            remaining_s=float(progress['remaining_s']),
        )
        for handle in self.waiting:
            handle.publish_feedback(feedback)

    def line(self, now_s: float) -> str:
        """What the log tells of it now and then; '' in between."""
        if now_s < self.line_due_s:
            return ''
        self.line_due_s = now_s + LINE_S
        progress = self.progress
        if not progress['of']:  # nothing is learned
            return f'{progress["stage"]} "{self.goal.prompt}"'
        rate = progress['updates_per_s']
        left = f', {rate:.1f} a second, {progress["remaining_s"]:.0f} s left' if rate else ''
        return (
            f'{progress["stage"]} "{self.goal.prompt}": update {progress["update"]} of '
            f'{progress["of"]}{left}'
        )

    def tell(self, result: LearnTask.Result) -> None:
        """Give the result to everybody who waits for it."""
        for handle in self.waiting:
            conclude(handle, result)


def conclude(handle: ServerGoalHandle, result: LearnTask.Result) -> None:
    """End a goal.

    Goals are executed only when they end: rclpy's executors would poll a callback that waits as
    fast as they can, for minutes.
    """

    def end(handle: ServerGoalHandle) -> LearnTask.Result:
        if handle.is_cancel_requested:
            handle.canceled()
        elif result.success:
            handle.succeed()
        else:
            handle.abort()
        return result

    handle.execute(end)
