"""One training on several processes, as `torchrun` starts them, or on one alone.

Every process draws the same global batch and works on its share; gradients are averaged, so all
hold the same weights at all times. The first one writes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from genrl_ros.world_model import noise

PATIENCE = timedelta(minutes=60)
"""How long a process waits for the others; reports and pictures are made by one of them."""


class RankLostError(ConnectionError):
    """Another process of this training has failed."""


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is.

    Attributes:
        rank: number of this process, from 0.
        world: how many there are.
    """

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def share(self, count: int, what: str) -> slice:
        """This process's part of `count` things.

        Raises:
            ValueError: naming them, if they cannot be shared equally.
        """
        if count % self.world:
            raise ValueError(f'{what} ({count}) must be a multiple of the {self.world} processes')
        size = count // self.world
        return slice(self.rank * size, (self.rank + 1) * size)

    def deal(self, names: Sequence[str]) -> list[str]:
        """This process's part of any number of things, such as episodes to encode."""
        return list(names[self.rank :: self.world])

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the processes, in one message."""
        if self.world == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        with _lost():
            dist.all_reduce(flat)
        flat /= self.world
        parts = flat.split([tensor.numel() for tensor in tensors])
        torch._foreach_copy_(
            list(tensors), [p.view_as(t) for p, t in zip(parts, tensors, strict=True)]
        )

    def gather(self, x: Tensor, axis: int = 0) -> Tensor:
        """The shares `x` of all processes, joined along an axis; without gradient."""
        if self.world == 1:
            return x.detach()
        parts = [torch.empty_like(x) for _ in range(self.world)]
        with _lost():
            dist.all_gather(parts, x.detach().contiguous())
        return torch.cat(parts, axis)

    def any(self, flag: bool) -> bool:
        """Whether a flag is set in any of the processes."""
        flags = torch.tensor([float(flag)])
        self.average_([flags])
        return flags.item() > 0

    def check_same(self, what: str, value: str) -> None:
        """Make sure that something is the same in all processes.

        Raises:
            ValueError: naming it, if it is not.
        """
        if self.world == 1:
            return
        values: list[str | None] = [None] * self.world
        with _lost():
            dist.all_gather_object(values, value)
        if len(set(values)) > 1:
            raise ValueError(
                f'{what} must be the same in all {self.world} processes, but is not: they need '
                f'the same arguments, data set and folder of the run'
            )

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.world > 1:
            with _lost():
                dist.barrier()

    @contextlib.contextmanager
    def sharing(self) -> Iterator[None]:
        """While the block runs, random numbers are for this process's share of a batch."""
        with noise.shared(self.rank, self.world):
            yield


ALONE = Ranks()


@contextlib.contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """The processes that `torchrun` started, or this one alone; they part when the block ends.

    Args:
        device: `cpu` (over gloo) or `cuda` (over NCCL, each process on a GPU of its own).

    Raises:
        RankLostError: if the others do not come.
    """
    world = int(os.environ.get('WORLD_SIZE', '1'))
    if world == 1:
        yield ALONE
        return
    if device.startswith('cuda'):
        torch.cuda.set_device(int(os.environ.get('LOCAL_RANK', '0')))
    with _lost():
        backend = 'cpu:gloo,cuda:nccl' if device.startswith('cuda') else 'gloo'
        meeting = dist.rendezvous('env://', timeout=PATIENCE)  # type: ignore[attr-defined]
        store, rank, _ = next(meeting)
        if os.environ.get('GROUP_WORLD_SIZE') == '1':
            # The store of a torchrun outlives a restart (torch 2.13), and so do addresses in it.
            attempt = os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')
            store = dist.PrefixStore(f'attempt {attempt}', store)  # type: ignore[attr-defined]
        dist.init_process_group(
            backend, store=store, rank=rank, world_size=world, timeout=PATIENCE
        )
    try:
        yield Ranks(dist.get_rank(), world)
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def _lost() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise RankLostError(
            'another process of this training has failed, so this one ends too; what went wrong '
            f'is in the message of that one ({str(error).splitlines()[0]})'
        ) from error
