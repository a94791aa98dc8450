"""A recorded loss is the loss; `test_gpu.py` asks a GPU."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genrl_ros.training.engine.graphs import Loss, graphed

Recorded = Callable[..., tuple[Tensor, ...]]


@pytest.fixture(autouse=True)
def streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of which there are none without a GPU."""
    monkeypatch.setattr(torch.cuda, 'current_stream', lambda: None)
    monkeypatch.setattr(torch.cuda, 'stream', lambda _: contextlib.nullcontext())


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
    """With a recorder that only counts, and whose outputs all have gradients, as the library's."""
    drawn: list[Tensor] = []

    def record(flat: nn.Module, sample: tuple[Tensor, ...], **_: Any) -> Recorded:
        assert set(network.parameters()) == set(flat.parameters())
        flat(*sample)
        drawn.append(torch.rand(3))
        return lambda *arrays: tuple(value + 0 * network.bias.sum() for value in flat(*arrays))

    monkeypatch.setattr(torch.cuda, 'make_graphed_callables', record)
    sample, asked = batch(), batch()
    torch.manual_seed(0)
    replayed = graphed(loss, network, sample)
    assert torch.equal(torch.rand(3), drawn[0])
    (value, metrics), (expected, expected_metrics) = replayed(asked), loss(asked)
    assert torch.equal(value, expected) and value.requires_grad
    assert torch.equal(metrics['largest'], expected_metrics['largest'])
    assert not metrics['largest'].requires_grad


def test_a_loss_that_cannot_be_recorded_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch, network: nn.Module, loss: Loss,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def fail(*_: Any, **__: Any) -> None:
        try:
            raise RuntimeError('operation not permitted when stream is capturing')
        finally:
            raise RuntimeError('the capture was invalidated')

    monkeypatch.setattr(torch.cuda, 'make_graphed_callables', fail)
    assert graphed(loss, network, batch()) is loss
    said = capsys.readouterr().err
    assert 'no CUDA graph of the loss' in said and 'not permitted when' in said
