"""Trains a network on batches of recorded episodes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from genrl_ros.config.training import OptimConfig
from genrl_ros.data.store.prefetch import Batch, Prefetch
from genrl_ros.data.store.replay import Source
from genrl_ros.training.engine.graphs import Loss, graphed
from genrl_ros.training.engine.loop import Metrics, Training, train
from genrl_ros.training.engine.optim import Optimizer
from genrl_ros.training.engine.run import Run
from genrl_ros.world_model.checkpoint import weights_identity


def tensors(batch: Mapping[str, Any], device: str | torch.device) -> dict[str, Tensor]:
    """A batch of arrays as tensors; on the same memory, where the device has it."""
    return {
        name: torch.from_numpy(array).to(device, non_blocking=True)
        for name, array in batch.items()
    }


def fit(training: NetworkTraining) -> None:
    """Train a network, continuing where an earlier run in the same folder stopped.

    See `loop.train`. In the end the network has the moving average of its weights, if `optim` asks
    for one. Training passes over a batch whose loss or gradient is not finite, or whose loss
    explodes.

    Raises:
        StoppedError: if `run.should_stop` said so; everything is saved.
        FloatingPointError: if training fails again and again; the last checkpoint stays.
        CheckpointError: if a checkpoint cannot be read or written, or is of other settings.
        ValueError: if the processes do not train the same thing.
    """
    train(training, training.run)
    training.optimizer.average.adopt()


class NetworkTraining(Training):
    """A network, its loss, and the batches that it is trained with.

    Args:
        stage: names the checkpoint `<stage>.safetensors` and the curve `<stage>.csv`.
        network: what is trained, and saved.
        loss: loss and metrics of a batch, all of them means over its samples.
        replay: source of batches.
        updates: number of updates in all.
        optim: optimiser settings.
        run: where and how.
        built_on: identity of what the network is trained on top of, such as an earlier stage's.
        settings: what else its result depends on, apart from the number of updates; what JSON can
            hold.

    Raises:
        ValueError: if the processes cannot share the batch.
    """

    def __init__(
        self,
        stage: str,
        network: nn.Module,
        loss: Loss,
        replay: Source[Any],
        updates: int,
        optim: OptimConfig,
        run: Run,
        built_on: str = '',
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(stage, updates, {**(settings or {}), **replay.origin}, built_on)
        self.network, self.loss, self.replay, self.run = network, loss, replay, run
        self.optimizer = Optimizer(network.parameters(), optim, updates, run.ranks)
        self.share = run.ranks.share(replay.batch, f'the batch of {stage}')
        self.position: Mapping[str, Any] = replay.state_dict()
        self.skipped: list[int] = []
        self._compute: Loss | None = None
        self._batches: Prefetch | None = None
        self._batch: Batch | None = None

    @property
    def done(self) -> int:
        """Updates done."""
        return self.optimizer.updates

    def update(self) -> Metrics:
        """One update with the next batch."""
        if self._batches is None:
            self._batches = self.reading.enter_context(
                Prefetch(self.replay, self.share, frozenset(self.skipped))
            )
        self._batch = batch = self._batches.take()
        arrays = tensors(batch.arrays, self.run.device)
        if self._compute is None:
            on_gpu = self.run.device == 'cuda'
            self._compute = graphed(self._loss, self.network, arrays) if on_gpu else self._loss
        value, metrics = self._compute(arrays)
        numbers = torch.stack([value.detach(), *metrics.values()])
        self.run.ranks.average_([numbers])
        total, *means = numbers.tolist()
        self.guard.check(total)
        norm = self.optimizer.step(value)
        self.position = batch.position
        return dict(zip(metrics, means, strict=True)) | {'grad_norm': norm}

    def state_dict(self) -> dict[str, Any]:
        """Network, optimiser, and where among the batches it is."""
        return {
            'network': self.network.state_dict(),
            'optimizer': self.optimizer.state_dict(),
            'replay': self.position,
            'skipped': self.skipped,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.close()
        self.network.load_state_dict(state['network'])
        self.optimizer.load_state_dict(state['optimizer'])
        self.replay.load_state_dict(state['replay'])
        self.position = state['replay']
        self.skipped = list(state.get('skipped', []))

    def identities(self) -> Mapping[str, str]:
        """The weights, and the episodes that are drawn from."""
        return {
            'the weights': weights_identity(self.network),
            'the episodes': self.replay.identity,
        }

    def cause(self) -> dict[str, Any]:
        """Number of the last batch, and where its parts begin: episodes and frames."""
        assert self._batch is not None
        windows = [list(window[:2]) for window in self._batch.windows]
        return {'batch': self._batch.number, 'windows': windows}

    def pass_over(self, failures: Sequence[Mapping[str, Any]]) -> None:
        """Leave out the batches that failed."""
        self.skipped += [each['batch'] for each in failures]

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """A block in which the network has the average of its weights."""
        mode = self.network.training
        with self.optimizer.average.applied():
            yield
        self.network.train(mode)

    def close(self) -> None:
        """Forget what was read ahead."""
        super().close()
        self._batches = None

    def _loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        with self.run.ranks.sharing(), self.run.computing():
            return self.loss(batch)
