"""`genrl train-all` moves a model forward in small pieces of time, until it is finished."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genrl_ros.world_model.checkpoint import load_mfwm, read_card

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    'frames': 2100, 'workers': 1, 'threads': 1, 'episodes': 1,
    'learning.updates': 2, 'learning.starts': 8,
    'world-model.updates': 12, 'world-model.batch': 4, 'dynamics.updates': 4,
    'connect.updates': 4, 'prior.updates': 4,
    'record.report-every': 2, 'record.picture-every': 6,
}  # fmt: skip


def train_all(folder: Path, *more: str) -> str:
    small = [f'--{name}={value}' for name, value in SMALL.items()]
    done = subprocess.run(
        [sys.executable, '-m', 'genrl_ros.cli.main', 'train-all', 'kitchen', *small, *more],
        cwd=folder, env=os.environ | {'PYTHONPATH': str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_pieces_of_time_add_up_to_a_model(tmp_path: Path) -> None:
    said = [train_all(tmp_path, '--budget-s', '40')]
    while 'Finished' not in said[-1]:
        assert 'All is saved; the same command goes on from there' in said[-1]
        assert len(said) < 40
        said.append(train_all(tmp_path, '--budget-s', '40'))
    assert len(said) > 1
    (out,) = (tmp_path / 'runs' / 'train-all' / 'kitchen').glob('training-*/export')
    names = {path.name for path in out.iterdir()}
    assert {'CARD.md', 'scores.json', 'encoder.onnx', 'goals.png', 'open_loop.png'} <= names
    _, first = load_mfwm(out)

    again = train_all(tmp_path)
    stages = ('collect', 'embed', 'pretrain', 'evaluate', 'export')
    assert [f'{stage}: done already' in again for stage in stages] == [True] * 5
    assert read_card(out)[1] == first

    longer = train_all(tmp_path, '--world-model.updates', '14')
    assert 'collect: done already' in longer and 'pretrain: begins' in longer
    assert read_card(out)[1].sha256 != first.sha256
    curve = out.with_name('world_model.csv').read_text()
    assert [row.split(',')[0] for row in curve.splitlines()[1:]] == [
        '2', '4', '6', '8', '10', '12', '14'
    ]  # fmt: skip
