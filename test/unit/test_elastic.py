"""torchrun starts a training again from its last checkpoint when a process was killed."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_training import TOLERANCE, Toy, make_store, rows

from genrl_ros.training.engine.state_file import load_state

HERE = Path(__file__).parent


def torchrun(restarts: int, toy: Toy, killed: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone']
    command += ['--nproc-per-node', '2', '--max-restarts', str(restarts)]
    command += [str(HERE / 'elastic_training.py'), str(toy.data), str(toy.run), str(killed)]
    path = os.pathsep.join([str(HERE), str(HERE.parents[1])])
    return subprocess.run(
        command, env=os.environ | {'PYTHONPATH': path}, capture_output=True, text=True
    )


@pytest.mark.full
@pytest.mark.timeout(900)
def test_a_killed_process_is_started_again_and_nothing_is_lost(tmp_path: Path) -> None:
    one = Toy(make_store(tmp_path / 'data'), tmp_path / 'one')
    one.train()
    two = replace(one, run=tmp_path / 'two')
    failed = torchrun(0, two, tmp_path / 'killed')
    assert failed.returncode != 0
    assert (tmp_path / 'killed').exists()
    assert load_state(two.checkpoint)['optimizer']['updates'] == 4

    (tmp_path / 'killed').unlink()
    again = replace(one, run=tmp_path / 'again')
    done = torchrun(2, again, tmp_path / 'killed')
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'killed').exists()
    np.testing.assert_allclose(rows(again.curve), rows(one.curve), **TOLERANCE)
