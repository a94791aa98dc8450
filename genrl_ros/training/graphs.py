"""Losses as CUDA graphs: two launches in place of thousands, which small networks wait for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

Loss = Callable[[Mapping[str, Tensor]], tuple[Tensor, dict[str, Tensor]]]
"""Loss and metrics of a batch."""


class _Flat(nn.Module):
    """A loss from tensors to tensors, with the parameters that it depends on."""

    def __init__(self, loss: Loss, network: nn.Module, inputs: tuple[str, ...]) -> None:
        super().__init__()
        self.network, self.loss, self.inputs = network, loss, inputs
        self.outputs: tuple[str, ...] = ()

    def forward(self, *arrays: Tensor) -> tuple[Tensor, ...]:
        """The loss, and the metrics after it."""
        value, metrics = self.loss(dict(zip(self.inputs, arrays, strict=True)))
        self.outputs = tuple(metrics)
        return value, *(metric.detach() for metric in metrics.values())


def graphed(loss: Loss, network: nn.Module, sample: Mapping[str, Tensor]) -> Loss:
    """The same loss, of which forward and backward pass are recorded once and replayed.

    To be called in the context in which the loss is computed, and there without autocast's cache.
    Where a graph cannot be recorded, that is said, and the loss is given back as it is.

    Args:
        loss: what to record; it must not look at numbers, nor bring any from the host.
        network: has the parameters that are trained.
        sample: a batch of the shapes that all will have, on a GPU.
    """
    flat = _Flat(loss, network, tuple(sample))
    try:
        run = torch.cuda.make_graphed_callables(
            flat, tuple(sample.values()), allow_unused_input=True
        )
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        sys.stderr.write(f'no CUDA graph of the loss, which will be slower: {reason}\n')
        return loss

    def replay(batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        value, *metrics = run(*(batch[name] for name in sample))  # type: ignore[misc]
        return value, dict(zip(flat.outputs, metrics, strict=True))

    return replay
