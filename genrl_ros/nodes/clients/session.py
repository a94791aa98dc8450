"""A user of the graph: sets a task, follows how it is learned, and watches the robot."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import rclpy
from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool, Trigger

from genrl_interfaces.action import LearnTask
from genrl_interfaces.msg import PolicyState, TaskState
from genrl_interfaces.srv import SetTask
from genrl_ros.domains.base import IMAGE_SIZE
from genrl_ros.nodes.ros import conversions, qos
from genrl_ros.serving.safety.gate import OPEN

SPIN_S = 0.05
FIND_S = 10.0
"""How long a service is looked for."""


class SessionError(RuntimeError):
    """The graph did not do what was asked of it; the text says what."""


@dataclass(frozen=True)
class TaskAnswer:
    """What `set_task` answered; see `SetTask.srv`."""

    message: str
    task_id: str
    score: float
    concept: str
    margin: float
    goal_video: str
    learn: bool


@dataclass(frozen=True)
class Learned:
    """What `learn_task` ended with; see `LearnTask.action`."""

    message: str
    policy_path: str
    updates: int
    imagined_reward: float


@dataclass
class Recording:
    """What was seen while the robot moved.

    Attributes:
        frames: camera images `(3, N, N)` uint8.
        stamps_ns: simulation time of each.
        rewards: by task, its reward at each task state.
        reached_ns: by task, when it was first done.
        readings: by name, its value at each task state.
        units: of the readings.
        holds: reasons for which policy_node held the robot, in order.
    """

    frames: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    stamps_ns: list[int] = field(default_factory=list)
    rewards: dict[str, list[float]] = field(default_factory=dict)
    reached_ns: dict[str, int] = field(default_factory=dict)
    readings: dict[str, list[float]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    holds: list[str] = field(default_factory=list)
    _now_ns: int = -1
    _went_back: bool = False

    @property
    def started(self) -> bool:
        """Whether the episode has started, and a frame of it was seen."""
        return self._went_back and bool(self.stamps_ns)

    def see_time(self, stamp_ns: int) -> None:
        """Begin anew when simulated time goes back: what came before was another episode."""
        if stamp_ns < self._now_ns or stamp_ns == 0:
            self._went_back = True
            for seen in (self.frames, self.stamps_ns, self.holds):
                seen.clear()
            for by_name in (self.rewards, self.reached_ns, self.readings):
                by_name.clear()
        self._now_ns = stamp_ns


class Session:
    """Talks to the graph, and runs what goes on meanwhile: `while_waiting` may raise to end it.

    Attributes:
        node: the ROS node that it talks through.
    """

    def __init__(
        self,
        domain: int,
        while_waiting: Callable[[], None] = lambda: None,
        namespace: str = '',
    ) -> None:
        """Join the graph.

        Args:
            domain: ROS domain of the graph.
            while_waiting: called often, whenever something is waited for.
            namespace: ROS namespace of the graph.
        """
        self._while_waiting = while_waiting
        self._context = Context()
        rclpy.init(
            context=self._context,
            domain_id=domain,
            signal_handler_options=SignalHandlerOptions.NO,
        )
        self.node = Node('genrl_user', context=self._context, namespace=namespace)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._set_task = self.node.create_client(SetTask, 'set_task')
        self._reset = self.node.create_client(Trigger, 'sim/reset')
        self._pause = self.node.create_client(SetBool, 'sim/pause')
        self._learn = ActionClient(self.node, LearnTask, 'learn_task')
        self._recording: Recording | None = None
        self._policy: PolicyState | None = None
        self.node.create_subscription(
            PolicyState, 'policy_state', self._on_policy_state, qos.LATCHED
        )
        self._gate = ''
        self.node.create_subscription(
            DiagnosticStatus, 'command_gate/state', self._on_gate, qos.LATCHED
        )
        self.node.create_subscription(Image, 'camera/image_raw', self._on_image, qos.SENSOR)
        self.node.create_subscription(TaskState, 'task_state', self._on_task_state, qos.LATCHED)

    def __enter__(self) -> Session:
        """Nothing more to do."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the graph."""
        self._learn.destroy()
        self.node.destroy_node()
        self._executor.shutdown()
        self._context.try_shutdown()

    def wait_for_graph(self, timeout_s: float) -> None:
        """Wait until the gate lets commands through, which is the last thing of a bring-up."""
        deadline = time.monotonic() + timeout_s
        for name, ready in (
            ('command_gate to be active and released', lambda: self._gate in OPEN),
            ('sim_node (sim/reset)', self._reset.service_is_ready),
            ('prompt_node (set_task)', self._set_task.service_is_ready),
            ('trainer_node (learn_task)', self._learn.server_is_ready),
        ):
            self._wait(ready, f'waited {timeout_s:.0f} s for {name}', deadline)

    def set_task(
        self,
        prompt: str,
        timeout_s: float,
        *,
        video: str = '',
        preview: bool = False,
        queue: bool = False,
        from_here: bool = False,
    ) -> TaskAnswer:
        """Set a task, which is learned from then on.

        Args:
            prompt: a sentence; '' with a video.
            timeout_s: how long prompt_node may take.
            video: path of a video.
            preview: only show the goal.
            queue: wait for the task before; replace it otherwise.
            from_here: begin where the robot is, without going home first.

        Raises:
            SessionError: if it is refused, with the reason.
        """
        request = SetTask.Request(
            prompt=prompt,
            video_path=video,
            preview_only=preview,
            if_busy=SetTask.Request.QUEUE if queue else SetTask.Request.REPLACE,
            from_here=from_here,
        )
        self._wait_for_service(self._set_task, 'set_task (prompt_node)', timeout_s)
        answer = self._call(self._set_task, request, 'set_task', timeout_s)
        if not answer.accepted:
            raise SessionError(f'the task was refused: {answer.message}')
        return TaskAnswer(
            message=answer.message,
            task_id=answer.task_id,
            score=answer.grounding_score,
            concept=answer.nearest_concept,
            margin=answer.grounding_margin,
            goal_video=answer.goal_video,
            learn=answer.learn,
        )

    def follow_learning(
        self, task_id: str, on_feedback: Callable[[Any], None], start_timeout_s: float
    ) -> Learned:
        """Join the learning of a task and wait for its end.

        Args:
            task_id: as `set_task` answered.
            on_feedback: called with each `LearnTask.Feedback`.
            start_timeout_s: how long the trainer may take to know the task.

        Raises:
            SessionError: if learning fails.
        """
        deadline = time.monotonic() + start_timeout_s
        while True:
            sent = self._learn.send_goal_async(
                LearnTask.Goal(task_id=task_id),
                feedback_callback=lambda message: on_feedback(message.feedback),
            )
            handle = self._until(sent, 'trainer_node to answer on learn_task', start_timeout_s)
            if handle.accepted:
                break
            if time.monotonic() > deadline:
                raise SessionError(f'trainer_node does not know the task {task_id}; see its log')
            self.spin()
        try:
            ended = self._until(handle.get_result_async(), 'learning to end')
        except BaseException:
            handle.cancel_goal_async()
            raise
        result = ended.result
        if ended.status != GoalStatus.STATUS_SUCCEEDED:
            raise SessionError(f'learning ended early: {result.message}')
        return Learned(result.message, result.policy_path, result.updates, result.imagined_reward)

    def wait_for_policy(self, task_id: str, timeout_s: float) -> None:
        """Wait until policy_node has taken over the policy of a task."""
        self._wait(
            lambda: self._policy is not None and self._policy.task_id == task_id,
            f'policy_node did not take over {task_id}; see its log',
            time.monotonic() + timeout_s,
        )

    def wait_for_end(self, task_id: str) -> str:
        """Wait until the policy of a task has ended, or another one drives; how, in words."""
        while self._policy is not None and self._policy.task_id == task_id:
            if self._policy.state == 'done':
                return f'done: {self._policy.reason}'
            self.spin()
        return 'another task has taken over'

    def stop_learning(self, timeout_s: float) -> str:
        """Stop what is being learned; what the trainer answers."""
        client = self.node.create_client(Trigger, 'stop_learning')
        self._wait_for_service(client, 'stop_learning (trainer_node)', timeout_s)
        return str(self._call(client, Trigger.Request(), 'stop_learning', timeout_s).message)

    def _wait_for_service(self, client: Any, name: str, timeout_s: float) -> None:
        self._wait(
            client.service_is_ready,
            f'there is no {name} in the ROS domain {self._context.get_domain_id()}',
            time.monotonic() + min(timeout_s, FIND_S),
        )

    def pause(self, paused: bool) -> None:
        """Stop or resume simulated time."""
        self._call(self._pause, SetBool.Request(data=paused), 'sim/pause', 10.0)

    def reset(self) -> None:
        """Take the simulator back to its start."""
        self._call(self._reset, Trigger.Request(), 'sim/reset', 10.0)

    def gate(self, action: str) -> None:
        """Ask the gate for `emergency_stop`, `release`, `pause` or `resume`.

        Raises:
            SessionError: if it refuses, with the reason.
        """
        client = self.node.create_client(Trigger, f'command_gate/{action}')
        while not client.service_is_ready():
            self.spin()
        answer = self._call(client, Trigger.Request(), f'command_gate/{action}', 10.0)
        self.node.destroy_client(client)
        if not answer.success:
            raise SessionError(f'command_gate/{action}: {answer.message}')

    @property
    def task_in_charge(self) -> str:
        """Task of the policy that drives; empty if none does."""
        return self._policy.task_id if self._policy is not None else ''

    def record_episode(
        self, task: str | None, episode_s: float, timeout_s: float, tail_s: float = 1.0
    ) -> Recording:
        """Start an episode and record it to its end, or until a task is done.

        Args:
            task: what has to be done; None to record to the end.
            episode_s: simulated seconds of an episode.
            timeout_s: wall time that it may take.
            tail_s: simulated seconds that are still recorded after success.

        Raises:
            SessionError: if the simulator does not get that far.
        """
        self._recording = recording = Recording()
        self.reset()
        deadline = time.monotonic() + timeout_s
        end_ns = episode_s * conversions.NANOSECONDS
        while not recording.started or recording.stamps_ns[-1] < end_ns:
            if time.monotonic() > deadline:
                raise SessionError(f'the episode did not end within {timeout_s:.0f} s')
            self.spin()
            if task in recording.reached_ns:
                reached_ns = recording.reached_ns[task]
                end_ns = min(end_ns, reached_ns + tail_s * conversions.NANOSECONDS)
        self._recording = None
        return recording

    def _on_image(self, message: Image) -> None:
        if self._recording is None:
            return
        stamp_ns = conversions.from_stamp(message.header.stamp)
        self._recording.see_time(stamp_ns)
        try:
            frame = conversions.from_image(message, IMAGE_SIZE)
        except conversions.MessageError:
            return
        self._recording.frames.append(frame)
        self._recording.stamps_ns.append(stamp_ns)

    def _on_task_state(self, message: TaskState) -> None:
        if self._recording is None:
            return
        stamp_ns = conversions.from_stamp(message.header.stamp)
        self._recording.see_time(stamp_ns)
        for task, reward, done in zip(
            message.tasks, message.rewards, message.success, strict=False
        ):
            self._recording.rewards.setdefault(task, []).append(reward)
            if done:
                self._recording.reached_ns.setdefault(task, stamp_ns)
        for name, value, unit in zip(
            message.readings, message.values, message.units, strict=False
        ):
            self._recording.readings.setdefault(name, []).append(value)
            self._recording.units[name] = unit

    def _on_gate(self, message: DiagnosticStatus) -> None:
        self._gate = message.message

    def _on_policy_state(self, message: PolicyState) -> None:
        self._policy = message
        if self._recording is not None and message.state == 'holding':
            self._recording.holds.append(message.reason)

    def _call(self, client: Any, request: Any, name: str, timeout_s: float) -> Any:
        return self._until(client.call_async(request), f'an answer of {name}', timeout_s)

    def _until(self, future: Any, what: str, timeout_s: float = math.inf) -> Any:
        self._wait(
            future.done, f'waited {timeout_s:.0f} s for {what}', time.monotonic() + timeout_s
        )
        return future.result()

    def _wait(self, ready: Callable[[], object], otherwise: str, deadline_s: float) -> None:
        """Take in what comes until something is ready, or raise what to say otherwise."""
        while not ready():
            if time.monotonic() > deadline_s:
                raise SessionError(otherwise)
            self.spin()

    def spin(self) -> None:
        """Take in what comes, for a moment."""
        self._executor.spin_once(timeout_sec=SPIN_S)
        self._while_waiting()
