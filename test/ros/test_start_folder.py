"""What lies in the folder that a process is started in is neither run nor taken for a model."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
import time
from pathlib import Path

import pytest
import setuptools

from genrl_ros.deploy.graph import NODES, command
from genrl_ros.nodes.ros.models import find
from genrl_ros.nodes.ros.params import ParameterError
from genrl_ros.nodes.trainer_node import WORKER
from genrl_ros.nodes.worker import LearnWorker
from genrl_ros.system.home import below_home
from genrl_ros.system.share import share_path
from genrl_ros.training.behavior.learn_worker import LearnRequest

ROOT = Path(__file__).parents[2]
STRAY = """
from pathlib import Path
Path(__file__).with_suffix('.ran').touch()
raise SystemExit(3)
"""
COMMAND_WITH_A_POOL = """
import os
from genrl_ros.cli import main
from genrl_ros.system.pool import WorkerPool

def load(name):
    with WorkerPool(1, 'a worker', dict) as pool:
        raise SystemExit(0 if pool.submit(os.getpid).result() else 1)

if __name__ == '__main__':
    main.load = load
    main.main(['learn', 'kitchen'])
"""


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to start in, with files that Python would take for modules that are needed."""
    folder = tmp_path / 'start'
    folder.mkdir()
    for module in ('numpy', 'pickle'):
        (folder / f'{module}.py').write_text(STRAY)
    monkeypatch.chdir(folder)
    return folder


def ended(words: list[str]) -> str:
    """What a process says that cannot start to work."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert list(Path.cwd().glob('*.ran')) == [], done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize('node', NODES, ids=lambda node: node.name)
def test_a_node_runs_no_file_of_the_folder(start: Path, node) -> None:
    assert 'missing.yaml' in ended(command(node, [start / 'missing.yaml']))


def test_the_worker_runs_no_file_of_the_folder(start: Path) -> None:
    request = LearnRequest(str(start / 'nowhere'), [1.0], 'task', 'do it', str(start), {})
    worker = LearnWorker(WORKER, request, print)
    deadline = time.monotonic() + 60
    while not worker.poll():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert 'there is no world model in' in str(worker.error)
    assert list(start.glob('*.ran')) == []


def test_the_launcher_of_a_wheel_runs_no_file_of_the_folder(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setuptools, 'setup', lambda **_: None)
    launcher = runpy.run_path(str(ROOT / 'setup.py'))['LAUNCHER']
    for place, text in (
        ('lib/genrl_ros/policy_node', launcher.format(node='policy_node')),
        ('bin/python', f'#!/bin/sh\nexec {sys.executable} "$@"\n'),
    ):
        file = tmp_path / 'prefix' / place
        file.parent.mkdir(parents=True)
        file.write_text(text)
        file.chmod(0o755)
    words = [str(tmp_path / 'prefix/lib/genrl_ros/policy_node'), '--ros-args', '--params-file']
    assert 'missing.yaml' in ended([*words, 'missing.yaml'])


def test_processes_of_a_command_run_no_file_of_the_folder(start: Path, tmp_path: Path) -> None:
    script = tmp_path / 'genrl'
    script.write_text(COMMAND_WITH_A_POOL)
    assert ended([sys.executable, str(script)]) == ''


def test_every_python_that_the_package_starts_is_told_so() -> None:
    starts = [
        (file, line)
        for file in (ROOT / 'genrl_ros').rglob('*.py')
        for line in file.read_text().splitlines()
        if re.search(r"sys\.executable, '-", line)
    ]
    assert len(starts) >= 3
    assert [(file, line) for file, line in starts if "'-P'" not in line] == []


def test_a_folder_does_not_take_the_place_of_a_shipped_model(start: Path) -> None:
    mine = start / 'models' / 'kitchen'
    mine.mkdir(parents=True)
    assert find('kitchen') == share_path('models', 'kitchen')
    assert find('./models/kitchen') == find(str(mine)) == mine
    (start / 'models' / 'mine').mkdir()
    with pytest.raises(ParameterError, match=r'A folder of your own begins with / or \./'):
        find('models/mine')
    with pytest.raises(ParameterError, match='there is no such folder'):
        find('./models/yours')


def test_relative_folders_are_below_one_place_wherever_a_node_starts(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv('GENRL_HOME', raising=False)
    monkeypatch.setenv('HOME', str(tmp_path / 'user'))
    assert below_home('runs') == tmp_path / 'user/.local/share/genrl/runs'
    assert below_home('~/videos') == tmp_path / 'user/videos'
    assert below_home('/srv/runs') == Path('/srv/runs')
    monkeypatch.setenv('GENRL_HOME', str(tmp_path / 'robot'))
    assert below_home('runs') == tmp_path / 'robot/runs'
    monkeypatch.setenv('GENRL_HOME', 'robot')
    with pytest.raises(ValueError, match="GENRL_HOME is 'robot'; it must be an absolute path"):
        below_home('runs')
