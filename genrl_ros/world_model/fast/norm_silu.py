"""LayerNorm and SiLU in one pass, which is most of what a CPU does apart from matrix products.

The library goes through memory some ten times for the two and their gradients, and is slow at
norms of few channels. Setup compiles `norm_silu.cpp` for CPUs, where there is a compiler with
OpenMP. The library is for everything else: other devices, float64, exported graphs.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

TAKEN = (torch.float32, torch.bfloat16)
A_THREADS = 2**15
"""Numbers that are worth another thread."""


def _load() -> ctypes.CDLL | None:
    """What setup compiled; None where it could not, or where the system refuses to load it."""
    found = importlib.util.find_spec('genrl_ros.world_model.fast._norm_silu')
    if found is not None and found.origin is not None:
        with contextlib.suppress(OSError):
            return ctypes.CDLL(found.origin)
    return None


_compiled = _load()
_wanted = True


def is_compiled() -> bool:
    """Whether the compiled form is there."""
    return _compiled is not None


@contextlib.contextmanager
def by_library() -> Iterator[None]:
    """While the block runs, the library does it: to measure and to test against."""
    global _wanted
    before, _wanted = _wanted, False
    try:
        yield
    finally:
        _wanted = before


def norm_silu(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    """`silu(norm(x))` of `(..., C)`, in the precision of `x`; it can be differentiated once."""
    taken = x.device.type == 'cpu' and x.dtype in TAKEN and norm.weight.dtype == torch.float32
    if _compiled is None or not (_wanted and taken) or torch.onnx.is_in_onnx_export():
        return F.silu(norm(x))
    out: Tensor = _NormSiLU.apply(  # type: ignore[no-untyped-call]
        x.contiguous(), norm.weight, norm.bias, norm.eps
    )
    return out


class _NormSiLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
        out, moments = torch.empty_like(x), scale.new_empty(x.numel() // len(scale), 2)
        _call(
            'norm_silu_forward', x.dtype == torch.bfloat16, x, scale, shift, ctypes.c_float(eps),
            out, moments, len(moments), len(scale), _threads(x),
        )  # fmt: skip
        ctx.save_for_backward(x, scale, shift, moments)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, shift, moments = ctx.saved_tensors
        threads, out = _threads(x), torch.empty_like(x)
        grads = scale.new_zeros(threads, 2, len(scale), dtype=torch.float64)
        _call(
            'norm_silu_backward', x.dtype == torch.bfloat16, grad.contiguous(), x, moments, scale,
            shift, out, grads, len(moments), len(scale), threads,
        )  # fmt: skip
        return out, *grads.sum(0).to(scale.dtype), None


def _threads(x: Tensor) -> int:
    return min(torch.get_num_threads(), 1 + x.numel() // A_THREADS)


def _call(name: str, *arguments: Tensor | ctypes.c_float | int) -> None:
    """Tensors are passed as addresses, other numbers as they are; `int` stands for ptrdiff_t."""
    getattr(_compiled, name)(
        *(
            ctypes.c_void_p(each.data_ptr())
            if isinstance(each, Tensor)
            else ctypes.c_ssize_t(each)
            if isinstance(each, int)
            else each
            for each in arguments
        )
    )


class NormSiLU(nn.Sequential):
    """LayerNorm and SiLU, `(..., C)` to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__(nn.LayerNorm(channels), nn.SiLU())

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        norm = self[0]
        assert isinstance(norm, nn.LayerNorm)
        return norm_silu(x, norm)
