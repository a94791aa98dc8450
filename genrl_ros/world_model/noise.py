"""Random numbers for a batch that may be shared by several processes.

Each process draws the numbers of the whole batch and keeps those of its own samples. So a sample
gets the same numbers however many processes there are, and the generators of all processes stay in
step: one saved state goes on with any number of them. Alone, it is plain torch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

_index, _of = 0, 1


@contextlib.contextmanager
def shared(index: int, of: int) -> Iterator[None]:
    """While the block runs, batches are the `index`-th of `of` equal shares."""
    global _index, _of
    before = _index, _of
    _index, _of = index, of
    try:
        yield
    finally:
        _index, _of = before


def uniform(shape: Sequence[int], like: Tensor, axis: int = 0) -> Tensor:
    """Numbers in [0, 1) for this process's share of a batch, which lies along `axis`.

    Args:
        shape: of this process's share.
        like: gives dtype and device.
        axis: which axis counts the samples.
    """
    return _draw(torch.rand, shape, like, axis)


def normal(shape: Sequence[int], like: Tensor, axis: int = 0) -> Tensor:
    """Standard normal numbers; arguments as for `uniform`."""
    return _draw(torch.randn, shape, like, axis)


def _draw(kind: Callable[..., Tensor], shape: Sequence[int], like: Tensor, axis: int) -> Tensor:
    whole = list(shape)
    whole[axis] *= _of
    numbers = kind(whole, dtype=like.dtype, device=like.device)
    return numbers if _of == 1 else numbers.narrow(axis, _index * shape[axis], shape[axis])
