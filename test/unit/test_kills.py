"""A training that is killed at any moment, while it writes as well, ends as if it had not been."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from toy_training import STAGE, Toy, make_store, processes

from genrl_ros.config.training import RecordConfig

RECORD = RecordConfig(report_every=3, save_every=2, keep=2, picture_every=0)


@pytest.mark.parametrize(
    ('kills', 'updates'),
    [(4, 30), pytest.param(100, 300, marks=[pytest.mark.full, pytest.mark.timeout(3600)])],
)
def test_killed_at_random(tmp_path: Path, kills: int, updates: int) -> None:
    whole = Toy(
        make_store(tmp_path / 'data'), tmp_path / 'whole', updates, width=20_000, record=RECORD
    )
    whole.train()
    expected = load_file(whole.checkpoint)
    rng, done, torn = np.random.default_rng(0), 0, 0
    trainings = 0
    while done < kills or trainings == 0:
        cut = replace(whole, run=tmp_path / f'cut{trainings}')
        finished = False
        while not finished:
            process = processes().Process(target=cut.train)
            process.start()
            if done < kills:
                process.join(timeout=rng.exponential(0.3))
                process.kill()
            process.join()
            finished = process.exitcode == 0
            done += not finished
            torn += len(list(cut.run.glob(f'.{STAGE}*.tmp')))
        assert cut.curve == whole.curve
        found = load_file(cut.checkpoint)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected)
        trainings += 1
    assert done == kills
    if kills == 100:
        assert torn > 0, 'no kill came while a file was being written'
