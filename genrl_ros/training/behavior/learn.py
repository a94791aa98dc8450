"""Learn the policy of one task in imagination, and write it as a bundle."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from genrl_ros.behavior import start_states
from genrl_ros.behavior.actor_critic import ActorCritic
from genrl_ros.behavior.matching import Matcher, target_features
from genrl_ros.config.learning import LearnConfig
from genrl_ros.data.store.replay import Replay
from genrl_ros.domains.base import IMAGE_SIZE
from genrl_ros.serving.policy.bundle import PolicyDescription, write_bundle
from genrl_ros.system.arrays import FloatArray
from genrl_ros.system.files import clean
from genrl_ros.training.behavior.export import export_policy
from genrl_ros.training.behavior.unfinished_learning import (
    Best,
    UnfinishedLearning,
    identity,
    place,
)
from genrl_ros.training.engine.curve import Curve
from genrl_ros.training.engine.fit import tensors
from genrl_ros.training.engine.guard import ROLLBACKS, Guard
from genrl_ros.training.engine.run import StoppedError
from genrl_ros.world_model.checkpoint import (
    CheckpointError,
    ModelCard,
    load_mfwm,
    weights_identity,
)
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.ranks import ALONE, Ranks
from genrl_ros.world_model.sequence import State

REPORT_EVERY = 10
SAVE_EVERY = 50


@dataclass(frozen=True)
class Progress:
    """How far learning is.

    Attributes:
        stage: `learning` or `exporting`.
        update: updates done.
        of: updates in all.
        imagined_return: mean return of the last imagined rollouts.
        updates_per_s: rate.
        remaining_s: seconds to go at that rate.
    """

    stage: str
    update: int
    of: int
    imagined_return: float
    updates_per_s: float
    remaining_s: float


@dataclass(frozen=True)
class LearnResult:
    """What came out: the bundle's folder, and what went into it."""

    bundle_path: Path
    updates: int
    imagined_return: float


