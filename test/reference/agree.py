"""Whether two forms of a function are the same function, values and gradients."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

DOUBLE, SINGLE = 1e-10, 1e-5


def likeliest(probs: Tensor) -> tuple[Tensor, Tensor]:
    """A draw without chance, so that two forms draw alike; with the straight-through gradient."""
    tokens = probs.argmax(-1)
    hard = torch.nn.functional.one_hot(tokens, probs.shape[-1]).to(probs.dtype)
    return hard + (probs - probs.detach()), tokens


def agree(
    fast: Callable[..., Tensor],
    slow: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    module: nn.Module | None = None,
    double: float = DOUBLE,
    single: float = SINGLE,
) -> None:
    """Assert that `fast(module, *inputs)` is `slow(module, *inputs)`; without module, of inputs.

    In float64 to 1e-10; and fast in float32 to 1e-5 of slow in float64 on the same numbers. Both
    are shares of a tensor's largest entry, gradients' of at least a hundredth of the largest of
    all gradients: entries that cancel to nothing have no digits to agree in.
    """
    rounded = [x.detach().float() for x in inputs]
    small = copy.deepcopy(module).float() if module is not None else None
    exact = [x.double() for x in rounded]
    large = copy.deepcopy(small).double() if small is not None else None
    expected = _evaluate(slow, exact, large)
    _compare(_evaluate(fast, exact, large), expected, double)
    _compare(_evaluate(fast, rounded, small), expected, single)


def _evaluate(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], module: nn.Module | None
) -> list[Tensor]:
    leaves = [x.clone().requires_grad_() for x in inputs]
    parameters = list(module.parameters()) if module is not None else []
    value = function(*([module] if module is not None else []), *leaves)
    weight = torch.linspace(-1, 1, value.numel(), dtype=torch.float64).sin().add(0.5)
    loss = (value * weight.view_as(value).to(value.dtype)).sum()
    gradients = torch.autograd.grad(loss, [*leaves, *parameters], allow_unused=True)
    zeros = [torch.zeros_like(x) for x in (*leaves, *parameters)]
    filled = [z if g is None else g for g, z in zip(gradients, zeros, strict=True)]
    return [value.detach(), *filled]


def _compare(got: Sequence[Tensor], want: Sequence[Tensor], share: float) -> None:
    assert len(got) == len(want)
    floor = max(x.abs().max().item() for x in want[1:]) / 100
    for number, (a, b) in enumerate(zip(got, want, strict=True)):
        assert a.shape == b.shape
        scale = max(b.abs().max().item(), floor if number else 0.0)
        error = (a.double() - b).abs().max().item()
        what = f'gradient {number - 1}' if number else 'value'
        assert error <= share * scale, (
            f'{what}: off by {error:.3g} where entries reach {scale:.3g}'
        )
