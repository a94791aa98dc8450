"""AdamW whose learning rate rises to a peak and falls again, over a number of steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR


class OneCycle:
    """AdamW with PyTorch's one-cycle schedule, which a checkpoint can hold.

    Attributes:
        done: steps done.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        peak: float,
        weight_decay: float,
        steps: int,
        rising: float = 0.3,
    ) -> None:
        """Start before the first step.

        Args:
            parameters: what is trained.
            peak: highest learning rate.
            weight_decay: decoupled weight decay.
            steps: number of steps in all.
            rising: share of the steps before the peak.
        """
        self._parameters = list(parameters)
        self._adam = AdamW(self._parameters, peak, weight_decay=weight_decay)
        self._schedule = OneCycleLR(self._adam, peak, steps, pct_start=rising)
        self.done = 0

    def step(self, loss: Tensor, clip: float | None = None) -> None:
        """Minimise the loss by one step, with a gradient whose norm is at most `clip`."""
        self._adam.zero_grad(set_to_none=True)
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(self._parameters, clip)
        self._adam.step()
        self._schedule.step()
        self.done += 1

    def state_dict(self) -> dict[str, Any]:
        """Steps done, moments and schedule."""
        state = self._adam.state_dict()
        (group,) = state['param_groups']
        return {
            'done': self.done,
            'moments': {str(index): each for index, each in state['state'].items()},
            'group': group,
            'schedule': self._schedule.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`; what else is in the state is passed over."""
        self.done = int(state['done'])
        moments = {int(index): each for index, each in state['moments'].items()}
        self._adam.load_state_dict({'state': moments, 'param_groups': [state['group']]})
        self._schedule.load_state_dict(dict(state['schedule']))
