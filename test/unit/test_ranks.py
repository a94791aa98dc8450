"""Two processes train as one does, and end together."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from toy_training import (
    SPEC,
    TINY,
    TOLERANCE,
    Toy,
    fail_second,
    learn_tiny,
    make_encoded_store,
    make_model,
    make_store,
    rows,
    stop_second,
    together,
    train_tiny,
    train_with_two_seeds,
)

from genrl_ros.config.training import ConnectConfig, DynamicsConfig, PriorConfig, WorldModelConfig
from genrl_ros.serving.policy.bundle import load_bundle
from genrl_ros.training.engine.state_file import load_state
from genrl_ros.world_model import noise
from genrl_ros.world_model.losses import (
    connect_loss,
    dynamics_loss,
    prior_loss,
    world_model_loss,
)
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.ranks import Ranks


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(make_store(tmp_path / 'data'), tmp_path / 'run')


def test_two_processes_draw_the_curve_of_one(toy: Toy, tmp_path: Path) -> None:
    net = toy.train()
    two = replace(toy, run=tmp_path / 'two')
    assert together(two.train, 2) == ['', '']
    np.testing.assert_allclose(rows(two.curve), rows(toy.curve), **TOLERANCE)
    weights = load_state(two.checkpoint)['optimizer']['average']
    for index, value in enumerate(net.parameters()):
        torch.testing.assert_close(weights[str(index)], value.data, **TOLERANCE)


def test_training_goes_on_with_another_number_of_processes(toy: Toy, tmp_path: Path) -> None:
    toy.train()
    mixed = replace(toy, run=tmp_path / 'mixed')
    assert (
        together(partial(stop_second, mixed), 2)
        == ['StoppedError: stage after 7 of 12 updates'] * 2
    )
    mixed.train()
    np.testing.assert_allclose(rows(mixed.curve), rows(toy.curve), **TOLERANCE)
    assert together(replace(mixed, updates=16).train, 2) == ['', '']
    assert load_state(mixed.checkpoint)['optimizer']['updates'] == 16


def test_a_process_that_fails_ends_the_others_with_a_word(toy: Toy) -> None:
    first, second = together(partial(fail_second, toy), 2)
    assert second == 'ValueError: the second process has no memory left'
    assert first.startswith('RankLostError: another process of this training has failed')
    assert load_state(toy.checkpoint)['optimizer']['updates'] == 4


def test_processes_that_train_different_things_are_refused(toy: Toy) -> None:
    for message in together(partial(train_with_two_seeds, toy), 2):
        assert message.startswith('ValueError: the weights must be the same in all 2 processes')


def test_a_batch_must_be_shared_equally(toy: Toy) -> None:
    with pytest.raises(ValueError, match=r'batch of stage \(4\) must be a multiple of the 3'):
        toy.train(Ranks(0, 3))


def test_shares_of_random_numbers_are_parts_of_the_whole() -> None:
    like = torch.zeros(1, dtype=torch.float64)
    torch.manual_seed(3)
    whole, after = noise.normal((6, 4), like), torch.rand(2)
    turned = None
    for index in range(3):
        torch.manual_seed(3)
        with noise.shared(index, 3):
            assert torch.equal(noise.normal((2, 4), like), whole[2 * index : 2 * index + 2])
            assert torch.equal(torch.rand(2), after)
        torch.manual_seed(3)
        with noise.shared(index, 3):
            turned = noise.uniform((4, 2), like, axis=1)
        torch.manual_seed(3)
        assert torch.equal(
            turned, torch.rand(4, 6, dtype=like.dtype)[:, 2 * index : 2 * index + 2]
        )


@pytest.fixture
def encoded(tmp_path: Path) -> Path:
    return make_encoded_store(tmp_path / 'images')


def test_every_stage_of_a_world_model_can_be_shared(encoded: Path, tmp_path: Path) -> None:
    assert SPEC.action_dim == TINY.action_dim
    train_tiny(encoded, tmp_path / 'one')
    assert together(partial(train_tiny, encoded, tmp_path / 'two'), 2) == ['', '']
    for stage in ('world_model', 'dynamics', 'connector', 'prior', 'nearness'):
        one, two = (rows((tmp_path / n / f'{stage}.csv').read_text()) for n in ('one', 'two'))
        assert len(one) == 3
        np.testing.assert_allclose(two, one, err_msg=stage, **TOLERANCE)


def test_two_processes_learn_the_behaviour_of_one(tmp_path: Path) -> None:
    make_model(tmp_path / 'model')
    learn_tiny(tmp_path / 'model', tmp_path / 'one')
    assert together(partial(learn_tiny, tmp_path / 'model', tmp_path / 'two'), 2) == ['', '']
    one, two = (rows((tmp_path / name / 'task.csv').read_text()) for name in ('one', 'two'))
    np.testing.assert_allclose(two, one, **TOLERANCE)
    assert load_bundle(tmp_path / 'two' / 'task').description.updates == 12


@pytest.mark.parametrize('tokenizer', ['patch', 'conv'])
def test_losses_keep_to_the_device_of_their_batch(
    tokenizer: Literal['patch', 'conv'], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a device without numbers, which refuses to be mixed with another as a GPU does."""
    monkeypatch.setattr(torch, 'autocast', lambda *_, **__: contextlib.nullcontext())
    model = MFWM(replace(TINY, tokenizer=tokenizer)).to('meta')
    shapes = {
        'action': (3,), 'is_first': (), 'embed': (32,), 'logits': (4, 5), 'deter': (TINY.deter,)
    }  # fmt: skip
    batch = {name: torch.empty(4, 8, *shape, device='meta') for name, shape in shapes.items()}
    batch['image'] = torch.empty(4, 8, 3, 64, 64, dtype=torch.uint8, device='meta')
    for loss, metrics in (
        world_model_loss(model, batch, WorldModelConfig()),
        dynamics_loss(model, batch, DynamicsConfig()),
        connect_loss(model, batch, ConnectConfig()),
        prior_loss(model, batch, PriorConfig()),
    ):
        loss.backward()
        assert {value.device.type for value in metrics.values()} == {'meta'}
