from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from action_msgs.msg import GoalStatus, GoalStatusArray
from sensor_msgs.msg import Image

from genrl_interfaces.msg import LatentGoal, PolicyAnnouncement, PolicyState
from genrl_interfaces.srv import SetTask
from genrl_ros.data.video import Video, read_video, write_video
from genrl_ros.nodes import prompt_node, prompter
from genrl_ros.nodes.bringup import Bringup
from genrl_ros.nodes.prompt_node import PromptNode
from genrl_ros.nodes.prompter import GroundedGoal
from genrl_ros.nodes.robot_watch import TAKE_OVER_S, RobotWatch
from genrl_ros.nodes.ros import qos
from genrl_ros.nodes.ros.conversions import from_goal

REPLACE, QUEUE, REFUSE = 0, 1, 2


class FakePrompter:
    """Grounds everything as opening the microwave."""

    mfwm_sha256 = 'a' * 64
    step_s = 0.04

    def __init__(self, folder: Path) -> None:
        self.seen: list[object] = []

    def ground_text(self, prompt: str) -> GroundedGoal:
        self.seen.append(prompt)
        return GroundedGoal(
            embedding=np.full(4, 0.5, np.float32),
            frames=np.full((3, 3, 64, 64), 90, np.uint8),
            score=0.75,
            concept='open the microwave',
            margin=0.5,
            warning='' if 'cake' not in prompt else 'this resembles nothing',
            known='cake' not in prompt,
        )

    def ground_video(self, video: Video) -> GroundedGoal:
        grounded = self.ground_text(f'{len(video.frames)} frames')
        return replace(grounded, warning=video.missing)


class User:
    def __init__(self, bench) -> None:
        self.bench = bench
        self.goals = bench.record(LatentGoal, 'goal', qos.LATCHED)
        self.trainer = bench.observer.create_publisher(
            GoalStatusArray, 'learn_task/_action/status', qos.LATCHED
        )
        bench.connected(self.trainer)

    def set_task(self, prompt: str = '', **request: object) -> SetTask.Response:
        return self.bench.call(SetTask, 'set_task', SetTask.Request(prompt=prompt, **request))

    def trainer_is(self, status: int) -> None:
        self.trainer.publish(GoalStatusArray(status_list=[GoalStatus(status=status)]))

    def task_ids(self) -> list[str]:
        return [goal.task_id for goal in self.goals]


@pytest.fixture
def node(bench, tmp_path) -> PromptNode:
    (tmp_path / 'model').mkdir()
    (tmp_path / 'videos').mkdir()
    return bench.start(
        PromptNode,
        FakePrompter,
        model=str(tmp_path / 'model'),
        runs=str(tmp_path / 'runs'),
        allowed_folders=[str(tmp_path / 'videos')],
        queue=2,
    )


@pytest.fixture
def user(bench, node) -> User:
    return User(bench)


@pytest.fixture
def video(tmp_path) -> Callable[..., Path]:
    def make(folder: str = 'videos', count: int = 5) -> Path:
        path = tmp_path / folder / 'clip.mp4'
        frames = np.random.default_rng(0).integers(0, 255, (count, 3, 64, 64), np.uint8)
        write_video(path, frames, fps=6.25)
        return path

    return make


def test_a_sentence_becomes_a_goal_that_can_be_seen(user, bench) -> None:
    images = bench.record(Image, 'goal/image_raw', qos.SENSOR)
    answer = user.set_task('  open the microwave ')
    assert answer.accepted
    assert (answer.nearest_concept, answer.grounding_score, answer.grounding_margin) == (
        'open the microwave',
        0.75,
        0.5,
    )
    bench.until(lambda: user.goals, 'the goal')
    goal = from_goal(user.goals[0])
    assert (goal.task_id, goal.prompt, goal.source, goal.learn) == (
        answer.task_id,
        'open the microwave',
        'text',
        True,
    )
    assert goal.mfwm_sha256 == 'a' * 64
    assert answer.learn
    decoded = read_video(Path(answer.goal_video))
    assert decoded.frames.shape == (3, 3, 64, 64)
    film = cv2.VideoCapture(answer.goal_video)
    assert film.get(cv2.CAP_PROP_FPS) == pytest.approx(25)  # an action lasts 0.04 s
    film.release()
    assert Path(answer.goal_video).with_name('goal.png').is_file()
    bench.until(lambda: len(images) > 3, 'the goal video, over and over')


