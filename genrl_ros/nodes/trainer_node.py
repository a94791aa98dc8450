"""Learns the behaviour for a latent goal, in a process of its own, as an action."""

from __future__ import annotations

import itertools
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args
from uuid import uuid4

from rclpy.action import ActionClient, ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from unique_identifier_msgs.msg import UUID

from genrl_interfaces.action import LearnTask
from genrl_interfaces.msg import LatentGoal, PolicyAnnouncement, PolicyState
from genrl_ros.config.training import Device
from genrl_ros.nodes.learning_job import Job, conclude
from genrl_ros.nodes.ros import conversions, qos
from genrl_ros.nodes.ros.conversions import Goal
from genrl_ros.nodes.ros.diagnostics import Level, Status
from genrl_ros.nodes.ros.lifecycle import ManagedNode
from genrl_ros.nodes.ros.models import difference, find, identity
from genrl_ros.nodes.ros.params import ParameterError, declare, parameter
from genrl_ros.nodes.ros.run import main as run_main
from genrl_ros.nodes.task_files import prune
from genrl_ros.nodes.worker import LearnWorker
from genrl_ros.serving.policy.bundle import BundleError, load_bundle
from genrl_ros.system.home import below_home
from genrl_ros.system.room import check_room
from genrl_ros.training.behavior.learn_worker import LearnRequest
from genrl_ros.training.behavior.settings_of import settings_of

FEEDBACK_S = 0.5
WAITING = 32
"""How many goals may wait for one task."""
WORKER = (sys.executable, '-P', '-m', 'genrl_ros.training.behavior.learn_worker')
"""The program that learns: reads a request and answers in JSON lines."""
_TASK_ID = re.compile(r'[a-z0-9][a-z0-9-]{0,99}')


@dataclass(frozen=True)
class TrainerParameters:
    """Parameters of the trainer."""

    model: str = parameter(
        'kitchen', 'the world model: the name of a shipped one, or a path with / or ./'
    )
    policies: str = parameter(
        'runs/policies', 'folder that policy bundles are written into; relative: below GENRL_HOME'
    )
    updates: int = parameter(
        200,
        'actor-critic updates, unless a request says otherwise; 0 drives with what learning '
        'starts from, or learns as long as the model asks for where that is nothing',
        low=0,
    )
    threads: int = parameter(
        0, 'CPU threads of the worker; 0: as many as the model asks for', low=0
    )
    precision: str = parameter(
        'auto', 'precision of matrix products: float32, bf16, or auto: bf16 if fast'
    )
    seed: int = parameter(0, 'seed of learning', low=0)
    keep_policies: int = parameter(50, 'how many policies are kept; older ones go', low=1)
    keep_policies_gib: float = parameter(4.0, 'GiB that they may have together', low=0.0)
    min_free_gib: float = parameter(
        0.5, 'GiB that stay free on the disk: with less, nothing is learned', low=0.0
    )
    device: str = parameter('cpu', 'what the worker computes on: cpu or cuda')


