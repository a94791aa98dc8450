"""What only a GPU can show: graphs compute what they recorded, and learning runs there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from toy_training import TINY, learn_toy, make_model

from genrl_ros.config.learning import LearnConfig
from genrl_ros.config.training import (
    ConnectConfig,
    DynamicsConfig,
    NearnessConfig,
    PriorConfig,
    WorldModelConfig,
)
from genrl_ros.serving.policy.bundle import load_bundle
from genrl_ros.training.behavior.learn import LearnResult
from genrl_ros.training.engine.graphs import graphed
from genrl_ros.training.engine.run import StoppedError
from genrl_ros.world_model.losses import (
    connect_loss,
    dynamics_loss,
    nearness_loss,
    prior_loss,
    world_model_loss,
)
from genrl_ros.world_model.mfwm import MFWM

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason='torch sees no GPU here'),
]

LOSSES: tuple[tuple[Any, Any], ...] = (
    (world_model_loss, WorldModelConfig()),
    (dynamics_loss, DynamicsConfig()),
    (connect_loss, ConnectConfig()),
    (prior_loss, PriorConfig(dropout=0.0)),
    (nearness_loss, NearnessConfig(dropout=0.0)),
)


def random_batch() -> dict[str, Tensor]:
    shapes = {
        'action': (3,), 'is_first': (), 'embed': (32,), 'logits': (4, 5), 'deter': (TINY.deter,),
        'goal': (32,),
    }  # fmt: skip
    batch = {name: torch.rand(4, 8, *shape, device='cuda') for name, shape in shapes.items()}
    batch['image'] = torch.randint(256, (4, 8, 3, 64, 64), dtype=torch.uint8, device='cuda')
    return batch


def gradients(model: MFWM) -> dict[str, Tensor]:
    found = {name: value.grad for name, value in model.named_parameters()}
    return {name: grad.clone() for name, grad in found.items() if grad is not None}


@pytest.mark.parametrize('which', range(len(LOSSES)))
@pytest.mark.parametrize('mixed', [False, True])
@pytest.mark.parametrize('tokenizer', ['patch', 'conv'])
def test_a_graph_computes_what_it_recorded(
    tokenizer: Literal['patch', 'conv'], mixed: bool, which: int,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """With other weights and another batch than those that it was recorded with."""
    torch.manual_seed(0)
    model = MFWM(replace(TINY, tokenizer=tokenizer)).cuda()
    function, config = LOSSES[which]

    def loss(batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.autocast('cuda', torch.bfloat16, enabled=mixed):
            value, metrics = function(model, batch, config)
        return value, metrics

    replayed = graphed(loss, model, random_batch())
    assert 'no CUDA graph' not in capfd.readouterr().err
    for _ in range(2):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.3)
        batch, seen = random_batch(), []
        for run in (loss, replayed):
            model.zero_grad()
            torch.cuda.manual_seed(1)
            value, _ = run(batch)
            value.backward()
            seen.append(gradients(model))
        eager, recorded = seen
        assert eager.keys() == recorded.keys()
        for name, gradient in eager.items():
            size = float(gradient.abs().max())
            torch.testing.assert_close(recorded[name], gradient, rtol=0, atol=0.05 * size + 1e-9)


def test_a_policy_is_learned_on_a_gpu_resumed_and_served_without(tmp_path: Path) -> None:
    make_model(tmp_path / 'model')
    config = LearnConfig(updates=12, starts=8, precision='bf16')
    prompt = torch.randn(TINY.embed_dim).numpy()

    def go_on(stops: bool) -> LearnResult:
        return learn_toy(
            tmp_path / 'model', prompt, config, tmp_path / 'out',
            should_stop=lambda: stops, export_early=False, save_every=5, device='cuda',
        )  # fmt: skip

    with pytest.raises(StoppedError):
        go_on(stops=True)
    assert load_bundle(go_on(stops=False).bundle_path).description.updates == 12
