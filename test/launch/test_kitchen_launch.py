"""The shipped launch file, for real, with a world model of random weights."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
LAUNCH = HERE / 'launch_kitchen.py'
TIMEOUT_S = 240.0


@pytest.fixture(scope='module')
def models(tmp_path_factory) -> Path:
    """A world model that knows nothing, connected to the shipped embedder."""
    import torch

    from genrl_ros.config.model import model_preset
    from genrl_ros.domains.kitchen import ROBOT
    from genrl_ros.training.behavior.export import write_model
    from genrl_ros.vlm import load_embedder
    from genrl_ros.world_model.mfwm import MFWM

    torch.manual_seed(0)
    embedder = load_embedder('embedded')
    root = tmp_path_factory.mktemp('models')
    model = MFWM(model_preset('small', ROBOT.action_dim, embedder.dim))
    write_model(root / 'kitchen', model, ROBOT, 'embedded', embedder.identity, {})
    return root


@pytest.fixture
def params_file(tmp_path) -> Path:
    """What differs from the shipped parameters: other folders, and little learning."""
    import yaml

    def of(**parameters: object) -> dict[str, object]:
        return {'ros__parameters': parameters}

    content = {
        '/**': of(policies=str(tmp_path / 'policies'), real_time_factor=0.5),
        '/**/prompt_node': of(runs=str(tmp_path / 'runs')),
        '/**/trainer_node': of(updates=10),
    }
    path = tmp_path / 'params.yaml'
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def log(tmp_path) -> Path:
    return tmp_path / 'launch.log'


@pytest.fixture
def launch(params_file, models, log) -> Iterator[subprocess.Popen]:
    """`ros2 launch genrl_ros kitchen.launch.py namespace:=left prompt:=...`."""
    with log.open('wb') as output:
        process = subprocess.Popen(
            [
                *(sys.executable, str(LAUNCH), f'params_file:={params_file}'),
                f'model:={models / "kitchen"}',
                *('namespace:=left', 'prompt:=open the microwave'),
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, 'ROS_LOG_DIR': str(log.parent / 'log')},
        )
    yield process
    for signum in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, signum)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)


def until(process: subprocess.Popen, log: Path, text: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while text not in log.read_text():
        assert process.poll() is None, f'the launch has ended:\n{log.read_text()}'
        assert time.monotonic() < deadline, f'waited for {text!r}:\n{log.read_text()}'
        time.sleep(0.05)


def test_from_a_prompt_on_the_command_line_to_a_driving_policy(launch, log) -> None:
    for text in (
        '[left.sim_node]: publishes camera/image_raw',
        '[left.encoder_node]: has its first good image',
        '[left.trainer_node]: learns "open the microwave" with 10 updates',
        '[left.trainer_node]: announces the policy',
        '[left.policy_node]: driving',
    ):
        until(launch, log, text)
    # A terminal sends Ctrl-C to everybody, and launch passes it on: nodes get it twice.
    os.killpg(launch.pid, signal.SIGINT)
    assert launch.wait(TIMEOUT_S) == 0
    said = log.read_text()
    assert said.count('process has finished cleanly') == 7, said
    assert 'Traceback' not in said


def test_arguments_are_declared_and_described() -> None:
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    from genrl_ros.system.share import share_path

    description = get_launch_description_from_python_launch_file(
        str(share_path('launch', 'kitchen.launch.py'))
    )
    arguments = {argument.name: argument for argument in description.get_launch_arguments()}
    assert set(arguments) == {
        *('domain', 'prompt', 'device', 'embodiment', 'model', 'params_file', 'namespace'),
        *('use_sim', 'use_rviz', 'autostart', 'real_time_factor'),
    }
    assert all(argument.description for argument in arguments.values())


@pytest.mark.parametrize(
    ('arguments', 'why'),
    [
        (['params_file:=/nonexistent.yaml'], 'params_file:=/nonexistent.yaml is not a file'),
        (['use_rviz:=true'], 'use_rviz:=true, but rviz2 is not installed'),
        (['embodiment:=nope'], "there is no embodiment 'nope'"),
    ],
)
def test_a_launch_that_cannot_be_ends_with_a_reason_and_leaves_nothing(
    arguments, why, tmp_path
) -> None:
    done = subprocess.run(
        [sys.executable, str(LAUNCH), *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        start_new_session=True,
        env={**os.environ, 'ROS_LOG_DIR': str(tmp_path / 'log')},
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert why in said
    assert said.count('process started with pid') == len(
        re.findall(r'process has (finish|died)', said)
    )
