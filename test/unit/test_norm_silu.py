"""The compiled norm is the library's function, with its gradients, whatever it is given."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from genrl_ros.world_model.fast.norm_silu import by_library, is_compiled, norm_silu

pytestmark = pytest.mark.skipif(not is_compiled(), reason='there was no C++ compiler at setup')

# How exact float32 and bf16 are, of values and of sums over rows.
DIGITS = {torch.float32: (1e-6, 2e-5), torch.bfloat16: (8e-3, 8e-3)}


def make_norm(width: int) -> nn.LayerNorm:
    norm = nn.LayerNorm(width, eps=1e-3)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


def exact(x: Tensor, norm: nn.LayerNorm, grad: Tensor) -> list[Tensor]:
    """Value and gradients in float64, by the library."""
    inputs = [each.detach().double().requires_grad_() for each in (x, norm.weight, norm.bias)]
    out = F.silu(F.layer_norm(inputs[0], norm.normalized_shape, *inputs[1:], norm.eps))
    return [out, *torch.autograd.grad(out, inputs, grad.double())]


def ours(x: Tensor, norm: nn.LayerNorm, grad: Tensor) -> list[Tensor]:
    leaf = x.detach().requires_grad_()
    out = norm_silu(leaf, norm)
    return [out, *torch.autograd.grad(out, (leaf, norm.weight, norm.bias), grad)]


def cancelled(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    """How much larger numbers are than what is left of them without their mean, in each row."""
    x = x.double()
    variance = (x - x.mean(1, keepdim=True)).square().mean(1, keepdim=True)
    return x.abs().amax(1, keepdim=True) / (variance + norm.eps).sqrt()


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(0, 300),
    width=st.sampled_from([1, 2, 7, 24, 48, 96, 100, 1024, 3000]),
    size=st.sampled_from([1e-3, 1.0, 1e4]),
    level=st.sampled_from([0.0, -30.0]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    threads=st.sampled_from([1, 2]),
    seed=st.integers(0, 99),
)
def test_values_and_gradients(
    rows: int, width: int, size: float, level: float, dtype: torch.dtype, threads: int, seed: int
) -> None:
    torch.manual_seed(seed)
    norm, before = make_norm(width), torch.get_num_threads()
    x = (size * torch.randn(rows, width) + level * size).to(dtype)
    grad = torch.randn(rows, width).to(dtype)
    torch.set_num_threads(threads)
    try:
        found = ours(x, norm, grad)
    finally:
        torch.set_num_threads(before)
    value, summed = DIGITS[dtype]
    steepest = norm.eps**-0.5  # what the gradient of the norm multiplies by, at most
    lost = cancelled(x, norm) if dtype == torch.float32 else torch.zeros(rows, 1)
    rowwise, overall = value * (1 + lost), summed * (1 + lost.sum().item() / max(1, rows))
    digits, sizes = (rowwise, rowwise, overall, overall), (1.0, steepest, 1.0, 1.0)
    for mine, want, digit, unit in zip(found, exact(x, norm, grad), digits, sizes, strict=True):
        assert mine.shape == want.shape
        assert mine.dtype in (dtype, torch.float32)
        largest = want.abs().max().item() if want.numel() else 0.0
        assert ((mine.double() - want).abs() <= digit * (want.abs() + largest + unit)).all()


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_axes_in_any_order(dtype: torch.dtype) -> None:
    norm = make_norm(24)
    x = torch.randn(3, 24, 5, 4).to(dtype).permute(0, 2, 3, 1)
    grad = torch.randn(4, 3, 5, 24).to(dtype).permute(1, 2, 0, 3)
    _, summed = DIGITS[dtype]
    for mine, want in zip(ours(x, norm, grad), exact(x, norm, grad), strict=True):
        torch.testing.assert_close(mine.double(), want, rtol=summed, atol=20 * summed)


@pytest.mark.parametrize('bad', [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_what_is_not_finite_is_seen_in_its_row_alone(dtype: torch.dtype, bad: float) -> None:
    norm, x = make_norm(24), torch.randn(3, 24).to(dtype)
    x[1, 5] = bad
    out, grad_x, grad_scale, _ = ours(x, norm, torch.ones_like(x))
    assert out[1].isnan().all() and grad_x[1].isnan().all() and grad_scale.isnan().any()
    assert out[::2].isfinite().all() and grad_x[::2].isfinite().all()


def test_far_values_neither_overflow_nor_vanish() -> None:
    norm = nn.LayerNorm(2, eps=1e-3)
    with torch.no_grad():
        norm.weight.fill_(1e4)
    x = torch.tensor([[1.0, -1.0]])
    out, grad_x, _, _ = ours(x, norm, torch.ones_like(x))
    torch.testing.assert_close(out, F.silu(norm(x)))
    assert grad_x.isfinite().all()


def test_the_library_does_what_is_not_compiled() -> None:
    x, norm = torch.randn(5, 24), make_norm(24)
    with by_library():
        assert torch.equal(norm_silu(x, norm), F.silu(norm(x)))
    wide, exactly = x.double(), norm.double()
    assert torch.equal(norm_silu(wide, exactly), F.silu(exactly(wide)))
