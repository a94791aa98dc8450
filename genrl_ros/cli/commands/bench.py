"""Measure how fast this machine trains: our updates against the same ones in plain form.

World model, connector and aligner are updated on noise at several sizes, and a behaviour in
imagination. Both forms compute the same function; they take turns, so that whatever else the
machine does meets both. docs/performance.md explains the figures.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from genrl_ros.bench.updates import (
    NUMBERS,
    behavior_updates,
    norms,
    plain_world_updates,
    random_batch,
    world_updates,
)
from genrl_ros.cli.bench_report import show
from genrl_ros.config.model import ModelConfig, model_preset
from genrl_ros.training.engine.speed import (
    ACTIONS,
    Machine,
    Size,
    Timing,
    Work,
    inspect,
    matrix_product,
    measure,
)
from genrl_ros.world_model.mfwm import MFWM

NO_BF16 = 'not measured: this processor has neither amx_bf16 nor avx512_bf16'


@dataclass(frozen=True)
class Config:
    """Arguments of `genrl bench`."""

    sizes: tuple[str, ...] = ('256,24,16x32', '512,48,16x32', '1024,48,8x48')
    """Published architecture at these sizes: DETER,DEPTH,BATCHxLENGTH. The first one is also what
    the small preset is compared with, at the same batch."""
    starts: int = 256
    """Imagined trajectories in an update of a behaviour."""
    repeats: int = 5
    """How often each thing is measured; the fastest counts."""
    threads: int = 1
    """CPU threads."""
    seed: int = 0
    """Seed of all random numbers."""
    json: bool = False
    """Print JSON in place of tables."""
    markdown: bool = False
    """Print the tables as Markdown, for docs/performance.md."""


def main(config: Config) -> int:
    """Measure and print."""
    if config.repeats < 1 or config.starts < 1 or config.threads < 1:
        raise ValueError('--repeats, --starts and --threads must be at least 1')
    if config.starts % 4:
        raise ValueError(f'--starts must be a multiple of 4, got {config.starts}')
    sizes = [Size.parse(text) for text in config.sizes]
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    machine = inspect(device)
    results = []
    for number, size in enumerate(sizes):
        _tell(f'published architecture at {size}')
        results.append(_size(size, machine, config, with_small=number == 0))
    report = {
        'machine': asdict(machine),
        'bf16': _bf16(results) if machine.bf16 else NO_BF16,
        'starts': config.starts,
        'peak_gflops': max(size['peak_gflops'] for size in results),
        'sizes': results,
        'norms': _norms(device, config.repeats),
    }
    if config.json:
        print(json.dumps(report, indent=2))
    else:
        show(report, config.markdown)
    return 0


def _size(size: Size, machine: Machine, config: Config, with_small: bool) -> dict[str, Any]:
    device = machine.device
    runs: dict[tuple[str, str], Work] = {('peak', 'total'): matrix_product(device)}
    if machine.bf16:
        runs['peak', 'bf16'] = matrix_product(device, torch.bfloat16)
    variants: dict[str, ModelConfig] = {'ours': size.model}
    if with_small:
        variants['small'] = model_preset('small', ACTIONS)
    for name, sizes in variants.items():
        model = MFWM(sizes).to(device)
        batch = random_batch(sizes, size, device)
        for mixed in (False, True) if machine.bf16 else (False,):
            form = f'{name} bf16' if mixed else name
            updates = world_updates(model, batch, device, mixed)
            runs |= {(form, part): run for part, run in updates.items()}
        if name == 'ours':
            updates = plain_world_updates(model, batch)
            runs |= {('plain', part): run for part, run in updates.items()}
    timings = measure(runs, config.repeats, device)
    del runs
    _tell(f'imagination at {size}')
    behavior = measure(
        behavior_updates(MFWM(size.model).to(device), config.starts, device, machine.bf16),
        config.repeats,
        device,
    )
    forms: dict[str, dict[str, Any]] = {}
    peak = timings.pop(('peak', 'total')).gflops
    peak_bf16 = timings.pop(('peak', 'bf16')).gflops if machine.bf16 else None
    for (form, part), timing in timings.items():
        forms.setdefault(form, {})[part] = _row(timing, size.frames)
    return {
        'size': str(size),
        'frames': size.frames,
        'peak_gflops': peak,
        'peak_bf16_gflops': peak_bf16,
        'update': forms,
        'behavior': {form: _row(timing, config.starts) for form, timing in behavior.items()},
    }


def _norms(device: str, repeats: int) -> list[dict[str, Any]]:
    return [
        {
            'channels': channels,
            'precision': precision,
            'form': form,
            'ns_each': 1e9 * timing.seconds / NUMBERS,
        }
        for (form, channels, precision), timing in measure(norms(device), repeats, device).items()
    ]


def _bf16(results: Sequence[Mapping[str, Any]]) -> str:
    peak = max(size['peak_bf16_gflops'] for size in results)
    return f'matrix products at {peak:.0f} GFLOP/s'


def _row(timing: Timing, count: int) -> dict[str, float]:
    return {
        'seconds': timing.seconds,
        'ms_each': 1e3 * timing.seconds / count,
        'gflop': timing.gflop,
        'gflops': timing.gflops,
    }


def _tell(what: str) -> None:
    print(f'measuring: {what}', file=sys.stderr, flush=True)
