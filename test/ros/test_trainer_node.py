from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.action import ActionClient
from rclpy.action.client import ClientGoalHandle
from std_srvs.srv import Trigger

from genrl_interfaces.action import LearnTask
from genrl_interfaces.msg import LatentGoal, PolicyAnnouncement, PolicyState
from genrl_ros.nodes.learning_job import Job
from genrl_ros.nodes.ros import qos
from genrl_ros.nodes.ros.conversions import Goal, to_goal
from genrl_ros.nodes.trainer_node import WAITING, TrainerNode
from genrl_ros.serving.policy.bundle import load_bundle

MODEL = b'weights of a world model'
FAKE_WORKER = Path(__file__).with_name('fake_worker.py')


class User:
    """Publishes goals, asks for learning, and listens."""

    def __init__(self, bench) -> None:
        self.bench = bench
        self.feedback: list[LearnTask.Feedback] = []
        self.announced = bench.record(PolicyAnnouncement, 'policy', qos.LATCHED)
        self._goals = bench.observer.create_publisher(LatentGoal, 'goal', qos.LATCHED)
        self._client = ActionClient(bench.observer, LearnTask, 'learn_task')
        bench.connected(self._goals)
        bench.until(self._client.server_is_ready, 'learn_task')

    def set_goal(
        self, task_id: str, learn: bool = False, changes: Mapping[str, object] | None = None
    ) -> None:
        goal = Goal(
            task_id=task_id,
            prompt=f'do {task_id}',
            source='text',
            embedding=np.ones(4, np.float32) / 2,
            mfwm_sha256=hashlib.sha256(MODEL).hexdigest(),
            learn=learn,
        )
        message = to_goal(goal, Time())
        for name, value in (changes or {}).items():
            setattr(message, name, value)
        self._goals.publish(message)

    def ask(self, task_id: str = '', updates: int = 0) -> ClientGoalHandle:
        """Ask for learning; the handle of the goal, accepted or not."""
        future = self._client.send_goal_async(
            LearnTask.Goal(task_id=task_id, updates=updates),
            feedback_callback=lambda message: self.feedback.append(message.feedback),
        )
        self.bench.until(future.done, 'an answer of learn_task')
        return future.result()

    def ask_until_accepted(self, task_id: str, updates: int = 0) -> ClientGoalHandle:
        handles = []
        self.bench.until(
            lambda: handles.append(self.ask(task_id, updates)) or handles[-1].accepted,
            f'{task_id} to be accepted',
        )
        return handles[-1]

    def result(self, handle) -> tuple[int, LearnTask.Result]:
        future = handle.get_result_async()
        self.bench.until(future.done, 'a result', timeout=60)  # a real worker imports torch
        return future.result().status, future.result().result


def put_model(folder: Path, content: bytes = MODEL) -> None:
    folder.mkdir(exist_ok=True)
    (folder / 'mfwm.safetensors').write_bytes(content)


@pytest.fixture
def start(bench, tmp_path, make_bundle) -> Callable[..., User]:
    def start(seconds: float, *arguments: str, **parameters: object) -> User:
        put_model(tmp_path / 'model')
        worker = [sys.executable, str(FAKE_WORKER), str(make_bundle().path), str(seconds)]
        bench.start(
            TrainerNode,
            [*worker, *arguments],
            model=str(tmp_path / 'model'),
            policies=str(tmp_path / 'policies'),
            **({'updates': 10} | parameters),
        )
        return User(bench)

    return start


def test_a_goal_that_asks_for_it_is_learned_and_announced(start, bench, tmp_path) -> None:
    user = start(0.5)
    user.set_goal('one', learn=True)
    bench.until(lambda: user.announced, 'a policy')
    announced = user.announced[0]
    assert (announced.task_id, announced.prompt, announced.final) == ('one', 'do one', True)
    assert announced.path == str(tmp_path / 'policies' / 'one')
    assert (announced.updates, announced.imagined_reward) == (10, 1.0)


@pytest.mark.parametrize(
    ('settings', 'updates'), [({'from_prior': False, 'updates': 7}, 7), ({}, 0)]
)
def test_without_a_number_it_learns_only_where_nothing_could_drive_before(
    start, bench, tmp_path, settings, updates
) -> None:
    put_model(tmp_path / 'model')
    card = {'training': {'learning': settings}}
    (tmp_path / 'model' / 'mfwm.json').write_text(json.dumps(card))
    user = start(0.1, updates=0)
    user.set_goal('one', learn=True)
    bench.until(lambda: user.announced, 'a policy')
    assert user.announced[0].updates == updates


