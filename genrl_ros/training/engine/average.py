"""Exponential moving average of weights: steadier than the weights of any single update."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor


class Average:
    """Follows parameters; early on it forgets faster, so that it does not cling to the start.

    Args:
        parameters: what to follow.
        decay: share of the average that one update keeps; 0 averages nothing.
    """

    def __init__(self, parameters: list[Tensor], decay: float) -> None:
        self.parameters, self.decay = parameters, decay
        self.values = [parameter.detach().clone() for parameter in parameters] if decay else []

    @torch.no_grad()
    def follow(self, updates: int) -> None:
        """Take in the parameters as they are after `updates` updates."""
        if self.values:
            decay = min(self.decay, (1 + updates) / (10 + updates))
            torch._foreach_lerp_(self.values, self.parameters, 1 - decay)

    @torch.no_grad()
    def adopt(self) -> None:
        """Make the average the parameters."""
        if self.values:
            torch._foreach_copy_(self.parameters, self.values)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """While the block runs, the parameters are the average."""
        kept = [parameter.detach().clone() for parameter in self.parameters]
        self.adopt()
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self.parameters, kept)

    def state_dict(self) -> dict[str, Any]:
        """The averages, numbered."""
        return {str(index): value for index, value in enumerate(self.values)}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`; from the parameters if it is empty."""
        if self.values and state:
            torch._foreach_copy_(self.values, [state[str(i)] for i in range(len(self.values))])
        elif self.values:
            torch._foreach_copy_(self.values, self.parameters)
