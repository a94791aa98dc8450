"""Adam with gradient clipping, the published kind of weight decay, and a schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from genrl_ros.config.training import OptimConfig
from genrl_ros.training.engine.average import Average
from genrl_ros.world_model.ranks import ALONE, Ranks


class Optimizer:
    """One Adam over a set of parameters, in step with the other processes of the training.

    Weight decay removes a fixed share of every parameter at each step, whatever the learning rate
    (facts 1.5). AdamW removes `lr` times its own weight decay in the pass that updates the
    parameter, hence the division below.

    Attributes:
        average: moving average of the parameters.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        config: OptimConfig,
        total_updates: int,
        ranks: Ranks = ALONE,
    ) -> None:
        self.parameters: list[Tensor] = list(parameters)
        self.config = config
        self.total_updates = total_updates
        self.ranks = ranks
        self.updates = 0
        self.average = Average(self.parameters, config.ema)
        self.adam = torch.optim.AdamW(self.parameters, lr=config.lr, eps=config.eps, fused=True)

    @property
    def lr(self) -> float:
        """Learning rate of the next update."""
        config = self.config
        warm = min(1.0, (self.updates + 1) / config.warmup) if config.warmup else 1.0
        done = min(1.0, self.updates / self.total_updates)
        cosine = 0.5 * (1 + math.cos(math.pi * done))
        return config.lr * warm * (config.final_lr + (1 - config.final_lr) * cosine)

    def step(self, loss: Tensor) -> float:
        """Minimise the loss, or the mean of all processes' losses, by one step.

        Returns:
            The gradient's norm before clipping.

        Raises:
            FloatingPointError: if the gradient is not finite; parameters stay as they are.
        """
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        return self.apply()

    def apply(self) -> float:
        """One step with the gradients that are there; returns and raises as `step` does."""
        grads = [p.grad for p in self.parameters if p.grad is not None]
        self.ranks.average_(grads)
        norm = nn.utils.get_total_norm(grads, foreach=True).item()
        if not math.isfinite(norm):
            raise FloatingPointError('the gradient is not finite')
        for group in self.adam.param_groups:
            group['lr'] = self.lr
            group['weight_decay'] = self.config.weight_decay / self.lr
        if norm > self.config.clip:
            torch._foreach_mul_(grads, self.config.clip / norm)
        self.adam.step()
        self.updates += 1
        self.average.follow(self.updates)
        return norm

    def state_dict(self) -> dict[str, Any]:
        """Moments, moving average and the number of updates done."""
        return {
            'updates': self.updates,
            'adam': self.adam.state_dict()['state'],
            'average': self.average.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`, to be called when the parameters are loaded.

        A state without a moving average starts it from the parameters.
        """
        self.updates = int(state['updates'])
        groups = self.adam.state_dict()['param_groups']
        moments = {int(k): v for k, v in state['adam'].items()}
        self.adam.load_state_dict({'state': moments, 'param_groups': groups})
        self.average.load_state_dict(state.get('average', {}))