def test_the_log_counts_updates_only_where_something_is_learned() -> None:
    goal = Goal('one', 'do one', 'text', np.ones(4, np.float32) / 2, '', learn=True)
    assert Job(goal, updates=0).line(0.0) == 'starting "do one"'
    assert Job(goal, updates=10).line(0.0) == 'starting "do one": update 0 of 10'


def test_the_action_gives_feedback_and_a_result(start) -> None:
    user = start(1.5)
    user.set_goal('one')
    handle = user.ask_until_accepted('one', updates=30)
    status, result = user.result(handle)
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert (result.success, result.updates) == (True, 30)
    assert [f.of for f in user.feedback] == [30] * len(user.feedback)
    assert len(user.feedback) >= 2
    assert user.feedback[0].update < user.feedback[-1].update


def test_a_task_can_be_learned_again(start, bench, tmp_path) -> None:
    user = start(0.2)
    user.set_goal('one')
    paths = [user.result(user.ask_until_accepted('one'))[1].policy_path for _ in range(3)]
    policies = tmp_path / 'policies'
    assert paths == [str(policies / where) for where in ('one', '2/one', '3/one')]
    bench.until(lambda: len(user.announced) == 3, 'all of them announced')


def test_whoever_asks_for_what_is_being_learned_joins(start) -> None:
    user = start(2.0)
    user.set_goal('one', learn=True)
    first, second = user.ask_until_accepted('one'), user.ask_until_accepted('one')
    assert user.result(first)[0] == user.result(second)[0] == GoalStatus.STATUS_SUCCEEDED
    assert len(user.announced) == 1


def test_cancelling_keeps_the_best_policy_so_far_and_sets_nothing_moving(start, bench) -> None:
    user = start(60.0)
    user.set_goal('one')
    handle = user.ask_until_accepted('one', updates=600)
    bench.until(lambda: user.feedback and user.feedback[-1].update > 2, 'some updates')
    handle.cancel_goal_async()
    status, result = user.result(handle)
    assert status == GoalStatus.STATUS_CANCELED
    assert not result.success
    assert result.message == 'cancelled; the best policy so far is kept, but does not drive'
    assert 0 < result.updates < 600
    assert load_bundle(Path(result.policy_path)).description.task_id == 'one'
    user.set_goal('two', learn=True)
    bench.until(lambda: user.announced, 'the next policy', timeout=90)
    assert [announced.task_id for announced in user.announced] == ['two']


def test_who_watches_does_not_own_the_task(start, bench) -> None:
    """Ctrl-C of whoever watches what set_task began leaves it alone."""
    user = start(4.0)
    user.set_goal('one', learn=True)
    watcher = user.ask_until_accepted('one')
    bench.until(lambda: user.feedback and user.feedback[-1].update, 'some updates')
    watcher.cancel_goal_async()
    status, result = user.result(watcher)
    assert (status, result.message) == (
        GoalStatus.STATUS_CANCELED, 'no longer watched; learning goes on'
    )  # fmt: skip
    bench.until(lambda: user.announced, 'the policy')
    assert user.announced[0].task_id == 'one' and user.announced[0].final


def test_a_preview_replaces_neither_what_is_learned_nor_what_is_watched(start, bench) -> None:
    user = start(4.0)
    user.set_goal('one', learn=True)
    bench.until(lambda: user.ask('one').accepted, 'one to be learned')
    user.set_goal('preview')
    watched = user.ask_until_accepted('')
    status, result = user.result(watched)
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert result.message == 'learned "do one"'
    assert [announced.task_id for announced in user.announced] == ['one']
    later = user.ask_until_accepted('')  # nothing is being learned: the last goal it is
    assert user.result(later)[1].message == 'learned "do preview"'


