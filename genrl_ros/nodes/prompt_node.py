"""Takes a task as a sentence or a video, shows what it means, and passes it on to be learned."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from action_msgs.msg import GoalStatus, GoalStatusArray
from sensor_msgs.msg import Image

from genrl_interfaces.msg import LatentGoal, PolicyAnnouncement, PolicyState
from genrl_interfaces.srv import SetTask
from genrl_ros.data.pictures import side_by_side, write_png
from genrl_ros.data.video import VideoLimits, write_video
from genrl_ros.nodes.prompter import (
    GroundedGoal,
    ModelPrompter,
    Prompter,
    PromptError,
    check_prompt,
    read_allowed_video,
)
from genrl_ros.nodes.robot_watch import RobotWatch
from genrl_ros.nodes.ros import conversions, qos
from genrl_ros.nodes.ros.conversions import Goal
from genrl_ros.nodes.ros.diagnostics import Level, Status
from genrl_ros.nodes.ros.lifecycle import ManagedNode
from genrl_ros.nodes.ros.models import find
from genrl_ros.nodes.ros.params import declare, parameter
from genrl_ros.nodes.ros.run import main as run_main
from genrl_ros.nodes.task_files import new_task_id, prune
from genrl_ros.system.home import below_home
from genrl_ros.system.room import check_room
from genrl_ros.system.time_limit import within

WATCH_S = 0.25
START_GRACE_S = 3.0
"""How long the trainer may take to say that it has begun."""
END_GRACE_S = 1.0
"""How long the policy's announcement may come after the end of learning."""
FILES_S = VideoLimits().timeout_s + 5.0
"""How long reading a video or writing a goal may take: a drive may not answer."""
VIDEO_SCALE = 4
_ACTIVE = (
    GoalStatus.STATUS_ACCEPTED,
    GoalStatus.STATUS_EXECUTING,
    GoalStatus.STATUS_CANCELING,
)


@dataclass(frozen=True)
class PromptParameters:
    """Parameters of the prompt node."""

    model: str = parameter(
        'kitchen', 'the world model: the name of a shipped one, or a path with / or ./'
    )
    runs: str = parameter('runs', 'folder that goals are written into; relative: below GENRL_HOME')
    allowed_folders: tuple[str, ...] = parameter(
        ('.',), 'folders that a video_path may be in; relative: below GENRL_HOME'
    )
    queue: int = parameter(8, 'tasks that may wait for those before them', low=1)
    keep_goals: int = parameter(200, 'how many goals are kept in runs; older ones go', low=1)
    keep_goals_gib: float = parameter(1.0, 'GiB that they may have together', low=0.0)
    min_free_gib: float = parameter(
        0.5, 'GiB that stay free on the disk: with less, tasks are refused', low=0.0
    )


