"""Losses as CUDA graphs: two launches in place of thousands, which small networks wait for."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from genrl_ros.training.engine.rng import rng_state, set_rng_state

Loss = Callable[[Mapping[str, Tensor]], tuple[Tensor, dict[str, Tensor]]]
"""Loss and metrics of a batch."""


class FlatLoss(nn.Module):
    """A loss from tensors to tensors, with the parameters that it depends on.

    Args:
        loss: what it computes.
        network: has the parameters.
        inputs: names of the tensors that it takes, in that order.
    """

    def __init__(self, loss: Loss, network: nn.Module, inputs: tuple[str, ...]) -> None:
        super().__init__()
        self.network, self.loss, self.inputs = network, loss, inputs
        self.outputs: tuple[str, ...] = ()

    def forward(self, *arrays: Tensor) -> tuple[Tensor, ...]:
        """The loss, and the metrics after it."""
        value, metrics = self.loss(dict(zip(self.inputs, arrays, strict=True)))
        self.outputs = tuple(metrics)
        return value, *(metric.detach() for metric in metrics.values())

    def arrays(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """What it takes of a batch, whose order does not matter."""
        return tuple(batch[name] for name in self.inputs)

    def named(self, outputs: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Tensor]]:
        """What it gave, as the loss gives it: metrics by name, and without gradients."""
        value, *metrics = outputs
        values = (metric.detach() for metric in metrics)
        return value, dict(zip(self.outputs, values, strict=True))


def graphed(loss: Loss, network: nn.Module, sample: Mapping[str, Tensor]) -> Loss:
    """The same loss, of which forward and backward pass are recorded once and replayed.

    Where they cannot be recorded, that is said, and the loss is given back as it is. Random
    numbers go on as if nothing had been.

    Args:
        loss: what to record; it must not look at numbers, nor bring any from the host. If it is
            computed in mixed precision, it says so itself: the backward pass is none of that.
        network: has the parameters that are trained.
        sample: a batch of the shapes that all will have, on a GPU.
    """
    gc.collect()  # an earlier stage's graph is in a cycle of references, with all its memory
    flat = FlatLoss(loss, network, tuple(sample))
    kept = rng_state()
    try:
        with torch.cuda.stream(torch.cuda.current_stream()):  # to which a failure returns, too
            run = torch.cuda.make_graphed_callables(
                flat, flat.arrays(sample), allow_unused_input=True
            )
    except (RuntimeError, AssertionError) as error:  # the latter from a torch without CUDA
        reason = str(error.__context__ or error).splitlines()[0]
        sys.stderr.write(f'no CUDA graph of the loss, which will be slower: {reason}\n')
        return loss
    finally:
        set_rng_state(kept)

    def replay(batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return flat.named(run(*flat.arrays(batch)))  # type: ignore[arg-type]

    return replay
