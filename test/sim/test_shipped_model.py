"""The shipped model does its tasks; a few episodes tell a broken one from it.

The row `start` is of the policy that imagination starts from, which takes seconds.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genrl_ros.cli.commands.eval import Config, main
from genrl_ros.system.share import shipped_model
from genrl_ros.training.behavior.export import write_model
from genrl_ros.world_model.checkpoint import load_mfwm


def success_rates(folder: Path, model: Path, tasks: tuple[str, ...] = ()) -> dict[str, float]:
    """By `genrl eval`, in four episodes each; of all tasks unless some are given."""
    report = folder / 'report.json'
    config = Config(
        domain='kitchen', tasks=tasks, episodes=4, model=model, out=folder / 'bundles',
        json=report, workers=2, rows=('start',),
    )  # fmt: skip
    assert main(config) == 0
    measured = json.loads(report.read_text())['rows']['start']['tasks']
    return {task: row['score'] for task, row in measured.items()}


@pytest.fixture
def spoiled_model(tmp_path: Path) -> Path:
    """The shipped one, but with an action prior that confuses the channels."""
    model, card = load_mfwm(shipped_model('kitchen'))
    last = model.prior.actor.net[-1]
    for parameter in (last.weight, last.bias):
        parameter.copy_(parameter.roll(1, 0))
    folder = tmp_path / 'spoiled'
    write_model(folder, model, card.spec, card.embedder, card.embedder_identity, card.training)
    return folder


def test_the_shipped_model_does_its_tasks(tmp_path: Path) -> None:
    rates = success_rates(tmp_path, shipped_model('kitchen'))
    assert len(rates) == 4
    assert min(rates.values()) >= 0.75, rates


def test_a_spoiled_model_does_not(tmp_path: Path, spoiled_model: Path) -> None:
    assert success_rates(tmp_path, spoiled_model, ('microwave',)) == {'microwave': 0.0}
