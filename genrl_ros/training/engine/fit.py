"""The one training loop: batches in, checkpoints and a curve out, resumable at any moment."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from genrl_ros.config.training import OptimConfig
from genrl_ros.data.store.prefetch import Batch, Prefetch
from genrl_ros.data.store.replay import Source
from genrl_ros.system.files import write_json
from genrl_ros.training.engine.checkpoints import Checkpoints
from genrl_ros.training.engine.curve import Curve
from genrl_ros.training.engine.graphs import Loss, graphed
from genrl_ros.training.engine.guard import ROLLBACKS, Guard
from genrl_ros.training.engine.run import Progress, Run, StoppedError
from genrl_ros.training.engine.watch import Watch
from genrl_ros.world_model.checkpoint import (
    CheckpointError,
    rng_state,
    set_rng_state,
    weights_identity,
)
from genrl_ros.world_model.optim import Optimizer


def tensors(batch: Mapping[str, Any], device: str | torch.device) -> dict[str, Tensor]:
    """A batch of arrays as tensors; on the same memory, where the device has it."""
    return {
        name: torch.from_numpy(array).to(device, non_blocking=True)
        for name, array in batch.items()
    }


def fit(
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
    """Train a network, continuing where an earlier run in the same folder stopped.

    A training that is finished, but on top of something that has changed since, begins anew. One
    that was begun with other settings is refused; checkpoints without a record are taken up.
    In the end the network has the moving average of its weights, if `optim` asks for one.
    An update whose loss or gradient is not finite, or whose loss explodes, is not made: training
    goes back to the last checkpoint and passes over the batch that did it. Such batches are listed
    in `<stage>.failures.json`.

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
        StoppedError: if `run.should_stop` said so; everything is saved.
        FloatingPointError: if training fails again and again; the last checkpoint stays.
        CheckpointError: if a checkpoint cannot be read or written, or is of other settings.
        ValueError: if the processes cannot share the batch, or do not train the same thing.
    """
    training = _Training(stage, network, loss, replay, updates, optim, run, built_on, settings)
    training.resume()
    while not training.advance():
        training.go_back()
    training.optimizer.average.adopt()


class _Training:
    """A stage's training: what a checkpoint holds, and how it moves on."""

    def __init__(
        self,
        stage: str,
        network: nn.Module,
        loss: Loss,
        replay: Source[Any],
        updates: int,
        optim: OptimConfig,
        run: Run,
        built_on: str,
        settings: Mapping[str, Any] | None,
    ) -> None:
        self.stage, self.network, self.loss, self.replay = stage, network, loss, replay
        self.updates, self.run, self.built_on = updates, run, built_on
        self.settings = {**(settings or {}), **replay.origin}
        self.optimizer = Optimizer(network.parameters(), optim, updates, run.ranks)
        self.share = run.ranks.share(replay.batch, f'the batch of {stage}')
        self.checkpoints = Checkpoints(run.folder, stage, run.record.keep)
        self.curve = Curve(run.folder / f'{stage}.csv', run.record.report_every)
        self.guard = Guard()
        self.compute: Loss | None = None
        self.position: Mapping[str, Any] = replay.state_dict()
        self.skipped: list[int] = []
        self.failures: list[dict[str, Any]] = []
        """Since the last checkpoint."""

    def resume(self) -> None:
        """Load the newest checkpoint; write one where there is none, to have one to go back to."""
        self.run.folder.mkdir(parents=True, exist_ok=True)
        first = self.run.ranks.first
        if first:
            self.checkpoints.clean()
        found = self.checkpoints.load()
        if found is not None and self._is_outdated(found):
            if first:
                sys.stderr.write(f'{self.stage}: what it builds on has changed; it begins anew\n')
                self.checkpoints.set_aside()
            found = None
        if found is not None:
            self.checkpoints.check_settings(found.get('settings', {}), self.settings)
            self._load(found)
        if first:
            self.curve.cut(self.optimizer.updates)
        if self.run.ranks.world > 1:
            self.run.ranks.check_same('the weights', weights_identity(self.network))
            self.run.ranks.check_same('the episodes', self.replay.identity)
        if found is None:
            self._save()

    def go_back(self) -> None:
        """Return to the last checkpoint, and pass over the batch that failed.

        Raises:
            FloatingPointError: after the third failure since that checkpoint.
        """
        failure = self.failures[-1]
        message = (
            f'{self.stage}, update {failure["update"]}: {failure["error"]}; batch '
            f'{failure["batch"]}, windows {failure["windows"]}'
        )
        if self.run.ranks.first:
            sys.stderr.write(f'{message}\n')
            self._list(failure)
        if len(self.failures) >= ROLLBACKS:
            raise FloatingPointError(
                f'{message}. This is failure {len(self.failures)} since the last checkpoint, '
                f'{self.checkpoints.newest}: look at these windows, go back to an older '
                'checkpoint beside it, or begin anew with a lower learning rate'
            )
        state = self.checkpoints.load()
        if state is None:
            raise CheckpointError(f'{self.checkpoints.newest} has vanished')
        self._load(state)
        self.skipped += [each['batch'] for each in self.failures]
        if self.run.ranks.first:
            self.curve.cut(self.optimizer.updates)

    def advance(self) -> bool:
        """Train until the end (True) or until an update fails (False)."""
        record, optimizer = self.run.record, self.optimizer
        began, begun = time.monotonic(), optimizer.updates
        with (
            contextlib.closing(Watch(self.run, self.stage, begun)) as watch,
            Prefetch(self.replay, self.share, frozenset(self.skipped)) as batches,
        ):
            while optimizer.updates < self.updates:
                batch = batches.take()
                try:
                    metrics, stopping = self._update(batch)
                except FloatingPointError as error:
                    self._note(batch, str(error))
                    return False
                self.position = batch.position
                done, last = optimizer.updates, optimizer.updates == self.updates
                if self.run.ranks.first:
                    means = self.curve.add(done, metrics, last)
                    if means:
                        rate = (done - begun) / (time.monotonic() - began)
                        watch.report(done, means, rate)
                        self.run.on_progress(Progress(self.stage, done, self.updates, rate, means))
                if watch.is_due(done):
                    self._draw(watch)
                if done % record.save_every == 0 or last or stopping:
                    self._save()
                if stopping and not last:
                    raise StoppedError(f'{self.stage} after {done} of {self.updates} updates')
        return True

    def _update(self, batch: Batch) -> tuple[dict[str, float], bool]:
        """One update; gives the metrics of the whole batch, and whether to stop."""
        arrays = tensors(batch.arrays, self.run.device)
        if self.compute is None:
            on_gpu = self.run.device == 'cuda'
            self.compute = graphed(self._loss, self.network, arrays) if on_gpu else self._loss
        value, metrics = self.compute(arrays)
        stop = value.new_tensor(float(self.run.should_stop()))
        numbers = torch.stack([value.detach(), stop, *metrics.values()])
        self.run.ranks.average_([numbers])
        total, stopping, *means = numbers.tolist()
        self.guard.check(total)
        norm = self.optimizer.step(value)
        return dict(zip(metrics, means, strict=True)) | {'grad_norm': norm}, stopping > 0

    def _loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        with self.run.ranks.sharing(), self.run.computing():
            return self.loss(batch)

    def _note(self, batch: Batch, error: str) -> None:
        windows = [list(window) for window in batch.windows]
        self.failures.append(
            {
                'update': self.optimizer.updates,
                'batch': batch.number,
                'error': error,
                'windows': windows,
            }
        )

    def _list(self, failure: dict[str, Any]) -> None:
        path = self.run.folder / f'{self.stage}.failures.json'
        known = json.loads(path.read_text()) if path.exists() else []
        if failure not in known:
            write_json(path, [*known, failure])

    def _draw(self, watch: Watch) -> None:
        """Draw with the averaged weights; training goes on as if nothing had been."""
        kept, mode = rng_state(), self.network.training
        with self.optimizer.average.applied():
            watch.draw(self.optimizer.updates)
        self.network.train(mode)
        set_rng_state(kept)

    def _is_outdated(self, state: Mapping[str, Any]) -> bool:
        """Whether a training was finished on top of something else."""
        finished = int(state['optimizer']['updates']) >= self.updates
        return finished and state.get('built_on', self.built_on) != self.built_on

    def _save(self) -> None:
        if self.run.ranks.first:
            self.checkpoints.save(
                self.optimizer.updates,
                {
                    'network': self.network.state_dict(),
                    'optimizer': self.optimizer.state_dict(),
                    'replay': self.position,
                    'rng': rng_state(),
                    'curve': self.curve.state_dict(),
                    'guard': self.guard.state(),
                    'skipped': self.skipped,
                    'built_on': self.built_on,
                    'settings': self.settings,
                },
            )
        self.run.ranks.wait()
        self.failures = []

    def _load(self, state: Mapping[str, Any]) -> None:
        try:
            self.network.load_state_dict(state['network'])
            self.optimizer.load_state_dict(state['optimizer'])
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(
                f'{self.checkpoints.newest} is of another model or preset; choose another folder '
                f'with --run, or remove {self.stage}*.safetensors ({str(error).splitlines()[0]})'
            ) from error
        self.replay.load_state_dict(state['replay'])
        self.position = state['replay']
        set_rng_state(state['rng'])
        self.curve.load_state_dict(state.get('curve', {}))
        self.guard.load(state.get('guard', []))
        self.skipped = list(state.get('skipped', []))
