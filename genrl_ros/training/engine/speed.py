"""Measuring: how long something takes, how much arithmetic it is, and what the machine could do.

Of several repeats the fastest counts: whatever else a machine does can only make one slower.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode, addmm_flop

from genrl_ros.config.model import ModelConfig, model_preset
from genrl_ros.config.training import Precision

ACTIONS = 9
PEAK_SIZE, QUICK_SIZE = 2048, 512
"""Sides of the matrices whose product is timed: for the peak, and for a first impression."""
CLEARLY = 1.5
"""How much faster products must be for a whole update to gain."""
Work = Callable[[], object]
Key = TypeVar('Key', bound=Hashable)


@dataclass(frozen=True)
class Size:
    """What is measured: sizes of a model with the published architecture, and of a batch."""

    deter: int
    depth: int
    batch: int
    length: int

    @classmethod
    def parse(cls, text: str) -> Size:
        """From a text such as `512,48,16x32`: deter, CNN depth, batch and length.

        Raises:
            ValueError: if it is not of that form, or the length is no multiple of eight.
        """
        try:
            deter, depth, shape = text.split(',')
            batch, length = shape.split('x')
            size = cls(int(deter), int(depth), int(batch), int(length))
        except ValueError:
            raise ValueError(
                f'size {text!r} must be DETER,DEPTH,BATCHxLENGTH, such as 512,48,16x32'
            ) from None
        if min(size.deter, size.depth, size.batch, size.length) <= 0 or size.length % 8:
            raise ValueError(f'size {text!r}: all positive, and a length that is a multiple of 8')
        return size

    def __str__(self) -> str:
        return f'{self.deter},{self.depth},{self.batch}x{self.length}'

    @property
    def frames(self) -> int:
        """Frames in a batch."""
        return self.batch * self.length

    @property
    def model(self) -> ModelConfig:
        """Sizes of the model."""
        paper, wide = model_preset('paper', ACTIONS), self.deter
        return replace(paper, depth=self.depth, deter=wide, hidden=wide, units=wide)


@dataclass(frozen=True)
class Timing:
    """One thing, measured.

    Attributes:
        seconds: of the fastest repeat.
        gflop: billions of multiplications and additions in its matrix products.
    """

    seconds: float
    gflop: float

    @property
    def gflops(self) -> float:
        """Billions of them a second."""
        return self.gflop / self.seconds


@dataclass(frozen=True)
class Captured:
    """A run that a CUDA graph replays, in which no arithmetic can be counted.

    Attributes:
        replay: what is timed.
        eager: the same without the graph, to count.
    """

    replay: Work
    eager: Work

    def __call__(self) -> object:
        """Replay it."""
        return self.replay()


@dataclass(frozen=True)
class Machine:
    """Where it was measured.

    Attributes:
        device: `cpu` or `cuda`.
        name: the processor's name for itself.
        threads: CPU threads.
        bf16: whether it has instructions for bfloat16; whether they are fast, is measured.
        torch: version.
    """

    device: str
    name: str
    threads: int
    bf16: bool
    torch: str


def inspect(device: str) -> Machine:
    """Look at the machine."""
    if device == 'cuda':
        name, bf16 = torch.cuda.get_device_name(), torch.cuda.is_bf16_supported()
    else:
        about = describe_processor()
        names = [line.split(':')[1].strip() for line in about.splitlines() if 'model name' in line]
        name = names[0] if names else 'unknown'
        bf16 = 'amx_bf16' in about or 'avx512_bf16' in about
    return Machine(device, name, torch.get_num_threads(), bf16, torch.__version__)


def describe_processor() -> str:
    """What Linux says of it; '' elsewhere."""
    path = Path('/proc/cpuinfo')
    return path.read_text() if path.exists() else ''


def matrix_product(device: str, dtype: torch.dtype = torch.float32, size: int = PEAK_SIZE) -> Work:
    """What a machine does fastest: a large product."""
    a, b = torch.randn(2, size, size, device=device, dtype=dtype)
    return lambda: a @ b


def fastest_precision(device: str) -> Precision:
    """bf16 where matrices are multiplied clearly faster in it, float32 elsewhere.

    It is measured, within moments: with the same instructions (AVX512-BF16), one processor is
    twice as fast as in float32, and another half as fast.
    """
    if not inspect(device).bf16:
        return 'float32'
    kinds: dict[Precision, torch.dtype] = {'float32': torch.float32, 'bf16': torch.bfloat16}
    size = QUICK_SIZE if device == 'cpu' else PEAK_SIZE
    runs = {name: matrix_product(device, dtype, size) for name, dtype in kinds.items()}
    taken = measure(runs, 10, device)
    return 'bf16' if taken['float32'].seconds > CLEARLY * taken['bf16'].seconds else 'float32'


def _seconds(run: Work, device: str) -> float:
    if device == 'cuda':
        torch.cuda.synchronize()
    began = time.perf_counter()
    run()
    if device == 'cuda':
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _gflop(run: Work) -> float:
    counter = FlopCounterMode(
        display=False, custom_mapping={torch.ops.aten.addmm_: _addmm_inplace_flop}
    )
    with counter:
        run.eager() if isinstance(run, Captured) else run()
    return counter.get_total_flops() / 1e9


def _addmm_inplace_flop(
    self: Sequence[int], a: Sequence[int], b: Sequence[int], **_: object
) -> int:
    return int(addmm_flop(self, a, b))


def measure(runs: Mapping[Key, Work], repeats: int, device: str) -> dict[Key, Timing]:
    """Time everything `repeats` times, taking turns, after one turn to warm up."""
    work = {name: _gflop(run) for name, run in runs.items()}
    best = dict.fromkeys(runs, float('inf'))
    for _ in range(repeats):
        for name, run in runs.items():
            best[name] = min(best[name], _seconds(run, device))
    return {name: Timing(best[name], work[name]) for name in runs}
