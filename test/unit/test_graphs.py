"""A recorded loss is the loss; `test_gpu.py` asks a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genrl_ros.training.graphs import Loss, graphed


@pytest.fixture
def network() -> nn.Module:
    return nn.Linear(3, 2)


@pytest.fixture
def loss(network: nn.Module) -> Loss:
    def compute(batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        error = (network(batch['x']) - batch['y']).square()
        return error.mean(), {'largest': error.max()}

    return compute


def batch(count: int = 4) -> dict[str, Tensor]:
    return {'y': torch.randn(count, 2), 'x': torch.randn(count, 3)}


def test_inputs_and_metrics_keep_their_names(
    monkeypatch: pytest.MonkeyPatch, network: nn.Module, loss: Loss
) -> None:
    """With a recorder that records nothing, as the library's does with a GPU alone."""

    def record(flat: nn.Module, sample: tuple[Tensor, ...], **_: Any) -> nn.Module:
        assert set(network.parameters()) == set(flat.parameters())
        flat(*sample)
        return flat

    monkeypatch.setattr(torch.cuda, 'make_graphed_callables', record)
    replayed, asked = graphed(loss, network, batch()), batch()
    (value, metrics), (expected, expected_metrics) = replayed(asked), loss(asked)
    assert torch.equal(value, expected) and value.requires_grad
    assert torch.equal(metrics['largest'], expected_metrics['largest'])
    assert not metrics['largest'].requires_grad


@pytest.mark.skipif(torch.cuda.is_available(), reason='here a graph can be recorded')
def test_a_loss_that_cannot_be_recorded_stays_as_it_is(
    network: nn.Module, loss: Loss, capsys: pytest.CaptureFixture[str]
) -> None:
    assert graphed(loss, network, batch()) is loss
    assert 'no CUDA graph of the loss' in capsys.readouterr().err
