"""Torch's random numbers, to go on with as if nothing had been."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def rng_state() -> dict[str, Any]:
    """State of torch's random numbers, on the processor and on the GPU in use."""
    state = {'torch': torch.get_rng_state()}
    if torch.cuda.is_initialized():
        state['cuda'] = torch.cuda.get_rng_state()
    return state


def set_rng_state(state: Mapping[str, Any]) -> None:
    """Continue torch's random numbers from `rng_state`."""
    torch.set_rng_state(state['torch'])
    if 'cuda' in state and torch.cuda.is_initialized():
        torch.cuda.set_rng_state(state['cuda'])
