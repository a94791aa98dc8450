"""Learn the policy of one task in imagination, and write it as a bundle."""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genrl_ros.behavior import start_states
from genrl_ros.behavior.actor_critic import ActorCritic
from genrl_ros.behavior.matching import Matcher, target_features
from genrl_ros.config import LearnConfig
from genrl_ros.data.replay import Replay
from genrl_ros.serving.bundle import PolicyDescription, write_bundle
from genrl_ros.training.curve import Curve
from genrl_ros.training.export import export_policy
from genrl_ros.training.fit import tensors
from genrl_ros.training.guard import Guard
from genrl_ros.training.run import StoppedError
from genrl_ros.types import FloatArray
from genrl_ros.world_model.checkpoint import (
    CheckpointError,
    ModelCard,
    load_mfwm,
    load_state,
    read_card,
    rng_state,
    save_state,
    set_rng_state,
)
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.ranks import ALONE, Ranks
from genrl_ros.world_model.sequence import State

REPORT_EVERY = 10
SAVE_EVERY = 50
SAME_PROMPT = 0.9999
"""Least cosine of a prompt's embedding with itself: with other threads, its last bits differ."""


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


class _Best:
    """Keeps the actor with the highest smoothed imagined reward, and the smoothed return."""

    def __init__(self) -> None:
        self.average: float | None = None
        self.highest = -np.inf
        self.smooth = 0.0
        self.weights: dict[str, torch.Tensor] = {}

    def see(
        self, metrics: Mapping[str, float], weights: Callable[[], dict[str, torch.Tensor]]
    ) -> None:
        reward, value = metrics['reward'], metrics['return']
        self.smooth = value if self.average is None else 0.9 * self.smooth + 0.1 * value
        self.average = reward if self.average is None else 0.95 * self.average + 0.05 * reward
        if self.average > self.highest:
            self.highest = self.average
            self.weights = copy.deepcopy(weights())

    def state_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)


@dataclass
class _Kept:
    """What a learning's file holds."""

    path: Path
    identity: str
    embedding: FloatArray
    agent: ActorCritic
    guard: Guard
    target: torch.Tensor
    best: _Best
    curve: Curve
    replay: Replay | None

    def save(self) -> None:
        save_state(
            self.path,
            {
                'identity': self.identity,
                'embedding': torch.from_numpy(self.embedding),
                'guard': self.guard.state(),
                'agent': self.agent.training_state(),
                'rng': rng_state(),
                'target': self.target,
                'best': self.best.state_dict(),
                'curve': self.curve.state_dict(),
                'replay': {} if self.replay is None else self.replay.state_dict(),
            },
        )

    def load(self) -> None:
        """Go on from the file, if there is one.

        Raises:
            CheckpointError: if it is of something else, or cannot be read.
        """
        if not self.path.exists():
            return
        try:
            state = load_state(self.path)
        except CheckpointError as error:
            raise CheckpointError(f'{error}. Remove the file to begin anew') from error
        if state.get('identity') != self.identity or not self._same_prompt(state['embedding']):
            raise CheckpointError(
                f'{self.path} is an interrupted learning of another prompt, world model or '
                'configuration: choose another name, or remove the file to begin anew'
            )
        self.agent.load_training_state(state['agent'])
        self.guard.load(state['guard'])
        set_rng_state(state['rng'])
        self.target = state['target']
        self.best.load_state_dict(state.get('best', {}))
        self.curve.load_state_dict(state.get('curve', {}))
        if self.replay is not None and 'replay' in state:
            self.replay.load_state_dict(state['replay'])

    def _same_prompt(self, held: torch.Tensor) -> bool:
        asked = torch.from_numpy(self.embedding)
        return held.shape == asked.shape and bool(
            torch.cosine_similarity(held, asked, 0) > SAME_PROMPT
        )


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
    the same learning goes on, and as a curve in `out_dir/<task_id>.csv`.

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
        CheckpointError: if the world model cannot be used, or an interrupted learning of this name
            was of another prompt, model or configuration.
        StoppedError: if it ended early without an export; everything is saved.
        FloatingPointError: if learning diverged; what was saved before stays.
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
    trained = read_card(mfwm_folder)[1].training.get('prior', {}).get('updates')
    if config.prior > 0 and trained == 0:
        raise ValueError(
            f'the action prior of {mfwm_folder} was never trained, so nothing can stay near it: '
            'choose --learning.prior 0'
        )
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    model, card = load_mfwm(mfwm_folder)
    model.to(device)
    prompt_embedding = torch.from_numpy(embedding).to(device)
    agent = ActorCritic(model, prompt_embedding, config, ranks)
    target = target_features(model, prompt_embedding, config.starts, config.horizon + 1)
    target = target.contiguous()  # as it comes from the disk: sums in the same order
    curve = Curve(out_dir / f'{task_id}.csv', REPORT_EVERY)
    kept = _Kept(
        out_dir / f'{task_id}.learning.safetensors',
        _identity(card, config, replay), embedding, agent, Guard(), target, _Best(), curve, replay,
    )  # fmt: skip
    out_dir.mkdir(parents=True, exist_ok=True)
    kept.load()
    targets = kept.target.to(device)[:, share]
    matcher = Matcher(model.tokenizer.decoder.project, targets, model.config.stoch)
    stopped, done, best = False, agent.optimizers['critic'].updates, kept.best
    if ranks.first:
        curve.cut(done)
    ranks.check_same('the number of updates done', str(done))
    began, begun = time.monotonic(), done
    while done < config.updates and not stopped:
        start = _starts(model, agent, config, replay)
        mine = State(start.stoch[share], start.deter[share])
        metrics = agent.update(model, mine, matcher)
        kept.guard.check(metrics['critic_loss'])
        done += 1
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
        on_progress(Progress('exporting', done, config.updates, best.smooth, 0.0, 0.0))
        if stopped and best.weights:
            agent.actor.load_state_dict(best.weights)
        graphs = export_policy(mfwm_folder, model.cpu(), agent.actor.cpu())
        about = _describe(model, card, task_id, prompt, done, best.smooth)
        write_bundle(path, about, graphs)
        kept.path.unlink(missing_ok=True)
    ranks.wait()
    return LearnResult(path, done, best.smooth)


def _identity(card: ModelCard, config: LearnConfig, replay: Replay | None) -> str:
    """sha256 over what makes a learning of a prompt the same one, however long it goes on."""
    left_out = ('updates', 'threads', 'precision')
    settings = {k: v for k, v in asdict(config).items() if k not in left_out}
    about = [card.sha256, settings, 'data-free' if replay is None else 'offline']
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def _starts(model: MFWM, agent: ActorCritic, config: LearnConfig, replay: Replay | None) -> State:
    if replay is None:
        return start_states.data_free(
            model, agent.act, config.starts, config.warmup_steps, config.dreamed
        )
    device = next(model.parameters()).device
    states = start_states.from_data(model, tensors(replay.sample(), device))
    chosen = torch.randperm(states.deter.shape[0])[: config.starts]
    return State(states.stoch[chosen], states.deter[chosen])


def _describe(
    model: MFWM, card: ModelCard, task_id: str, prompt: str, updates: int, imagined_return: float
) -> PolicyDescription:
    spec, sizes = card.spec, model.config
    return PolicyDescription(
        domain=spec.domain,
        task_id=task_id,
        prompt=prompt,
        image_size=spec.image_size,
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