class PromptNode(ManagedNode):
    """Serves `set_task`.

    Whether the trainer is busy it sees on the status topic of `learn_task`. A task that replaces
    another goes out at once; one that is queued waits here until the one before it was learned
    and done.
    """

    def __init__(
        self, make_prompter: Callable[[Path], Prompter] = ModelPrompter, **options: object
    ) -> None:
        """Make an unconfigured node.

        Args:
            make_prompter: loads what grounds prompts, from the world model's folder.
            **options: for the ROS node.
        """
        super().__init__('prompt_node', **options)
        self._make_prompter = make_prompter
        self._config = declare(self, PromptParameters)

    def configure(self) -> None:
        """Load the models, which takes a while."""
        folder = find(self._config.model)
        self._runs = below_home(self._config.runs)
        self.get_logger().info(f'loads {folder}, and writes goals into {self._runs}')
        self._prompter = self._make_prompter(folder)
        self._allowed = [below_home(name) for name in self._config.allowed_folders]
        self._queue: deque[Goal] = deque()
        self._passed_on = ''
        self._busy = False
        self._asked_at = self._ended_at = float('-inf')
        self._robot = RobotWatch()
        self._frames: list[Image] = []
        self._next_frame = 0

        self._goals = self.create_publisher(LatentGoal, 'goal', qos.LATCHED)
        self._images = self.create_publisher(Image, 'goal/image_raw', qos.SENSOR)
        self.create_subscription(
            GoalStatusArray, 'learn_task/_action/status', self._on_status, qos.LATCHED
        )
        self.create_subscription(PolicyAnnouncement, 'policy', self._robot.announced, qos.LATCHED)
        self.create_subscription(PolicyState, 'policy_state', self._robot.tells, qos.LATCHED)
        self.create_service(SetTask, 'set_task', self._on_set_task)
        self.every(WATCH_S, self._watch)
        self.every(self._prompter.step_s, self._show_frame)

    def activate(self) -> None:
        """Take tasks from now on."""
        self.get_logger().info('waits for a task on set_task')

    def deactivate(self) -> None:
        """Forget the tasks that wait."""
        self._queue.clear()

    def health(self) -> Status:
        """How many tasks wait."""
        return Status(Level.OK, 'waits for tasks', {'waiting tasks': len(self._queue)})

    @property
    def _trainer_busy(self) -> bool:
        return self._busy or time.monotonic() - self._asked_at < START_GRACE_S

    @property
    def _at_work(self) -> bool:
        """Whether a task is being learned or done, as far as there is a robot."""
        announces_yet = time.monotonic() - self._ended_at < END_GRACE_S
        does = self.count_publishers('policy_state') > 0 and self._robot.busy
        return self._trainer_busy or announces_yet or does

    def _on_status(self, message: GoalStatusArray) -> None:
        was_busy = self._busy
        self._busy = any(goal.status in _ACTIVE for goal in message.status_list)
        if self._busy:
            self._asked_at = float('-inf')
        elif was_busy:
            self._ended_at = time.monotonic()

    def _on_set_task(
        self, request: SetTask.Request, response: SetTask.Response
    ) -> SetTask.Response:
        try:
            if not self.active:
                raise PromptError(f'prompt_node is {self.state_name}; activate it first')
            return self._set_task(request, response)
        except (ValueError, OSError) as error:
            self.get_logger().warning(f'refuses a task: {str(error)[:300]}')
            return SetTask.Response(accepted=False, message=str(error))

    def _set_task(self, request: SetTask.Request, response: SetTask.Response) -> SetTask.Response:
        self._check_if_busy(request)
        self._check_room()
        if request.prompt and request.video_path:
            raise PromptError('give either a prompt or a video_path, and not both')
        if request.video_path:
            prompt, source = Path(request.video_path).name, 'video'
            grounded = self._ground_video(request.video_path)
        else:
            prompt, source = check_prompt(request.prompt), 'text'
            grounded = self._prompter.ground_text(prompt)
        task_id = new_task_id(prompt)
        video = within(FILES_S, 'writing the goal', lambda: self._write_goal(task_id, grounded))
        goal = Goal(
            task_id=task_id,
            prompt=prompt,
            source=source,
            embedding=grounded.embedding,
            mfwm_sha256=self._prompter.mfwm_sha256,
            from_here=request.from_here,
            learn=grounded.known and not request.preview_only,
        )
        what_next = self._pass_on(goal, request.if_busy)
        self._show(grounded)
        self._tidy(task_id)
        response.accepted = True
        response.message = '; '.join(filter(None, (what_next, grounded.warning)))
        response.task_id = task_id
        response.grounding_score = grounded.score
        response.nearest_concept = grounded.concept
        response.grounding_margin = grounded.margin
        response.goal_video = str(video)
        response.learn = goal.learn
        self.get_logger().info(
            f'"{prompt}" is "{grounded.concept}" (cosine {grounded.score:.2f}, the next is '
            f'{grounded.margin:.2f} behind); its goal is in {video}; {response.message}'
        )
        return response

    def _ground_video(self, path: str) -> GroundedGoal:
        video = within(
            FILES_S,
            f'reading {path}',
            lambda: read_allowed_video(path, self._allowed),
        )
        return self._prompter.ground_video(video)

    def _check_if_busy(self, request: SetTask.Request) -> None:
        if request.if_busy not in (SetTask.Request.REPLACE, SetTask.Request.QUEUE,
                                   SetTask.Request.REFUSE):  # fmt: skip
            raise PromptError('if_busy must be REPLACE (0), QUEUE (1) or REFUSE (2)')
        if request.preview_only:
            return
        if request.if_busy == SetTask.Request.REFUSE and self._trainer_busy:
            raise PromptError('another task is being learned, and if_busy is REFUSE')
        if request.if_busy == SetTask.Request.QUEUE and len(self._queue) >= self._config.queue:
            raise PromptError(
                f'{len(self._queue)} tasks wait already; no more may (parameter queue)'
            )

    def _pass_on(self, goal: Goal, if_busy: int) -> str:
        """Publish or queue a goal; what happens next, in words."""
        if not goal.learn:
            self._publish(goal)
            return 'a preview only: call learn_task to learn it'
        if if_busy == SetTask.Request.QUEUE and (self._at_work or self._queue):
            self._queue.append(goal)
            return f'waits for the task before it, as number {len(self._queue)}'
        was_busy = self._trainer_busy
        self._publish(goal)
        if self.count_subscribers('goal') == 0:
            return 'no trainer_node runs; its policy is made once there is one'
        return 'replaces what was being learned' if was_busy else 'its policy is made now'

    def _publish(self, goal: Goal) -> None:
        if goal.learn:
            self._asked_at = time.monotonic()
            self._passed_on = goal.task_id
        self._goals.publish(conversions.to_goal(goal, self.get_clock().now().to_msg()))

    def _watch(self) -> None:
        if self._queue and not self._at_work:
            goal = self._queue.popleft()
            self.get_logger().info(f'passes on "{goal.prompt}", which has waited')
            self._publish(goal)

    def _write_goal(self, task_id: str, grounded: GroundedGoal) -> Path:
        folder = self._runs / task_id
        video = folder / 'goal.mp4'
        fps = 1 / self._prompter.step_s
        write_video(video, grounded.frames, fps=fps, scale=VIDEO_SCALE)
        write_png(folder / 'goal.png', side_by_side(grounded.frames))
        return video

    def _check_room(self) -> None:
        within(
            FILES_S,
            f'looking at {self._runs}',
            lambda: check_room(self._runs, self._config.min_free_gib),
        )

    def _tidy(self, shown: str) -> None:
        """Remove the oldest goals, but for those that are shown, learned or waiting."""
        tasks = {shown, self._passed_on, *(goal.task_id for goal in self._queue)}
        config = self._config
        try:
            removed = within(
                FILES_S,
                'removing old goals',
                lambda: prune(
                    self._runs,
                    config.keep_goals,
                    config.keep_goals_gib,
                    lambda goal: goal.name in tasks,
                ),
            )
        except OSError as error:
            self.get_logger().warning(f'cannot remove an old goal: {error}')
            return
        if removed:
            self.get_logger().info(f'has removed the {len(removed)} oldest goals in {self._runs}')

    def _show(self, grounded: GroundedGoal) -> None:
        now = self.get_clock().now().to_msg()
        self._frames = [conversions.to_image(frame, now, 'goal') for frame in grounded.frames]
        self._next_frame = 0

    def _show_frame(self) -> None:
        if not self._frames:
            return
        image = self._frames[self._next_frame]
        image.header.stamp = self.get_clock().now().to_msg()
        self._images.publish(image)
        self._next_frame = (self._next_frame + 1) % len(self._frames)


def main() -> None:
    """Run the node."""
    run_main(PromptNode)


if __name__ == '__main__':
    main()