def test_learning_can_be_stopped_whoever_began_it(start, bench) -> None:
    user = start(60.0)
    stop = Trigger.Request()
    assert bench.call(Trigger, 'stop_learning', stop).message == 'nothing is being learned'
    user.set_goal('one', learn=True)
    watcher = user.ask_until_accepted('one')
    answer = bench.call(Trigger, 'stop_learning', stop)
    assert (answer.success, answer.message) == (True, 'stops learning "do one"')
    status, result = user.result(watcher)
    assert status == GoalStatus.STATUS_ABORTED
    assert result.message == 'stopped by stop_learning; there is no policy yet'
    assert user.announced == []


def test_feedback_begins_at_once_and_does_not_repeat_itself(start, bench) -> None:
    user = start(2.0)
    user.set_goal('one')
    user.result(user.ask_until_accepted('one', updates=4))
    seen = [(each.stage, each.update) for each in user.feedback]
    assert seen[0] == ('starting', 0)
    assert len(seen) == len(set(seen)) <= 6


def test_a_new_goal_replaces_the_one_that_is_being_learned(start, bench) -> None:
    user = start(2.0)
    user.set_goal('one')
    handle = user.ask_until_accepted('one', updates=1_000_000)
    bench.until(lambda: user.feedback, 'some updates')
    user.set_goal('two', learn=True)
    status, result = user.result(handle)
    assert status == GoalStatus.STATUS_ABORTED
    assert result.message.startswith('replaced by "do two"')
    bench.until(lambda: user.announced, 'the second policy')
    assert [announced.task_id for announced in user.announced] == ['two']


def test_a_worker_that_crashes_is_reported_and_the_next_one_learns(start, bench) -> None:
    user = start(0.5, 'crash')
    user.set_goal('one')
    status, result = user.result(user.ask_until_accepted('one'))
    assert status == GoalStatus.STATUS_ABORTED
    assert result.message == ('learning failed: the worker ended with status 3: the sky falls')
    assert user.result(user.ask_until_accepted('one'))[0] == GoalStatus.STATUS_ABORTED
    assert user.announced == []


def test_no_parameter_names_a_program(start, tmp_path) -> None:
    """A parameter file is data: whoever writes one runs nothing of their own."""
    canary = tmp_path / 'canary'
    user = start(0.2, worker_command=['touch', str(canary)])
    user.set_goal('one')
    assert user.result(user.ask_until_accepted('one'))[0] == GoalStatus.STATUS_SUCCEEDED
    assert not canary.exists()


def test_a_worker_that_cannot_be_started_is_reported(bench, tmp_path) -> None:
    put_model(tmp_path / 'model')
    bench.start(TrainerNode, ['/nothing/here'], model=str(tmp_path / 'model'))
    user = User(bench)
    user.set_goal('one')
    status, result = user.result(user.ask_until_accepted('one'))
    assert status == GoalStatus.STATUS_ABORTED
    assert 'cannot learn' in result.message


