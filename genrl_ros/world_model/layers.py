"""The few building blocks that every network of the model is made of."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from genrl_ros.world_model.fast.norm_silu import norm_silu

CHANNEL_NORM_EPS = 1e-3


def rounded(x: Tensor) -> Tensor:
    """A factor of a product as mixed precision takes it; as it is, without mixed precision."""
    kind = x.device.type
    mixed = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return x.to(torch.get_autocast_dtype(kind)) if mixed else x


class Dense(nn.Sequential):
    """Linear, LayerNorm, SiLU: the hidden layer used throughout (facts 1.2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.Linear(inputs, outputs), nn.LayerNorm(outputs), nn.SiLU())

    @property
    def linear(self) -> nn.Linear:
        """The first of the three, for callers who know a faster way to the same product."""
        linear = self[0]
        assert isinstance(linear, nn.Linear)
        return linear

    def activate(self, projected: Tensor) -> Tensor:
        """The other two, `(..., outputs)` to the same."""
        norm = self[1]
        assert isinstance(norm, nn.LayerNorm)
        return norm_silu(projected, norm)

    def forward(self, x: Tensor) -> Tensor:
        """`(..., inputs)` to `(..., outputs)`."""
        return self.activate(self[0](x))


class _SquaredDistance(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, target: Tensor) -> Tensor:
        difference = x - target
        ctx.save_for_backward(difference)
        ctx.dtype = x.dtype
        return torch.linalg.vector_norm(difference, dim=tuple(range(1, x.ndim))).square().sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (difference,) = ctx.saved_tensors
        return (difference * (2 * grad)).to(ctx.dtype), None


def squared_distance(x: Tensor, target: Tensor) -> Tensor:
    """Sum of the squared differences of `(N, ...)` and a target, as exact as the finer one."""
    out: Tensor = _SquaredDistance.apply(x, target)  # type: ignore[no-untyped-call]
    return out


def through_shifted(net: nn.Sequential, x: Tensor, shift: Tensor) -> Tensor:
    """What an `mlp` makes of `(..., inputs)` if its first layer adds `shift` `(..., units)`."""
    first = net[0]
    assert isinstance(first, Dense)
    out: Tensor = net[1:](first.activate(first.linear(x) + shift))
    return out


def shifted(net: nn.Sequential, shift: Tensor) -> nn.Sequential:
    """A copy of an `mlp` whose first layer always adds `shift` `(units,)`."""
    net = copy.deepcopy(net)
    first = net[0]
    assert isinstance(first, Dense)
    with torch.no_grad():
        first.linear.bias.add_(shift)
    return net


def mlp(inputs: int, units: int, layers: int, outputs: int) -> nn.Sequential:
    """`layers` hidden layers of `units`, then a plain linear layer to `outputs`."""
    sizes = [inputs] + [units] * layers
    hidden = [Dense(a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True)]
    return nn.Sequential(*hidden, nn.Linear(units, outputs))


class GRUCell(nn.Module):
    """Normalised GRU whose input half can be computed for all steps at once.

    One bias-free linear layer on `[x, h]`, LayerNorm, then reset, candidate and update gates:
    `r = sigmoid(reset)`, `c = tanh(r * cand)`, `u = sigmoid(update - 1)`,
    `h' = u * c + (1 - u) * h`.

    Source: facts 1.2. The linear layer is kept as its two halves, which is the same function.
    Under mixed precision, products are rounded; what is kept from step to step is not.
    """

    def __init__(self, inputs: int, deter: int) -> None:
        super().__init__()
        bound = (inputs + deter) ** -0.5
        self.from_input = nn.Linear(inputs, 3 * deter, bias=False)
        self.from_deter = nn.Linear(deter, 3 * deter, bias=False)
        for half in (self.from_input, self.from_deter):
            nn.init.uniform_(half.weight, -bound, bound)
        self.norm = nn.LayerNorm(3 * deter)

    def gate(self, projected: Tensor, deter: Tensor) -> Tensor:
        """Next state `(B, H)` from the projected input `(B, 3 H)` and the state `(B, H)`."""
        gates = self.norm((projected + self.from_deter(deter)).to(deter.dtype))
        reset, candidate, update = gates.chunk(3, -1)
        candidate = torch.tanh(torch.sigmoid(reset) * candidate)
        return torch.lerp(deter, candidate, torch.sigmoid(update - 1))

    def forward(self, inputs: Tensor, deter: Tensor) -> Tensor:
        """Next state `(B, H)` from the input `(B, X)` and the state `(B, H)`."""
        return self.gate(self.from_input(inputs), deter)
