"""Faults of what people and programs ask for, at a real prompt node and trainer."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from genrl_interfaces.srv import SetTask
from genrl_ros.cli.processes import NodeProcesses
from genrl_ros.deploy.graph import BRINGUP, NODES
from genrl_ros.system.share import share_path

T = 0.08
PROCESSES = ('prompt_node', 'trainer_node')


@pytest.fixture(scope='module')
def prompting(rig, tmp_path_factory) -> Iterator[Path]:
    """Prompt node with the shipped models, and a trainer that learns without an end."""
    folder = tmp_path_factory.mktemp('prompts')
    (folder / 'videos').mkdir()
    model = share_path('models', 'kitchen')
    parameters = folder / 'parameters.yaml'
    parameters.write_text(
        f'/**:\n  ros__parameters:\n    model: {model}\n    runs: {folder}/runs\n'
        f'    policies: {folder}/policies\n    allowed_folders: ["{folder}/videos"]\n'
        '    updates: 1000000\n'
    )
    nodes = [node for node in NODES if node.name in PROCESSES] + [BRINGUP]
    log = folder / 'log'
    with NodeProcesses(
        nodes, [parameters], {'bringup': {'nodes': list(PROCESSES)}}, {}, logs=log
    ) as processes:
        said = log / 'bringup.log'
        rig.until(lambda: processes.check() or 'everything is active' in said.read_text(),
                  'prompt node and trainer', 120.0)  # fmt: skip
        yield folder


def ask(rig, **request: object) -> tuple[SetTask.Response, float]:
    began = time.monotonic()
    answer = rig.call(SetTask, 'set_task', SetTask.Request(**request))
    return answer, time.monotonic() - began


@pytest.mark.row(15)
@pytest.mark.parametrize('prompt', ['', ' ', 'x' * 1_000_000, 'open\x01it', 'open \x1b[2J it'])
def fault_bad_prompt(rig, prompting, measured, prompt) -> None:
    log = prompting / 'log' / 'prompt_node.log'
    before = log.stat().st_size
    answer, seconds = ask(rig, prompt=prompt)
    assert not answer.accepted
    assert answer.message
    measured(f'{len(prompt)} characters: refused within {seconds * 1000:.0f} ms')
    assert log.stat().st_size - before <= 1024
    assert seconds < 1.0


@pytest.mark.row(16)
def fault_unknown_prompt(rig, prompting, measured) -> None:
    answer, _ = ask(rig, prompt='bake a chocolate cake')
    measured(f'"bake a chocolate cake": cosine {answer.grounding_score:.2f}, margin '
             f'{answer.grounding_margin:.2f}, "{answer.message}"')  # fmt: skip
    assert 'a preview only' in answer.message
    assert len(answer.message) > len('a preview only: call learn_task to learn it')


@pytest.mark.row(17)
def fault_bad_video(rig, prompting, measured) -> None:
    videos = prompting / 'videos'
    (videos / 'empty.mp4').write_bytes(b'')
    (videos / 'garbage.mp4').write_bytes(np.random.default_rng(0).bytes(100_000))
    os.symlink('/etc/passwd', videos / 'link.mp4')
    os.mkfifo(videos / 'fifo.mp4')
    for path in (
        'empty.mp4',
        'garbage.mp4',
        'fifo.mp4',
        'link.mp4',
        '../parameters.yaml',
        '/etc/passwd',
    ):
        answer, _ = ask(rig, video_path=str(videos / path))
        assert not answer.accepted, path
        assert answer.message
    measured('empty, garbage, a FIFO, a link or a path out of the folder: refused with the reason')


@pytest.mark.row(18)
def fault_flood_of_tasks(driving, prompting, measured) -> None:
    answer, _ = ask(driving, prompt='open the microwave')
    assert answer.accepted
    client = driving.robot.create_client(SetTask, 'set_task')
    driving.until(client.service_is_ready, 'set_task')
    request = SetTask.Request(prompt='turn on the light', if_busy=SetTask.Request.REFUSE)
    count, began = len(driving.robot.commands), time.monotonic()
    futures = []
    for number in range(2000):
        futures.append(client.call_async(request))
        due = began + number / 1000
        driving.until(lambda due=due: time.monotonic() >= due, 'the next')
    seconds = time.monotonic() - began
    commands = driving.robot.commands[count:]
    gaps = [b[0] - a[0] for a, b in itertools.pairwise(commands)]
    answered = [future.result() for future in futures if future.done()]
    driving.robot.destroy_client(client)
    assert answered
    assert not any(answer.accepted for answer in answered)
    measured(f'2,000 requests in {seconds:.1f} s: {len(answered)} answered so far, all refused; '
             f'p99 of the command period {np.percentile(gaps, 99) * 1000:.0f} ms, '
             f'longest {max(gaps) * 1000:.0f} ms')  # fmt: skip
    assert max(gaps) <= 2 * T + 0.1
