"""A robot's recorded runs are trained on where there is neither MuJoCo nor a way to render."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from genrl_ros.data.store.episode_file import Episode
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.deploy.robot import load_robot

ROOT = Path(__file__).resolve().parents[2]
SIMULATORS = ('mujoco', 'dm_control', 'gymnasium', 'gymnasium_robotics', 'OpenGL')
BLOCK = f"""
import sys
from collections.abc import Callable

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {SIMULATORS}:
            raise ModuleNotFoundError(f'No module named {{name!r}}')

sys.meta_path.insert(0, Missing())
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a program where no simulator can be imported."""
    (tmp_path / 'blocked').mkdir()
    (tmp_path / 'blocked' / 'sitecustomize.py').write_text(BLOCK)
    environment = {**os.environ, 'PYTHONPATH': f'{tmp_path / "blocked"}{os.pathsep}{ROOT}'}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    return run


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Recorded runs of a robot that has an embodiment file and no simulator."""
    spec, rng = load_robot('fr3_velocity').spec(), np.random.default_rng(0)
    store = EpisodeStore.create(tmp_path / 'recorded', spec, 'genrl ingest bags', 0)
    for name in ('one', 'two', 'three'):
        image = rng.integers(0, 255, (40, 3, 64, 64), dtype=np.uint8)
        action = rng.uniform(-1, 1, (40, spec.action_dim)).astype(np.float32)
        state = np.zeros((40, spec.action_dim), np.float32)
        store.append(name, Episode(image, action, state, 'recorded', name))
    return store.path


def test_the_block_works(run) -> None:
    done = run('-c', 'import mujoco')
    assert done.returncode == 1 and 'No module named' in done.stderr


def test_pretraining_and_connecting_need_no_simulator(run, dataset: Path) -> None:
    stages = ('connect', 'prior', 'nearness')
    short = [f'--{stage}.updates=1' for stage in stages]
    short += [f'--{stage}.batch=1' for stage in stages]
    short += ['--connect.length=8']
    first = [
        *('--world-model.updates=1', '--world-model.batch=1', '--world-model.length=8'),
        *('--dynamics.updates=1', '--dynamics.batch=1', '--dynamics.length=8'),
    ]
    words = ('-m', 'genrl_ros.cli.main')
    pretrained = run(
        *words, 'pretrain', 'fr3_velocity', '--data', str(dataset), '--run', 'run', *short, *first
    )
    assert pretrained.returncode == 0, pretrained.stderr
    connected = run(
        *words, 'connect', 'fr3_velocity', '--data', str(dataset), '--model', 'run/model',
        '--run', 'again', *short,
    )  # fmt: skip
    assert connected.returncode == 0, connected.stderr
    learned = run(
        *words, 'learn', 'fr3_velocity', '--model', 'again/model', '--prompt', 'push it',
        '--force', '--data', str(dataset), '--learning.updates', '1', '--learning.starts', '32',
    )  # fmt: skip
    assert learned.returncode == 0, learned.stderr