def test_a_preview_is_not_to_be_learned(user, bench) -> None:
    answer = user.set_task('open it', preview_only=True)
    assert 'preview' in answer.message
    assert not answer.learn
    bench.until(lambda: user.goals, 'the goal')
    assert not user.goals[0].learn


def test_a_prompt_that_resembles_nothing_is_shown_and_not_learned(user, bench) -> None:
    answer = user.set_task('bake a cake')
    assert answer.accepted
    assert not answer.learn
    assert answer.message == (
        'a preview only: call learn_task to learn it; this resembles nothing'
    )
    bench.until(lambda: user.goals, 'the goal')
    assert not user.goals[-1].learn


def test_a_video_is_a_task_too(user, node, bench, video) -> None:
    answer = user.set_task(video_path=str(video()))
    assert answer.accepted, answer.message
    bench.until(lambda: user.goals, 'the goal')
    assert (user.goals[0].source, user.goals[0].prompt) == ('video', 'clip.mp4')
    assert node._prompter.seen == ['5 frames']


def test_what_is_missing_of_a_video_is_told(user, video) -> None:
    path = video(count=100)
    os.truncate(path, path.stat().st_size * 2 // 3)
    answer = user.set_task(video_path=str(path))
    assert answer.accepted, answer.message
    assert re.search(r'only \d+\.\d of the 16\.0 s of the video can be read', answer.message)


@pytest.mark.parametrize(
    ('request_fields', 'message'),
    [
        ({}, 'the prompt is empty'),
        ({'prompt': 'open', 'video_path': 'clip.mp4'}, 'either a prompt or a video_path'),
        ({'prompt': '   '}, 'prompt is empty'),
        ({'prompt': 'Stop!'}, 'no task, .* call command_gate/emergency_stop'),
        ({'prompt': 'please wait'}, 'no task, .* call command_gate/emergency_stop'),
        ({'prompt': 'x' * 1001}, 'has 1001 characters; at most 1000'),
        ({'prompt': 'open\nthe microwave'}, r'control character U\+000A'),
        ({'prompt': 'open\x1b[31m'}, r'control character U\+001B'),
        ({'prompt': 'open \u202eevaworcim'}, r'control character U\+202E'),
        ({'prompt': 'open', 'if_busy': 9}, 'if_busy must be'),
        ({'video_path': '/etc/passwd'}, 'outside the folders'),
        ({'video_path': 'VIDEOS/../../elsewhere.mp4'}, 'outside the folders'),
        ({'video_path': 'VIDEOS/nothing.mp4'}, 'cannot be read'),
        ({'video_path': 'VIDEOS/empty.mp4'}, 'is empty'),
        ({'video_path': 'VIDEOS/text.mp4'}, 'not a video'),
        ({'video_path': 'VIDEOS/link.mp4'}, 'outside the folders'),
        ({'video_path': 'VIDEOS/fifo.mp4'}, 'it is a FIFO, not a file'),
        ({'video_path': 'VIDEOS/socket.mp4'}, 'it is a socket, not a file'),
        ({'video_path': 'VIDEOS/device.mp4'}, 'outside the folders'),
        ({'video_path': 'VIDEOS'}, 'it is a folder, not a file'),
        ({'video_path': 'a\nb'}, 'not the name of a file'),
    ],
)
def test_bad_requests_are_refused_with_a_reason(
    user, bench, tmp_path, video, request_fields, message
) -> None:
    folder = tmp_path / 'videos'
    (folder / 'empty.mp4').touch()
    (folder / 'text.mp4').write_text('hello')
    (folder / 'link.mp4').symlink_to(video('elsewhere'))
    os.mkfifo(folder / 'fifo.mp4')
    (folder / 'device.mp4').symlink_to('/dev/zero')
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(folder / 'socket.mp4'))
    if 'video_path' in request_fields:
        request_fields = request_fields | {
            'video_path': request_fields['video_path'].replace('VIDEOS', str(folder))
        }
    answer = bench.call(SetTask, 'set_task', SetTask.Request(**request_fields))
    listening.close()
    assert not answer.accepted and answer.task_id == ''
    assert re.search(message, answer.message), answer.message
    good = user.set_task('open the microwave')
    bench.until(lambda: user.goals, 'the next good one')
    assert user.task_ids() == [good.task_id]


