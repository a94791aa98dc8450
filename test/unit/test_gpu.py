"""What only a GPU can show: graphs compute what they recorded, and learning runs there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from toy_training import SPEC, TINY

from genrl_ros.config import LearnConfig, WorldModelConfig
from genrl_ros.serving.bundle import load_bundle
from genrl_ros.training.bench import Size
from genrl_ros.training.bench_updates import random_batch
from genrl_ros.training.export import write_model
from genrl_ros.training.graphs import graphed
from genrl_ros.training.learn import learn
from genrl_ros.training.run import mixed_precision
from genrl_ros.world_model.losses import world_model_loss
from genrl_ros.world_model.mfwm import MFWM

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason='torch sees no GPU here'),
]


@pytest.mark.parametrize('mixed', [False, True])
def test_a_graph_computes_what_it_recorded(mixed: bool, capfd: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    size = Size(64, 8, 4, 16)
    model = MFWM(size.model).cuda()
    first, second = (random_batch(size.model, size, 'cuda') for _ in range(2))

    def loss(batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return world_model_loss(model, batch, WorldModelConfig())

    seen = []
    with mixed_precision('cuda', mixed):
        for run in (loss, graphed(loss, model, first)):
            model.zero_grad()
            torch.cuda.manual_seed(1)
            value, metrics = run(second)
            value.backward()
            gradient = model.tokenizer.decoder.project.weight.grad
            assert gradient is not None
            seen.append((metrics['image'].item(), gradient.clone()))
    assert 'no CUDA graph' not in capfd.readouterr().err
    (eager, by_hand), (replayed, recorded) = seen
    assert replayed == pytest.approx(eager, rel=0.05)
    assert torch.nn.functional.cosine_similarity(by_hand.flatten(), recorded.flatten(), 0) > 0.9


def test_a_policy_is_learned_on_a_gpu_and_served_without(tmp_path: Path) -> None:
    torch.manual_seed(0)
    write_model(tmp_path / 'model', MFWM(TINY), SPEC, 'embedded', 'f' * 64, {'seed': 0})
    config = LearnConfig(updates=12, starts=8, precision='bf16')
    prompt = torch.randn(TINY.embed_dim).numpy()
    result = learn(
        tmp_path / 'model', prompt, config, tmp_path / 'out', 'task', 'do it', device='cuda'
    )
    assert load_bundle(result.bundle_path).description.updates == 12
