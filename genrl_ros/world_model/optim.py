"""Adam with gradient clipping, the published kind of weight decay, and a schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from genrl_ros.config import OptimConfig


class Optimizer:
    """One Adam over a set of parameters.

    Weight decay removes a fixed share of every parameter at each step, whatever the learning rate
    (facts 1.5).
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], config: OptimConfig, total_updates: int
    ) -> None:
        self.parameters: list[Tensor] = list(parameters)
        self.config = config
        self.total_updates = total_updates
        self.updates = 0
        self.adam = torch.optim.Adam(self.parameters, lr=config.lr, eps=config.eps, fused=True)

    @property
    def lr(self) -> float:
        """Learning rate of the next update."""
        config = self.config
        warm = min(1.0, (self.updates + 1) / config.warmup) if config.warmup else 1.0
        done = min(1.0, self.updates / self.total_updates)
        cosine = 0.5 * (1 + math.cos(math.pi * done))
        return config.lr * warm * (config.final_lr + (1 - config.final_lr) * cosine)

    def step(self, loss: Tensor) -> float:
        """Minimise the loss by one step.

        Returns:
            The gradient's norm before clipping.

        Raises:
            FloatingPointError: if the gradient is not finite; parameters stay as they are.
        """
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.clip, foreach=True).item()
        if not math.isfinite(norm):
            raise FloatingPointError(
                f'update {self.updates}: the gradient is not finite (loss {loss.item()})'
            )
        for group in self.adam.param_groups:
            group['lr'] = self.lr
        with torch.no_grad():
            torch._foreach_mul_(self.parameters, 1 - self.config.weight_decay)
        self.adam.step()
        self.updates += 1
        return norm

    def state_dict(self) -> dict[str, Any]:
        """Moments and the number of updates done."""
        return {'updates': self.updates, 'adam': self.adam.state_dict()['state']}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.updates = int(state['updates'])
        groups = self.adam.state_dict()['param_groups']
        moments = {int(k): v for k, v in state['adam'].items()}
        self.adam.load_state_dict({'state': moments, 'param_groups': groups})