def test_a_name_that_leads_out_of_the_folders_once_it_was_checked_is_refused(
    user, tmp_path, video, monkeypatch
) -> None:
    secret, name = video('elsewhere'), video()
    checked = prompter.check_video_path

    def swap(path: str, allowed: Sequence[Path]) -> Path:
        resolved = checked(path, allowed)
        name.unlink()
        name.symlink_to(secret)
        return resolved

    monkeypatch.setattr(prompter, 'check_video_path', swap)
    answer = user.set_task(video_path=str(name))
    assert not answer.accepted
    assert f'{secret} is outside the folders' in answer.message


def test_a_video_that_is_read_for_too_long_is_refused_and_others_are_answered(
    user, tmp_path, video, monkeypatch
) -> None:
    never = tmp_path / 'ffmpeg'
    never.write_text('#!/bin/sh\nexec sleep 30\n')
    never.chmod(0o755)
    path = video()
    monkeypatch.setattr(prompt_node, 'FILES_S', 0.5)
    monkeypatch.setenv('IMAGEIO_FFMPEG_EXE', str(never))
    answer = user.set_task(video_path=str(path))
    assert not answer.accepted
    assert answer.message == f'reading {path} takes longer than 0.5 s'
    monkeypatch.undo()
    assert user.set_task('open the microwave').accepted


def test_while_the_trainer_is_busy_a_task_is_refused_queued_or_replaces(user, bench) -> None:
    user.trainer_is(GoalStatus.STATUS_EXECUTING)
    bench.until(lambda: not user.set_task('a', if_busy=REFUSE).accepted, 'a refusal')
    count = len(user.goals)
    queued = [user.set_task(name, if_busy=QUEUE) for name in ('b', 'c')]
    assert [answer.accepted for answer in queued] == [True, True]
    assert 'as number 2' in queued[1].message
    full = user.set_task('d', if_busy=QUEUE)
    assert not full.accepted and 'tasks wait already' in full.message
    replacing = user.set_task('e', if_busy=REPLACE)
    assert 'replaces' in replacing.message
    bench.until(lambda: len(user.goals) > count, 'the replacing goal')
    assert user.task_ids()[count:] == [replacing.task_id]
    user.trainer_is(GoalStatus.STATUS_EXECUTING)
    user.trainer_is(GoalStatus.STATUS_SUCCEEDED)
    bench.until(lambda: len(user.goals) > count + 1, 'the first one that waited')
    user.trainer_is(GoalStatus.STATUS_EXECUTING)
    user.trainer_is(GoalStatus.STATUS_ABORTED)
    bench.until(lambda: len(user.goals) > count + 2, 'the second one that waited')
    assert user.task_ids()[count + 1 :] == [answer.task_id for answer in queued]


def test_the_first_task_is_set_once_even_if_the_prompt_node_comes_back(bench, tmp_path) -> None:
    def start() -> PromptNode:
        folders = {'model': str(tmp_path), 'runs': str(tmp_path / 'runs')}
        return bench.make(PromptNode, FakePrompter, **folders)

    node = start()
    bringup = bench.make(Bringup, nodes=['prompt_node'], prompt='open the microwave')
    goals = bench.record(LatentGoal, 'goal', qos.LATCHED)
    bench.until(lambda: goals, 'the task to begin with')
    bench.call(SetTask, 'set_task', SetTask.Request(prompt='light the burner'))
    bench.until(lambda: len(goals) == 2, 'the task after it')
    bench.nodes.remove(node)
    bench.executor.remove_node(node)
    node.destroy_node()
    node = start()
    bench.until(lambda: node.active, 'the prompt node to be active again')
    (managed,) = bringup._nodes
    bench.until(lambda: managed.active and not managed.raising, 'the bring-up to see it')
    bench.call(SetTask, 'set_task', SetTask.Request(prompt='open the cabinet'))
    bench.until(lambda: len(goals) == 3, 'a task that somebody sets')
    assert [goal.prompt for goal in goals] == [
        *('open the microwave', 'light the burner', 'open the cabinet')
    ]


