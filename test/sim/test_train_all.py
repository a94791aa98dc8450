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
    'connect.updates': 4, 'prior.updates': 4, 'nearness.updates': 4,
    'record.report-every': 2, 'record.picture-every': 6,
}  # fmt: skip


SMALLEST = SMALL | {
    'frames': 423, 'world-model.updates': 2, 'world-model.batch': 2, 'dynamics.updates': 1,
    'connect.updates': 1, 'prior.updates': 1, 'nearness.updates': 1,
    'learning.updates': 1, 'learning.starts': 4,
    'record.report-every': 1, 'record.picture-every': 0,
}  # fmt: skip
STAGES = ('collect', 'embed', 'pretrain', 'evaluate', 'export')
FILES = {'CARD.md', 'scores.json', 'mfwm.json', 'mfwm.safetensors', 'encoder.onnx', 'goals.png'}


def train_all(folder: Path, settings: dict[str, int], *more: str) -> str:
    small = [f'--{name}={value}' for name, value in settings.items()]
    done = subprocess.run(
        [sys.executable, '-m', 'genrl_ros.cli.main', 'train-all', 'kitchen', *small, *more],
        cwd=folder, env=os.environ | {'PYTHONPATH': str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_model_is_made_once(tmp_path: Path) -> None:
    said = train_all(tmp_path, SMALLEST)
    assert [stage for stage in STAGES if f'{stage}: begins' in said] == list(STAGES)
    (out,) = (tmp_path / 'runs' / 'train-all' / 'kitchen').glob('training-*/export')
    assert said.rstrip().endswith(f'Finished: {out.relative_to(tmp_path)}')
    assert {path.name for path in out.iterdir()} >= FILES
    _, card = load_mfwm(out)
    again = train_all(tmp_path, SMALLEST)
    assert [stage for stage in STAGES if f'{stage}: done already' in again] == list(STAGES)
    assert read_card(out)[1] == card


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_pieces_of_time_add_up_to_a_model(tmp_path: Path) -> None:
    said = [train_all(tmp_path, SMALL, '--budget-s', '40')]
    while 'Finished' not in said[-1]:
        assert 'All is saved; the same command goes on from there' in said[-1]
        assert len(said) < 40
        said.append(train_all(tmp_path, SMALL, '--budget-s', '40'))
    assert len(said) > 1
    (out,) = (tmp_path / 'runs' / 'train-all' / 'kitchen').glob('training-*/export')
    names = {path.name for path in out.iterdir()}
    assert names >= FILES | {'open_loop.png'}
    _, first = load_mfwm(out)

    again = train_all(tmp_path, SMALL)
    assert [stage for stage in STAGES if f'{stage}: done already' in again] == list(STAGES)
    assert read_card(out)[1] == first

    longer = train_all(tmp_path, SMALL, '--world-model.updates', '14')
    assert 'collect: done already' in longer and 'pretrain: begins' in longer
    assert read_card(out)[1].sha256 != first.sha256
    curve = out.with_name('world_model.csv').read_text()
    assert [row.split(',')[0] for row in curve.splitlines()[1:]] == [
        '2', '4', '6', '8', '10', '12', '14'
    ]  # fmt: skip
