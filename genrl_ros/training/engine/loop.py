"""The one training loop: updates in, checkpoints and a curve out, resumable at any moment."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from genrl_ros.system.files import write_json
from genrl_ros.training.engine.checkpoints import Checkpoints, OtherTrainingError, changed_settings
from genrl_ros.training.engine.curve import Curve
from genrl_ros.training.engine.guard import ROLLBACKS, Guard
from genrl_ros.training.engine.rng import rng_state, set_rng_state
from genrl_ros.training.engine.run import Progress, Run, StoppedError
from genrl_ros.training.engine.watch import Watch
from genrl_ros.world_model.checkpoint import CheckpointError

Metrics = dict[str, float]


class Training(ABC):
    """What is trained: how it moves on, and what a checkpoint has to hold of it.

    Args:
        name: of the files: the checkpoint is `<name>.safetensors`.
        updates: how many there are in all.
        settings: what the result depends on, apart from the number of updates; what JSON can hold.
        built_on: identity of what it is trained on top of, such as an earlier stage's.
        title: in words, for messages; the name unless given.
        curve: the curve is `<curve>.csv`; the name unless given.

    Attributes:
        guard: of the losses; `update` asks it.
        reading: what is open to be read from, if anything.
    """

    def __init__(
        self,
        name: str,
        updates: int,
        settings: Mapping[str, Any],
        built_on: str = '',
        title: str = '',
        curve: str = '',
    ) -> None:
        self.name, self.updates, self.settings = name, updates, settings
        self.built_on, self.title, self.curve = built_on, title or name, curve or name
        self.guard = Guard()
        self.reading = contextlib.ExitStack()

    @property
    @abstractmethod
    def done(self) -> int:
        """Updates done."""

    @abstractmethod
    def update(self) -> Metrics:
        """One update; gives its metrics, means of all processes.

        Raises:
            FloatingPointError: if loss or gradient is not finite, or the loss explodes. The loop
                goes back to the last checkpoint then.
        """

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """All that it needs to go on; torch's random numbers, curve and guard aside."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`."""

    def differences(self, state: Mapping[str, Any]) -> list[str]:
        """In which settings a checkpoint is of another training, in words."""
        return changed_settings(state.get('settings', {}), self.settings)

    def identities(self) -> Mapping[str, str]:
        """What must be the same in all processes before the first update, by name."""
        return {}

    def cause(self) -> dict[str, Any]:
        """What the last update was made from, to be listed if it failed."""
        return {}

    @abstractmethod
    def pass_over(self, failures: Sequence[Mapping[str, Any]]) -> None:
        """Keep the updates from failing in the same way, after the return to a checkpoint.

        Args:
            failures: since that checkpoint, with the fields of `cause`.
        """

    def shown(self) -> contextlib.AbstractContextManager[None]:
        """A block in which it is as pictures show it."""
        return contextlib.nullcontext()

    def close(self) -> None:
        """Let go of what it reads from; `update` may follow all the same."""
        self.reading.close()


def train(training: Training, run: Run) -> None:
    """Do the updates that are not done yet, continuing where an earlier call stopped.

    A training that is finished, but on top of something that has changed since, begins anew. One
    that was begun with other settings is refused; a checkpoint without a record is accepted.
    After an update that fails, training goes back to the last checkpoint and does not repeat what
    made it fail. Failures that have a cause are listed in `<name>.failures.json`.

    Args:
        training: what to train.
        run: where and how.

    Raises:
        StoppedError: if `run.should_stop` said so; everything is saved.
        FloatingPointError: if training fails again and again; the last checkpoint stays.
        OtherTrainingError: if the checkpoints cannot be read, or are of other settings.
        CheckpointError: if a checkpoint cannot be written, or has vanished.
        ValueError: if the processes do not train the same thing.
    """
    loop = _Loop(training, run)
    try:
        loop.resume()
        while not loop.advance():
            loop.go_back()
    finally:
        training.close()


