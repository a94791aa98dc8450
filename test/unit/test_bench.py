"""`genrl bench` measures what it says; how fast it is, is no matter of tests."""

from __future__ import annotations

import json

import pytest
import torch

from genrl_ros.bench.updates import PARTS, random_batch, world_updates
from genrl_ros.cli import main
from genrl_ros.cli.bench_report import show
from genrl_ros.config.model import ModelConfig, model_preset
from genrl_ros.training.engine import speed as bench
from genrl_ros.training.engine.speed import ACTIONS, Captured, Size, Timing, measure
from genrl_ros.world_model.fast.norm_silu import is_compiled
from genrl_ros.world_model.mfwm import MFWM


def test_report(capsys: pytest.CaptureFixture[str]) -> None:
    command = ['bench', '--sizes', '16,2,2x8', '--starts', '8', '--repeats', '1']
    assert main.main([*command, '--json']) == 0
    report = json.loads(capsys.readouterr().out)
    for markdown in (True, False):
        show(report, markdown)
        shown = capsys.readouterr().out
        assert '16,2,2x8' in shown and 'bf16: ' in shown
        assert ('| plain | ' in shown) == markdown
    assert report['peak_gflops'] > 0
    assert report['machine']['threads'] == 1
    forms = {'library', 'compiled'} if is_compiled() else {'library'}
    assert {row['form'] for row in report['norms']} == forms
    (size,) = report['sizes']
    assert {'ours', 'plain', 'small'} <= size['update'].keys()
    mixed = {'ours bf16'} if report['machine']['bf16'] else set()
    assert size['behavior'].keys() == {'ours', 'plain'} | mixed
    for parts in size['update'].values():
        assert parts.keys() == {'total', *PARTS}
        assert all(part['seconds'] > 0 for part in parts.values())
        assert all(parts[name]['gflop'] > 0 for name in PARTS[:-1])
        whole = sum(parts[name]['gflop'] for name in PARTS)
        assert parts['total']['gflop'] == pytest.approx(whole, rel=0.05)


def test_work_is_counted_and_the_fastest_repeat_counts() -> None:
    a, calls = torch.ones(10, 20), []

    def run() -> torch.Tensor:
        calls.append(0)
        return torch.ones(10, 10).addmm_(a, a.t())

    timing = measure({'product': run}, repeats=3, device='cpu')['product']
    assert len(calls) == 4
    assert timing.gflop == pytest.approx(2 * 10 * 20 * 10 / 1e9)
    assert Timing(seconds=2.0, gflop=6.0).gflops == 3.0


def test_work_is_counted_without_the_graph_and_timed_with_it() -> None:
    a, replays = torch.ones(10, 20), []
    run = Captured(replay=lambda: replays.append(0), eager=lambda: a @ a.t())
    timing = measure({'product': run}, repeats=3, device='cpu')['product']
    assert len(replays) == 3
    assert timing.gflop == pytest.approx(2 * 10 * 20 * 10 / 1e9)


@pytest.mark.parametrize('text', ['256,24', '256,24,16', '0,24,16x32', '256,24,16x33', 'a,b,cxd'])
def test_sizes_that_cannot_be(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match='size'):
        Size.parse(text)
    assert main.main(['bench', '--sizes', text]) == 1
    assert text in capsys.readouterr().err


@pytest.mark.parametrize('sizes', [Size(16, 2, 2, 8).model, model_preset('small', ACTIONS)])
def test_mixed_precision_computes_the_same_update_more_coarsely(sizes: ModelConfig) -> None:
    torch.manual_seed(0)
    model, size = MFWM(sizes), Size(16, 2, 2, 8)
    batch = random_batch(sizes, size, 'cpu')
    seen = []
    for mixed in (False, True):
        torch.manual_seed(1)  # what the parts hand to each other
        parts = world_updates(model, batch, 'cpu', mixed)
        for part in ('encoder', 'sequence', 'decoder', 'connector'):
            parts[part]()
        parts['decoder']()
        seen.append(model.tokenizer.decoder.project.weight.grad.clone())
    assert not torch.equal(*seen)
    assert torch.nn.functional.cosine_similarity(*(g.flatten() for g in seen), dim=0) > 0.9


@pytest.mark.parametrize(
    ('flags', 'bf16_s', 'precision'),
    [
        ('avx2 amx_tile amx_bf16', 0.2, 'bf16'),
        ('avx2 avx512_bf16', 0.5, 'bf16'),
        ('avx2 avx512_bf16', 2.0, 'float32'),
        ('avx2', 0.2, 'float32'),
    ],
)
def test_bf16_is_chosen_where_matrices_are_multiplied_faster_in_it(
    monkeypatch: pytest.MonkeyPatch, flags: str, bf16_s: float, precision: str
) -> None:
    monkeypatch.setattr(bench, 'describe_processor', lambda: f'flags : {flags}')
    monkeypatch.setattr(
        bench,
        'measure',
        lambda runs, repeats, device: {
            name: Timing(bf16_s if run().dtype == torch.bfloat16 else 1.0, 1.0)
            for name, run in runs.items()
        },
    )
    assert bench.fastest_precision('cpu') == precision
