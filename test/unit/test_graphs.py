"""A loss from tensors to tensors is the loss; `test_gpu.py` records it on a GPU."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from genrl_ros.training.engine.graphs import FlatLoss, Loss, graphed


@pytest.fixture
def network() -> nn.Module:
    return nn.Linear(3, 2)


@pytest.fixture
def loss(network: nn.Module) -> Loss:
    def compute(batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        error = (network(batch['x']) - batch['y']).square()
        return error.mean(), {'largest': error.max(), 'least': error.min()}

    return compute


def batch(count: int = 4) -> dict[str, Tensor]:
    return {'y': torch.randn(count, 2), 'x': torch.randn(count, 3)}


def test_inputs_and_metrics_keep_their_names(network: nn.Module, loss: Loss) -> None:
    flat = FlatLoss(loss, network, tuple(batch()))
    assert set(network.parameters()) == set(flat.parameters())
    asked = batch()
    expected, expected_metrics = loss(asked)
    in_another_order = {name: asked[name] for name in ('x', 'y')}
    value, metrics = flat.named(flat(*flat.arrays(in_another_order)))
    assert torch.equal(value, expected) and value.requires_grad
    assert metrics == expected_metrics and list(metrics) == ['largest', 'least']
    assert not any(metric.requires_grad for metric in metrics.values())


def test_a_loss_that_cannot_be_recorded_stays_as_it_is(
    network: nn.Module, loss: Loss, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on a processor; random numbers go on as if nothing had been."""
    torch.manual_seed(0)
    sample, expected = batch(), torch.get_rng_state()
    assert graphed(loss, network, sample) is loss
    assert 'no CUDA graph of the loss, which will be slower: ' in capsys.readouterr().err
    assert torch.equal(torch.get_rng_state(), expected)