class _Loop:
    """A training on its way, with what is saved beside it."""

    def __init__(self, training: Training, run: Run) -> None:
        self.training, self.run = training, run
        self.checkpoints = Checkpoints(run.folder, training.name, run.record.keep)
        self.curve = Curve(run.folder / f'{training.curve}.csv', run.record.report_every)
        self.failures: list[dict[str, Any]] = []
        """Since the last checkpoint."""

    def resume(self) -> None:
        """Load the newest checkpoint; write one where there is none, to have one to go back to."""
        training, ranks = self.training, self.run.ranks
        self.run.folder.mkdir(parents=True, exist_ok=True)
        if ranks.first:
            self.checkpoints.clean()
        found = self.checkpoints.load()
        if found is not None and self._is_outdated(found):
            if ranks.first:
                sys.stderr.write(
                    f'{training.title}: what it builds on has changed; it begins anew\n'
                )
                self.checkpoints.set_aside()
            found = None
        if found is not None:
            self._check(found)
            self._load(found)
        if ranks.first:
            self.curve.cut(training.done)
        if ranks.world > 1:
            for what, value in training.identities().items():
                ranks.check_same(what, value)
        if found is None:
            self._save()
            if not self.checkpoints.newest.exists():
                raise CheckpointError(
                    f'{self.checkpoints.newest} is not there: all processes need the same folder'
                )

    def advance(self) -> bool:
        """Train until the end (True) or until an update fails (False)."""
        training, run = self.training, self.run
        began, begun = time.monotonic(), training.done
        with contextlib.closing(Watch(run, training.name, begun)) as watch:
            while training.done < training.updates:
                update = training.done
                try:
                    metrics = training.update()
                except FloatingPointError as error:
                    failure = {'update': update, 'error': str(error), **training.cause()}
                    self.failures.append(failure)
                    return False
                done, last = training.done, training.done == training.updates
                means = self.curve.add(done, metrics, last) if run.ranks.first else {}
                if means:
                    rate = (done - begun) / (time.monotonic() - began)
                    watch.report(done, means, rate)
                    run.on_progress(Progress(training.name, done, training.updates, rate, means))
                if watch.is_due(done):
                    self._draw(watch)
                stopping = run.ranks.any(run.should_stop())
                if done % run.record.save_every == 0 or last or stopping:
                    self._save()
                if stopping and not last:
                    raise StoppedError(
                        f'{training.title} after {done} of {training.updates} updates'
                    )
        return True

    def go_back(self) -> None:
        """Return to the last checkpoint, and pass over what made the update fail.

        Raises:
            FloatingPointError: after the third failure since that checkpoint.
        """
        failure, newest = self.failures[-1], self.checkpoints.newest
        cause = {name: failure[name] for name in failure if name not in ('update', 'error')}
        message = f'{self.training.title}, update {failure["update"]}: {failure["error"]}'
        message += ''.join(f'; {name} {value}' for name, value in cause.items())
        if self.run.ranks.first:
            sys.stderr.write(f'{message}\n')
            if cause:
                self._list(failure)
        if len(self.failures) >= ROLLBACKS:
            raise FloatingPointError(
                f'{message}. This is failure {len(self.failures)} since the last checkpoint, '
                f'{newest}: go back to an older one, if there is one beside it, or remove it to '
                'begin anew with a lower learning rate'
            )
        state = self.checkpoints.load()
        if state is None:
            raise CheckpointError(f'{message}; and {newest} has vanished')
        self._load(state)
        self.training.pass_over(self.failures)
        if self.run.ranks.first:
            self.curve.cut(self.training.done)

    def _list(self, failure: dict[str, Any]) -> None:
        path = self.run.folder / f'{self.training.name}.failures.json'
        known = json.loads(path.read_text()) if path.exists() else []
        if failure not in known:
            write_json(path, [*known, failure])

    def _draw(self, watch: Watch) -> None:
        """Draw; training goes on as if nothing had been."""
        kept = rng_state()
        with self.training.shown():
            watch.draw(self.training.done)
        set_rng_state(kept)

    def _is_outdated(self, state: Mapping[str, Any]) -> bool:
        """Whether a training was finished on top of something else."""
        training = self.training
        if state.get('built_on', training.built_on) == training.built_on:
            return False
        # Checkpoints of earlier releases have the number of updates in their optimiser alone.
        done = state['updates'] if 'updates' in state else state['optimizer']['updates']
        return int(done) >= training.updates

    def _check(self, state: Mapping[str, Any]) -> None:
        if changed := self.training.differences(state):
            raise OtherTrainingError(
                f'{self.checkpoints.newest} is of other settings ({"; ".join(changed)}): ask for '
                'those, choose another folder (--run) or name, or remove the file to begin anew'
            )

    def _save(self) -> None:
        if self.run.ranks.first:
            common = {
                'updates': self.training.done,
                'rng': rng_state(),
                'curve': self.curve.state_dict(),
                'guard': self.training.guard.state(),
                'built_on': self.training.built_on,
                'settings': self.training.settings,
            }
            self.checkpoints.save(self.training.done, self.training.state_dict() | common)
        self.run.ranks.wait()
        self.failures = []

    def _load(self, state: Mapping[str, Any]) -> None:
        try:
            self.training.load_state_dict(state)
        except (KeyError, RuntimeError, ValueError) as error:
            raise OtherTrainingError(
                f'{self.checkpoints.newest} is of another model or preset; choose another folder '
                f'with --run, or remove {self.training.name}*.safetensors '
                f'({str(error).splitlines()[0]})'
            ) from error
        set_rng_state(state['rng'])
        self.curve.load_state_dict(state.get('curve', {}))
        self.training.guard.load(state.get('guard', []))
