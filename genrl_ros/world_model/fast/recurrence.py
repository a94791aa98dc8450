"""The recurrence of the GRU over a whole sequence, with its gradient written by hand.

Autograd would keep some twenty small results a step, and add up the gradient of the recurrent
matrix step by step. Written out, all that need not wait for the step before is one operation over
all steps; that gradient, too, becomes one matrix product.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_norm_backward = torch.ops.aten.native_layer_norm_backward


class _Scan(torch.autograd.Function):
    """Time-major throughout: `projected (T, B, 3 H)`, `start (B, H)`, `keep (T, B, 1)`."""

    @staticmethod
    def forward(
        ctx: Any,
        projected: Tensor,
        start: Tensor,
        weight: Tensor,
        scale: Tensor,
        shift: Tensor,
        eps: float,
        keep: Tensor | None,
    ) -> Tensor:
        steps, batch, width = projected.shape
        raw, gates = torch.empty_like(projected), torch.empty_like(projected)
        mean, rstd = projected.new_empty(2, steps, batch, 1)
        before, candidates, after = projected.new_empty(3, steps, batch, width // 3)
        deter, recurrent = start, weight.t()
        for t in range(steps):
            before[t] = deter if keep is None else deter * keep[t]
            torch.addmm(projected[t], before[t], recurrent, out=raw[t])
            gates[t], mean[t], rstd[t] = torch.native_layer_norm(
                raw[t], (width,), scale, shift, eps
            )
            reset, candidate, update = gates[t].chunk(3, -1)
            torch.mul(reset.sigmoid_(), candidate, out=candidates[t]).tanh_()
            torch.lerp(before[t], candidates[t], update.sub_(1).sigmoid_(), out=after[t])
            deter = after[t]
        ctx.save_for_backward(
            raw, gates, mean, rstd, before, candidates, weight, scale, shift, keep
        )
        return after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        raw, gates, mean, rstd, before, candidates, weight, scale, shift, keep = ctx.saved_tensors
        steps, batch, width = raw.shape
        reset, candidate, update = gates.chunk(3, -1)
        inner = update * (1 - candidates.square())
        slopes = torch.stack(  # of each step's state, by the three gates before their activations
            [
                inner * candidate * reset * (1 - reset),
                inner * reset,
                (candidates - before) * update * (1 - update),
            ],
            2,
        )
        through = 1 - update
        carried = torch.zeros_like(before[0])
        grad_gates, grad_raw = torch.empty_like(raw), torch.empty_like(raw)
        for t in reversed(range(steps)):
            carried = carried + grad[t]
            torch.mul(
                slopes[t], carried.unsqueeze(1), out=grad_gates[t].view(batch, 3, width // 3)
            )
            grad_raw[t] = _norm_backward(
                grad_gates[t], raw[t], (width,), mean[t], rstd[t], scale, shift,
                (True, False, False),
            )[0]  # fmt: skip
            carried = torch.addmm(carried * through[t], grad_raw[t], weight)
            if keep is not None:
                carried = carried * keep[t]
        _, grad_scale, grad_shift = _norm_backward(
            grad_gates, raw, (width,), mean, rstd, scale, shift, (False, True, True)
        )
        grad_weight = grad_raw.view(-1, width).t() @ before.view(steps * batch, -1)
        return grad_raw, carried, grad_weight, grad_scale, grad_shift, None, None


def scan(
    projected: Tensor, start: Tensor, weight: Tensor, norm: nn.LayerNorm, keep: Tensor | None
) -> Tensor:
    """States of the GRU (`layers.GRUCell`) at every step of a sequence.

    Args:
        projected: `(T, B, 3 H)` inputs of all steps, projected.
        start: `(B, H)` state before the first step.
        weight: `(3 H, H)` recurrent matrix.
        norm: of the gates.
        keep: `(T, B)`, 0 where the state before a step is dropped.

    Returns:
        `(T, B, H)`. It can be differentiated once.
    """
    # Mixed precision would round the state at each step; the matrices here are small.
    with torch.autocast(projected.device.type, enabled=False):
        out: Tensor = _Scan.apply(  # type: ignore[no-untyped-call]
            projected.to(weight.dtype).contiguous(),
            start.to(weight.dtype),
            weight,
            norm.weight,
            norm.bias,
            norm.eps,
            None if keep is None else keep.to(weight.dtype).unsqueeze(-1),
        )
    return out