def learn(
    mfwm_folder: Path,
    embedding: FloatArray,
    config: LearnConfig,
    out_dir: Path,
    task_id: str,
    prompt: str,
    on_progress: Callable[[Progress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    replay: Replay | None = None,
    ranks: Ranks = ALONE,
    export_early: bool = True,
    device: str = 'cpu',
) -> LearnResult:
    """Learn a policy for a prompt and export it to `out_dir/<task_id>`.

    Progress is kept in `out_dir/<task_id>.learning.safetensors`, from which an interrupted run of
    the same learning goes on, and as a curve in `out_dir/<task_id>.csv`. After an update whose
    gradient is not finite, or whose loss explodes, learning goes back to what that file keeps, and
    on from other start states.

    Args:
        mfwm_folder: the world model.
        embedding: `(D,)` of the prompt.
        config: how to learn.
        out_dir: where the bundle goes.
        task_id: name of the bundle's folder.
        prompt: the task in words.
        on_progress: called every ten updates.
        should_stop: asked after each update whether to end early.
        replay: recorded episodes to start from; data-free without them.
        ranks: the processes that learn together, each from its share of the start states.
        export_early: what ending early does: export the best policy so far, or save everything,
            for the same call to go on from there.
        device: what torch computes on.

    Raises:
        FileExistsError: if the bundle's folder exists already; nothing is touched.
        CheckpointError: if the world model cannot be used, or what was saved has vanished.
        OtherLearningError: if an interrupted learning of this name was of another prompt, model or
            configuration.
        StoppedError: if it ended early without an export; everything is saved.
        FloatingPointError: if learning fails again and again; what was saved before stays.
        ValueError: if the processes cannot share the start states, or there is no prior to learn
            with.
    """
    path = out_dir / task_id
    if path.exists():
        raise FileExistsError(
            f'{path} exists already, and a bundle is never overwritten: choose another name, or '
            'remove the folder'
        )
    share = ranks.share(config.starts, 'learning.starts')
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    model, card = load_mfwm(mfwm_folder)
    _check_prior(config, mfwm_folder, card)
    model.to(device)
    prompt_embedding = torch.from_numpy(embedding).to(device)
    agent = ActorCritic(model, prompt_embedding, config, ranks)
    target = target_features(model, prompt_embedding, config.starts, config.horizon + 1)
    target = target.contiguous()  # as it comes from the disk: sums in the same order
    curve, best = Curve(out_dir / f'{task_id}.csv', REPORT_EVERY), Best()
    kept = UnfinishedLearning(
        place(out_dir, task_id), identity(card, config, replay), embedding, agent, target, replay,
        curve, best, Guard(),
    )  # fmt: skip
    _begin(kept, ranks)
    updating = _Updating(model, kept, config, ranks, share, device)
    stopped = False
    began, begun = time.monotonic(), kept.updates
    while kept.updates < config.updates and not stopped:
        metrics = updating.update()
        if metrics is None:
            continue
        done = kept.updates
        best.see(metrics, agent.actor.state_dict)
        if ranks.first:
            curve.add(done, metrics, last=done == config.updates)
        if ranks.first and (done % REPORT_EVERY == 0 or done == config.updates):
            rate = (done - begun) / (time.monotonic() - began)
            left = (config.updates - done) / rate
            on_progress(Progress('learning', done, config.updates, best.smooth, rate, left))
        stopped = ranks.any(should_stop())
        keep = stopped and not export_early and done < config.updates
        if ranks.first and (done % SAVE_EVERY == 0 or keep):
            kept.save()
        if keep:
            ranks.wait()
            raise StoppedError(f'learning {task_id} after {done} of {config.updates} updates')
    if ranks.first:
        done = kept.updates
        on_progress(Progress('exporting', done, config.updates, best.smooth, 0.0, 0.0))
        if done < config.updates and best.weights:
            agent.actor.load_state_dict(best.weights)
        graphs = export_policy(mfwm_folder, model.cpu(), agent.actor.cpu())
        about = _describe(model, card, task_id, prompt, done, best.smooth)
        write_bundle(path, about, graphs)
        kept.path.unlink(missing_ok=True)
    ranks.wait()
    return LearnResult(path, kept.updates, best.smooth)


def _check_prior(config: LearnConfig, folder: Path, card: ModelCard) -> None:
    if config.prior > 0 and card.training.get('prior', {}).get('updates') == 0:
        raise ValueError(
            f'the action prior of {folder} was never trained, so nothing can stay near it: '
            'choose --learning.prior 0'
        )


def _begin(kept: UnfinishedLearning, ranks: Ranks) -> None:
    """Go on from the file, or write it, to have one to go back to."""
    kept.path.parent.mkdir(parents=True, exist_ok=True)
    if kept.path.exists():
        kept.load()
    elif ranks.first:
        kept.save()
    if ranks.world > 1:
        ranks.check_same('the weights', weights_identity(kept.agent))
    if ranks.first:
        clean(kept.path.parent, kept.path.stem)
        kept.curve.cut(kept.updates)
    ranks.wait()
    if not kept.path.exists():
        raise CheckpointError(f'{kept.path} is not there: all processes need the same folder')


class _Updating:
    """Updates from start states, and what follows one that fails."""

    def __init__(
        self,
        model: MFWM,
        kept: UnfinishedLearning,
        config: LearnConfig,
        ranks: Ranks,
        share: slice,
        device: str,
    ) -> None:
        self.model, self.kept, self.config, self.ranks = model, kept, config, ranks
        self.share, self.device = share, device
        targets = kept.target.to(device)[:, share]
        self.matcher = Matcher(model.tokenizer.decoder.project, targets, model.config.stoch)
        self.failures: list[int] = []
        """Updates that failed since the file was saved."""

    def update(self) -> dict[str, float] | None:
        """Metrics of one update; None if it failed, and learning is where the file was saved.

        Raises:
            FloatingPointError: after the third failure since then.
        """
        start = self._starts()
        mine = State(start.stoch[self.share], start.deter[self.share])
        update = self.kept.updates
        try:
            metrics = self.kept.agent.update(self.model, mine, self.matcher)
            self.kept.guard.check(metrics['critic_loss'])
        except FloatingPointError as error:
            self._go_back(update, str(error))
            return None
        return metrics

    def _starts(self) -> State:
        config, replay = self.config, self.kept.replay
        if replay is None:
            return start_states.data_free(
                self.model, self.kept.agent.act, config.starts, config.warmup_steps, config.dreamed
            )
        states = start_states.from_data(self.model, tensors(replay.sample(), self.device))
        chosen = torch.randperm(states.deter.shape[0])[: config.starts]
        return State(states.stoch[chosen], states.deter[chosen])

    def _go_back(self, update: int, error: str) -> None:
        """Return to the file, and go on from other start states, and other windows of a replay."""
        message = f'{self.kept.path.stem}, update {update}: {error}'
        if self.ranks.first:
            sys.stderr.write(f'{message}\n')
        if not self.kept.path.exists():
            raise CheckpointError(f'{message}; and {self.kept.path} has vanished')
        replay = self.kept.replay
        position = replay.state_dict() if replay is not None else {}
        self.kept.load()
        if replay is not None:
            replay.load_state_dict(position)
        self.failures = [failed for failed in self.failures if failed >= self.kept.updates]
        self.failures.append(update)
        if len(self.failures) >= ROLLBACKS:
            raise FloatingPointError(
                f'{message}. This is failure {ROLLBACKS} since {self.kept.path} was saved: remove '
                'that file to begin anew, with lower --learning.actor-lr and --learning.critic-lr'
            )
        torch.manual_seed(self.config.seed + len(self.failures))
        if self.ranks.first:
            self.kept.curve.cut(self.kept.updates)


def _describe(
    model: MFWM, card: ModelCard, task_id: str, prompt: str, updates: int, imagined_return: float
) -> PolicyDescription:
    spec, sizes = card.spec, model.config
    return PolicyDescription(
        domain=spec.name,
        task_id=task_id,
        prompt=prompt,
        image_size=IMAGE_SIZE,
        action_names=spec.action_names,
        action_scale=spec.action_scale,
        control_dt_s=spec.control_dt_s,
        action_repeat=spec.action_repeat,
        stoch=sizes.stoch,
        classes=sizes.classes,
        deter=sizes.deter,
        mfwm=card.sha256,
        updates=updates,
        imagined_return=imagined_return,
    )