def user_of(bench, tmp_path, **parameters: object) -> User:
    (tmp_path / 'model').mkdir()
    bench.start(
        PromptNode,
        FakePrompter,
        model=str(tmp_path / 'model'),
        runs=str(tmp_path / 'runs'),
        **parameters,
    )
    return User(bench)


def test_only_the_newest_goals_are_kept_and_those_that_wait(bench, tmp_path) -> None:
    user = user_of(bench, tmp_path, keep_goals=3)
    learned = user.set_task('open the microwave')
    user.trainer_is(GoalStatus.STATUS_EXECUTING)
    bench.until(lambda: 'waits' in user.set_task('turn it', if_busy=QUEUE).message, 'a busy one')
    needed = {path.name for path in (tmp_path / 'runs').iterdir()}
    shown = [user.set_task(f'look at {n}', preview_only=True).task_id for n in range(5)][-1]
    kept = {path.name for path in (tmp_path / 'runs').iterdir()}
    assert learned.task_id in needed
    assert kept == needed | {shown}


def test_a_task_is_refused_where_the_disk_is_nearly_full(bench, tmp_path) -> None:
    user = user_of(bench, tmp_path, min_free_gib=1e9)
    answer = user.set_task('open the microwave')
    assert not answer.accepted
    assert f'GiB are free where {tmp_path / "runs"} is' in answer.message
    assert 'min_free_gib' in answer.message
    assert not (tmp_path / 'runs').exists()


def test_a_queued_task_waits_until_the_robot_has_done_the_one_before(
    user, bench, monkeypatch
) -> None:
    """One after the other: done, driving on, and one of which no policy comes."""
    looks: list[RobotWatch] = []
    busy = RobotWatch.busy.fget
    monkeypatch.setattr(
        RobotWatch, 'busy', property(lambda robot: looks.append(robot) or busy(robot))
    )
    policies = bench.observer.create_publisher(PolicyAnnouncement, 'policy', qos.LATCHED)
    states = bench.observer.create_publisher(PolicyState, 'policy_state', qos.LATCHED)
    for publisher in (policies, states):
        bench.connected(publisher)

    def learned(task_id: str) -> None:
        user.trainer_is(GoalStatus.STATUS_EXECUTING)
        policies.publish(PolicyAnnouncement(task_id=task_id))
        user.trainer_is(GoalStatus.STATUS_SUCCEEDED)

    def goes_on(after: int) -> None:
        bench.until(lambda: len(user.goals) == after + 1, f'task {after + 1}')

    asked = [user.set_task('task 0').task_id]
    learned(asked[0])
    states.publish(PolicyState(task_id=asked[0], state='homing'))
    for number in (1, 2):
        answer = user.set_task(f'task {number}', if_busy=QUEUE)
        assert answer.accepted and f'as number {number}' in answer.message
        asked.append(answer.task_id)
    for state in ('driving', 'holding', 'driving'):
        states.publish(PolicyState(task_id=asked[0], state=state))
        seen = len(looks)
        bench.until(lambda seen=seen: len(looks) > seen + 2, 'it to look at the robot')
        assert len(user.goals) == 1
    states.publish(PolicyState(task_id=asked[0], state='done'))
    goes_on(1)
    asked.append(user.set_task('task 3', if_busy=QUEUE).task_id)
    learned(asked[1])
    states.publish(PolicyState(task_id=asked[1], state='driving', reason='it keeps driving'))
    goes_on(2)
    user.trainer_is(GoalStatus.STATUS_EXECUTING)
    user.trainer_is(GoalStatus.STATUS_ABORTED)  # no policy comes of it
    goes_on(3)
    assert user.task_ids() == asked


def test_a_policy_that_never_takes_over_is_not_waited_for_for_ever() -> None:
    now = 100.0
    robot = RobotWatch(lambda: now)
    assert not robot.busy
    robot.announced(PolicyAnnouncement(task_id='new'))
    robot.tells(PolicyState(task_id='old', state='done'))
    assert robot.busy
    now += TAKE_OVER_S
    assert not robot.busy
    robot.tells(PolicyState(task_id='new', state='homing'))
    assert robot.busy
