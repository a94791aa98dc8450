"""Networks on states whose latents are one-hot: the first product is a sum of looked-up rows."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from genrl_ros.world_model.layers import Dense, rounded


def _rows_of(tokens: Tensor, rows: Tensor) -> Tensor:
    """Place `(..., S)` of each class among `S * K` rows."""
    categoricals = tokens.shape[-1]
    first = torch.arange(categoricals, device=tokens.device) * (len(rows) // categoricals)
    return tokens + first


def _sum_of_rows(tokens: Tensor, rows: Tensor) -> Tensor:
    index = _rows_of(tokens, rows).flatten(0, -2)
    return F.embedding_bag(index, rows, mode='sum').view(*tokens.shape[:-1], -1)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, stoch: Tensor, tokens: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(stoch, rows)
        return _sum_of_rows(tokens, rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        stoch, rows = ctx.saved_tensors
        grad_stoch = grad_rows = None
        if ctx.needs_input_grad[0]:
            grad_stoch = (grad @ rows.t()).view_as(stoch)
        if ctx.needs_input_grad[2]:
            hot = stoch.flatten(-2).flatten(0, -2).to(grad.dtype)
            grad_rows = hot.t() @ grad.flatten(0, -2)
        return grad_stoch, None, grad_rows


class _Quadratic(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, stoch: Tensor, tokens: Tensor, gram: Tensor, cross: Tensor) -> Tensor:
        picked = _sum_of_rows(tokens, gram)  # G s + c
        ctx.save_for_backward(picked)
        ctx.shape = stoch.shape[-2:]
        index = _rows_of(tokens, gram)
        return picked.gather(-1, index).sum(-1) + cross[index].sum(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (picked,) = ctx.saved_tensors
        slope = picked * (2 * grad.unsqueeze(-1))
        return slope.unflatten(-1, ctx.shape), None, None, None


def product(stoch: Tensor, tokens: Tensor, rows: Tensor) -> Tensor:
    """The product of one-hot latents and a matrix, with the gradient of the product.

    Args:
        stoch: `(..., S, K)`, one-hot.
        tokens: `(..., S)`, their classes.
        rows: `(S * K, N)`.

    Returns:
        `(..., N)`, for a tenth of the arithmetic.
    """
    out: Tensor = _Product.apply(stoch, tokens, rows)  # type: ignore[no-untyped-call]
    return out


def quadratic(stoch: Tensor, tokens: Tensor, gram: Tensor, cross: Tensor) -> Tensor:
    """`s . G s + 2 c . s` `(...)` of one-hot latents, where G and c are constants.

    Args:
        stoch: `(..., S, K)`, one-hot.
        tokens: `(..., S)`, their classes.
        gram: `(S * K, S * K)`: G, which is symmetric, with c / S added to each of its rows.
        cross: `(S * K,)`: c.
    """
    out: Tensor = _Quadratic.apply(stoch, tokens, gram, cross)  # type: ignore[no-untyped-call]
    return out


class LookUp:
    """A network on `[latent, rest]`, for many states between two changes of its weights.

    Under mixed precision its products are rounded, like those of any linear layer.

    Args:
        net: hidden layers, of which the first is dense, and what follows them.
        latent: size of the flattened latent.
    """

    def __init__(self, net: nn.Sequential, latent: int) -> None:
        first = net[0]
        assert isinstance(first, Dense)
        self.first, self.then = first, net[1:]
        columns, self.rest = rounded(first.linear.weight).tensor_split([latent], 1)
        self.rows = columns.t().contiguous()

    def __call__(self, stoch: Tensor, tokens: Tensor, rest: Tensor) -> Tensor:
        """The net's output for one-hot latents `(..., S, K)`, their classes, and `(..., R)`."""
        x = product(stoch, tokens, self.rows)
        x = x + F.linear(rest, self.rest, self.first.linear.bias)
        out: Tensor = self.then(self.first.activate(x))
        return out.to(rest.dtype)