def test_a_gpu_that_is_not_there_is_reported_and_the_node_lives(
    bench, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    put_model(tmp_path / 'model')
    bench.start(TrainerNode, model=str(tmp_path / 'model'), policies=str(tmp_path), device='cuda')
    user = User(bench)
    user.set_goal('one')
    for _ in range(2):
        status, result = user.result(user.ask_until_accepted('one'))
        assert status == GoalStatus.STATUS_ABORTED
        assert 'device cuda' in result.message and 'sees no GPU here' in result.message


def test_what_was_not_set_as_a_goal_is_not_learned(start) -> None:
    user = start(0.2)
    assert not user.ask('').accepted
    user.set_goal('one')
    user.ask_until_accepted('one')
    assert not user.ask('another').accepted


@pytest.mark.parametrize(
    'changes',
    [{'task_id': '../../etc'}, {'task_id': ''}, {'embedding': []}, {'embedding': [float('nan')]}],
)
def test_a_senseless_goal_is_refused_and_the_node_lives(start, bench, changes) -> None:
    user = start(0.2)
    user.set_goal('bad', True, changes)
    user.set_goal('good', learn=True)
    bench.until(lambda: user.announced, 'the good one')
    assert [announced.task_id for announced in user.announced] == ['good']


FOREIGN = {'mfwm_sha256': 'abcdef' + 58 * '0'}


def test_a_goal_of_another_world_model_is_refused_with_a_message_that_names_both(
    start, bench, tmp_path
) -> None:
    user = start(0.2)
    errors: list[str] = []
    bench.observer.create_subscription(
        DiagnosticArray,
        '/diagnostics',
        lambda message: errors.extend(
            status.message for status in message.status if status.level == DiagnosticStatus.ERROR
        ),
        qos.DIAGNOSTICS,
    )
    user.set_goal('good')
    user.result(user.ask_until_accepted('good'))
    user.set_goal('foreign', True, FOREIGN)
    bench.until(lambda: errors, 'an error in its health')
    assert errors[0] == (
        "refuses a message on goal: it was grounded with the world model 'abcdef000000', but "
        f'{tmp_path}/model holds {hashlib.sha256(MODEL).hexdigest()[:12]!r}: start prompt_node '
        'and trainer_node with the same model'
    )
    assert not user.ask().accepted, 'the goal before it is not learned in its place'
    user.set_goal('next', learn=True)
    bench.until(lambda: len(user.announced) == 2, 'the next one')
    assert [announced.task_id for announced in user.announced] == ['good', 'next']


def test_a_goal_of_another_world_model_leaves_what_is_being_learned(start, bench) -> None:
    user = start(2.0)
    user.set_goal('one')
    handle = user.ask_until_accepted('one')
    user.set_goal('foreign', True, FOREIGN)
    assert not user.ask('foreign').accepted
    joining = user.ask('one')
    assert user.result(handle)[0] == user.result(joining)[0] == GoalStatus.STATUS_SUCCEEDED


def test_a_world_model_that_is_replaced_meanwhile_is_not_learned_in(start, tmp_path) -> None:
    user = start(0.2)
    user.set_goal('one')
    user.result(user.ask_until_accepted('one'))
    put_model(tmp_path / 'model', b'other weights')
    status, result = user.result(user.ask('one'))
    assert status == GoalStatus.STATUS_ABORTED
    assert 'cannot learn: it was grounded with the world model' in result.message
    (tmp_path / 'model' / 'mfwm.safetensors').unlink()
    status, result = user.result(user.ask('one'))
    assert 'cannot learn: [Errno 2] No such file' in result.message


def test_the_worker_ends_with_the_node(start, bench, tmp_path) -> None:
    user = start(60.0)
    user.set_goal('one')
    user.ask_until_accepted('one')
    bench.until(lambda: user.feedback, 'some updates')
    trainer = bench.nodes.pop()
    process = trainer._job.worker._process
    assert process.poll() is None
    trainer.destroy_node()
    assert process.poll() is not None


def timed(number: int) -> str:
    """What prompt_node would call a task."""
    return f'20261122-120000-{number:03d}-do-it'


def test_only_the_newest_policies_are_kept_and_the_one_that_drives(start, bench, tmp_path) -> None:
    user = start(0.0, keep_policies=2)
    state = bench.observer.create_publisher(PolicyState, 'policy_state', qos.LATCHED)
    mine = tmp_path / 'policies' / 'mine'
    mine.mkdir(parents=True)
    for number in range(1, 6):
        user.set_goal(timed(number), learn=True)
        bench.until(lambda n=number: len(user.announced) == n, f'policy {number}')
        if number == 1:
            bench.connected(state)
            state.publish(PolicyState(task_id=timed(1), state='driving'))
    kept = {path.name for path in (tmp_path / 'policies').iterdir() if path.is_dir()}
    assert kept == {'mine', 'bundle-0', timed(1), timed(4), timed(5)}


def test_nothing_is_learned_where_the_disk_is_nearly_full(start, tmp_path) -> None:
    user = start(0.0, min_free_gib=1e9)
    user.set_goal('one')
    status, result = user.result(user.ask_until_accepted('one'))
    assert status == GoalStatus.STATUS_ABORTED
    assert f'GiB are free where {tmp_path / "policies"} is' in result.message


def test_only_so_many_goals_wait_for_a_task_and_the_next_one_is_learned_all_the_same(
    start, bench
) -> None:
    user = start(60.0)
    user.set_goal('one')
    user.ask_until_accepted('one')
    handles = [user.ask('one') for _ in range(WAITING)]
    assert [handle.accepted for handle in handles] == [True] * (WAITING - 1) + [False]
    user.set_goal('two')
    second = user.ask_until_accepted('two')
    status, result = user.result(handles[0])
    assert status == GoalStatus.STATUS_ABORTED
    assert 'replaced by "do two"' in result.message
    assert second.accepted
