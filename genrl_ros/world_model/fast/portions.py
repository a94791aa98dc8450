"""A batch of images in portions, so that their large maps stay near a CPU's caches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

PORTION = 128
"""Images that convolutions take at once on a CPU."""


def portions(images: Tensor) -> tuple[Tensor, ...]:
    """Parts of a batch: maps of all of it would go through a CPU's memory at each step."""
    return images.split(PORTION) if images.device.type == 'cpu' else (images,)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        loss: Callable[[Tensor, Tensor], Tensor],
        maps: Tensor,
        target: Tensor,
        *others: Tensor,
    ) -> Tensor:
        values, of_maps = [], []
        of_others = [torch.zeros_like(other) for other in others]
        for part, goal in zip(portions(maps), portions(target), strict=True):
            start = part.detach().requires_grad_()
            with torch.enable_grad():
                value = loss(start, goal)
            with torch.autocast(maps.device.type, enabled=False):  # as after a loss
                first, *rest = torch.autograd.grad(value, (start, *others))
            values.append(value.detach())
            of_maps.append(first)
            torch._foreach_add_(of_others, rest)
        ctx.save_for_backward(torch.cat(of_maps), *of_others)
        return torch.stack(values).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        of_maps, *of_others = (gradient * grad for gradient in ctx.saved_tensors)
        return None, of_maps, None, *of_others


def sum_of_portions(
    loss: Callable[[Tensor, Tensor], Tensor],
    maps: Tensor,
    target: Tensor,
    others: Sequence[Tensor],
) -> Tensor:
    """The sum of `loss(maps, target)` over portions, whose gradients are computed at once.

    While a portion's maps are in the caches, that is, and nothing of it is kept.

    Args:
        loss: of a portion, a sum over images.
        maps: `(N, ...)`.
        target: `(N, ...)`, without a gradient.
        others: what else the loss depends on.
    """
    others = [other for other in others if other.requires_grad]
    if others and torch.is_grad_enabled():
        out: Tensor = _Sum.apply(  # type: ignore[no-untyped-call]
            loss, maps, target, *others
        )
        return out
    parts = zip(portions(maps), portions(target), strict=True)
    return torch.stack([loss(part, goal) for part, goal in parts]).sum()