class TrainerNode(ManagedNode):
    """Serves `learn_task`: one task at a time; a new one replaces the one that is being learned.

    A goal message that asks for learning becomes a `learn_task` of the node's own, so that there
    is one way to learn and everybody can watch it. Goals for the task that is being learned
    already join it. No executor thread ever waits.
    """

    _server: ActionServer | None = None
    _client: ActionClient | None = None

    def __init__(self, worker: Sequence[str] = WORKER, **options: object) -> None:
        """Make the node.

        Args:
            worker: the program that learns, and its arguments. No parameter: a parameter file that
                could name a program would be one.
            options: of the node.
        """
        super().__init__('trainer_node', **options)
        self._worker = tuple(worker)
        self._config = declare(self, TrainerParameters)
        if self._config.device not in get_args(Device):
            raise ParameterError(
                f'parameter device is {self._config.device!r}; it must be cpu or cuda'
            )

    def configure(self) -> None:
        """Find the model, and offer the action."""
        self._model = find(self._config.model)
        self._policies = below_home(self._config.policies)
        self._goal: Goal | None = None
        self._refused = ''
        self._job: Job | None = None
        self._next: Job | None = None
        self._to_ask: str | None = None
        self._announced: Path | None = None
        self._driving = ''

        self._announcements = self.create_publisher(PolicyAnnouncement, 'policy', qos.LATCHED)
        self.create_subscription(LatentGoal, 'goal', self._on_latent_goal, qos.LATCHED)
        self.create_subscription(PolicyState, 'policy_state', self._on_policy_state, qos.LATCHED)
        self._server = ActionServer(
            self,
            LearnTask,
            'learn_task',
            execute_callback=_never_executed,
            goal_callback=self._on_request,
            handle_accepted_callback=self._on_accepted,
            cancel_callback=self._on_cancel,
        )
        self._client = ActionClient(self, LearnTask, 'learn_task')
        self.create_service(Trigger, 'stop_learning', self._on_stop)
        self._ours, self._leaving = b'', list[ServerGoalHandle]()
        self.every(FEEDBACK_S, self._watch)

    def activate(self) -> None:
        """Learn from now on."""
        self.get_logger().info(
            f'uses {self._model}, writes policies into {self._policies}, and waits for a goal on '
            'goal, or for a learn_task'
        )

    def deactivate(self) -> None:
        """End the worker, and tell everybody who waits."""
        for job in (self._job, self._next):
            if job is not None:
                if job.worker is not None:
                    job.worker.kill()
                job.stopped_because = 'trainer_node was deactivated'
                self._end(job, job.stopped_because)
        self._job = self._next = None

    def cleanup(self) -> None:
        """Withdraw the action."""
        if self._server is not None:
            self._server.destroy()
        if self._client is not None:
            self._client.destroy()
        self._server = self._client = None

    def health(self) -> Status:
        """What is being learned."""
        if self._job is None:
            if self._refused:
                return Status(Level.ERROR, self._refused)
            return Status(Level.OK, 'waits for a task')
        progress = self._job.worker.progress if self._job.worker is not None else {}
        return Status(Level.OK, f'learns "{self._job.goal.prompt}"', progress)

    def _on_latent_goal(self, message: LatentGoal) -> None:
        try:
            goal = conversions.from_goal(message)
            if not _TASK_ID.fullmatch(goal.task_id):
                raise conversions.MessageError(
                    'its task_id must be of lower-case letters, digits and dashes'
                )
            self._check_model(goal)
        except (conversions.MessageError, OSError) as error:
            self._refused = f'refuses a message on goal: {error}'
            self._goal = self._to_ask = None
            self.get_logger().error(self._refused)
            self.tell()
            return
        self._goal, self._refused = goal, ''
        self._to_ask = goal.task_id if goal.learn else None
        self._ask()

    def _check_model(self, goal: Goal) -> None:
        """Check that a goal is of the world model that is in the folder now.

        Raises:
            MessageError: naming both, if it is of another.
            OSError: if there is none.
        """
        ours = identity(self._model)
        if why := difference(self.get_name(), self._model, ours, goal.mfwm_sha256):
            raise conversions.MessageError(why)

    def _on_policy_state(self, message: PolicyState) -> None:
        self._driving = message.task_id

    def _ask(self) -> None:
        assert self._client is not None
        if self._to_ask is not None and self._client.server_is_ready():
            own = uuid4().bytes
            self._client.send_goal_async(
                LearnTask.Goal(task_id=self._to_ask), goal_uuid=UUID(uuid=list(own))
            )
            self._ours, self._to_ask = own, None

    def _on_request(self, request: LearnTask.Goal) -> GoalResponse:
        if not self.active:
            return GoalResponse.REJECT
        joined = self._joined(request)
        if joined is not None and len(joined.waiting) >= WAITING:
            self.get_logger().warning(
                f'refuses one more goal of learn_task: {WAITING} wait for the same task already',
                throttle_duration_sec=10.0,
            )
            return GoalResponse.REJECT
        if joined is not None:
            return GoalResponse.ACCEPT
        current = self._goal.task_id if self._goal is not None else None
        if current is not None and request.task_id in ('', current):
            return GoalResponse.ACCEPT
        why = self._refused or f'the goal that was set last is {current!r}; call set_task first'
        self.get_logger().warning(f'refuses to learn {request.task_id[:100]!r}: {why}')
        return GoalResponse.REJECT

    def _joined(self, request: LearnTask.Goal) -> Job | None:
        """The job that a request joins: of its task, or of any, if it names none."""
        for job in (self._next, self._job):
            named = job is not None and request.task_id in ('', job.goal.task_id)
            if job is not None and named and not job.stopped_because:
                return job
        return None

    def _on_accepted(self, handle: ServerGoalHandle) -> None:
        goal, joined = self._goal, self._joined(handle.request)
        if joined is not None:
            joined.waiting.append(handle)
            return
        assert goal is not None
        if self._next is not None:
            self._next.stopped_because = 'replaced by another task before it began'
            self._end(self._next, self._next.stopped_because)
        owner = None if bytes(handle.goal_id.uuid) == self._ours else handle
        updates = handle.request.updates or self._config.updates or self._least()
        self._next = Job(goal, updates, owner, [handle])
        if self._job is not None:
            self._stop(self._job, f'replaced by "{goal.prompt}"')
        self._start_next()

    def _least(self) -> int:
        """Updates before a policy can drive at all: none if learning starts from one that can."""
        try:
            how = settings_of(self._model)
        except ValueError:  # the worker will say what is wrong with the model
            return 0
        return 0 if how.from_prior else how.updates

    def _on_cancel(self, handle: ServerGoalHandle) -> CancelResponse:
        """Whoever began to learn a task stops it; a watcher only leaves."""
        for job in (self._job, self._next):
            if job is not None and handle in job.waiting:
                if job.owner is handle:
                    self._stop(job, 'cancelled')
                else:
                    job.waiting.remove(handle)
                    self._leaving.append(handle)
        return CancelResponse.ACCEPT

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        jobs = [job for job in (self._job, self._next) if job and not job.stopped_because]
        for job in jobs:
            self._stop(job, 'stopped by stop_learning')
        prompts = ', '.join(f'"{job.goal.prompt}"' for job in jobs)
        response.success = bool(jobs)
        response.message = f'stops learning {prompts}' if jobs else 'nothing is being learned'
        return response

    def _stop(self, job: Job, because: str) -> None:
        if job.stopped_because:
            return
        job.stopped_because = because
        if job.worker is not None:
            job.worker.stop()
        self.get_logger().info(f'stops learning "{job.goal.prompt}": {because}')

    def _start_next(self) -> None:
        if self._job is not None or self._next is None:
            return
        self._job, self._next = self._next, None
        goal = self._job.goal
        if self._job.stopped_because:
            self._end(self._job, self._job.stopped_because)
            self._job = None
            return
        self.get_logger().info(
            f'learns "{goal.prompt}" with {self._job.updates} updates'
            if self._job.updates
            else f'exports the policy that learning "{goal.prompt}" starts from'
        )
        self._tidy()
        try:
            self._check_model(goal)
            check_room(self._policies, self._config.min_free_gib)
            folder = self._free_folder(goal.task_id)
            folder.mkdir(parents=True, exist_ok=True)
            self._job.worker = LearnWorker(
                self._worker,
                LearnRequest(
                    model=str(self._model),
                    embedding=goal.embedding.tolist(),
                    task_id=goal.task_id,
                    prompt=goal.prompt,
                    policies=str(folder),
                    config={
                        'updates': self._job.updates,
                        'precision': self._config.precision,
                        'seed': self._config.seed,
                        **({'threads': threads} if (threads := self._config.threads) else {}),
                    },
                    device=self._config.device,
                ),
                log=self.get_logger().info,
            )
            self._give_feedback(self._job)
        except (conversions.MessageError, OSError) as error:
            self._end(self._job, f'cannot learn: {error}')
            self._job = None

    def _tidy(self) -> None:
        """Remove the oldest policies, to make room for one, but for those that drive or will."""
        config, announced = self._config, self._announced
        try:
            removed = prune(
                self._policies,
                config.keep_policies - 1,
                config.keep_policies_gib,
                lambda policy: policy == announced or policy.name == self._driving,
            )
        except OSError as error:
            self.get_logger().warning(f'cannot remove an old policy: {error}')
            return
        if removed:
            self.get_logger().info(
                f'has removed the {len(removed)} oldest policies in {self._policies}'
            )

    def _free_folder(self, task_id: str) -> Path:
        """Where a task's bundle goes: below a number if the task was learned before."""
        for number in itertools.count(1):
            folder = self._policies if number == 1 else self._policies / str(number)
            if not (folder / task_id).exists():
                break
        return folder

    def _watch(self) -> None:
        self._ask()
        for handle in self._leaving:
            conclude(handle, LearnTask.Result(message='no longer watched; learning goes on'))
        self._leaving.clear()
        job = self._job
        if job is not None and job.worker is not None:
            ended = job.worker.poll()
            self._give_feedback(job)
            if ended:
                self._conclude(job)
                self._job = None
        self._start_next()

    def _give_feedback(self, job: Job) -> None:
        """Tell what is new of a job, and now and then in the log."""
        job.give_feedback()
        if line := job.line(time.monotonic()):
            self.get_logger().info(line)

    def _conclude(self, job: Job) -> None:
        assert job.worker is not None
        if job.worker.result is None:
            stopped = job.stopped_because and f'{job.stopped_because}; there is no policy yet'
            self._end(job, stopped or f'learning failed: {job.worker.error}')
            return
        learned = job.worker.result
        try:
            bundle = load_bundle(Path(learned['path']))
        except BundleError as error:
            self._end(job, f'learning gave an unusable policy: {error}')
            return
        stopped = job.stopped_because and (
            f'{job.stopped_because}; the best policy so far is kept, but does not drive'
        )
        prompt = f'"{job.goal.prompt}"'
        done = (
            f'learned {prompt}'
            if learned['updates']
            else f'exported the policy that learning {prompt} starts from'
        )
        result = LearnTask.Result(
            success=not stopped,
            message=stopped or done,
            policy_path=str(bundle.path),
            updates=int(learned['updates']),
            imagined_reward=float(learned['imagined_reward']),
        )
        if not stopped:  # a robot that stands still is not set moving by what was called off
            self._announced = bundle.path
            self._announcements.publish(
                PolicyAnnouncement(
                    header=Header(stamp=self.get_clock().now().to_msg()),
                    task_id=job.goal.task_id,
                    prompt=job.goal.prompt,
                    path=str(bundle.path),
                    policy_sha256=bundle.sha256,
                    final=True,
                    from_here=job.goal.from_here,
                    updates=result.updates,
                    imagined_reward=result.imagined_reward,
                )
            )
            self.get_logger().info(
                f'announces the policy for "{job.goal.prompt}" on policy, after '
                f'{result.updates} updates'
            )
        job.tell(result)

    def _end(self, job: Job, message: str) -> None:
        """A job ends without a policy."""
        log = self.get_logger().info if job.stopped_because else self.get_logger().error
        log(f'"{job.goal.prompt}": {message}')
        job.tell(LearnTask.Result(success=False, message=message))


def _never_executed(_: ServerGoalHandle) -> LearnTask.Result:
    raise AssertionError('every goal gets its own callback when its job ends')


def main() -> None:
    """Run the node."""
    run_main(TrainerNode)


if __name__ == '__main__':
    main()
