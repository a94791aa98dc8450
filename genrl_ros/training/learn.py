"""Learn the policy of one task in imagination, and write it as a bundle."""

from __future__ import annotations

import copy
import csv
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from genrl_ros.behavior import start_states
from genrl_ros.behavior.actor_critic import ActorCritic
from genrl_ros.behavior.matching import target_features
from genrl_ros.config import LearnConfig
from genrl_ros.data.replay import Replay
from genrl_ros.files import atomic_file
from genrl_ros.serving.bundle import PolicyDescription, write_bundle
from genrl_ros.training.export import export_policy
from genrl_ros.training.fit import tensors
from genrl_ros.types import FloatArray
from genrl_ros.world_model.checkpoint import (
    ModelCard,
    load_mfwm,
    load_state,
    rng_state,
    save_state,
    set_rng_state,
)
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.sequence import State

REPORT_EVERY = 10
SAVE_EVERY = 250


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
    """Keeps the actor with the highest smoothed imagined reward."""

    def __init__(self) -> None:
        self.average: float | None = None
        self.highest = -np.inf
        self.weights: dict[str, torch.Tensor] = {}

    def see(self, reward: float, weights: Callable[[], dict[str, torch.Tensor]]) -> None:
        self.average = reward if self.average is None else 0.95 * self.average + 0.05 * reward
        if self.average > self.highest:
            self.highest = self.average
            self.weights = copy.deepcopy(weights())


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
) -> LearnResult:
    """Learn a policy for a prompt and export it to `out_dir/<task_id>`.

    Progress is kept in `out_dir/<task_id>.learning.safetensors`, from which an interrupted run of
    the same task goes on, and as a curve in `out_dir/<task_id>.csv`.

    Args:
        mfwm_folder: the world model.
        embedding: `(D,)` of the prompt.
        config: how to learn.
        out_dir: where the bundle goes.
        task_id: name of the bundle's folder.
        prompt: the task in words.
        on_progress: called every ten updates.
        should_stop: asked before each update; when true, the best policy so far is exported.
        replay: recorded episodes to start from; data-free without them.

    Raises:
        CheckpointError: if the world model cannot be used.
        FloatingPointError: if learning diverged.
    """
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    model, card = load_mfwm(mfwm_folder)
    prompt_embedding = torch.from_numpy(embedding)
    agent = ActorCritic(model, prompt_embedding, config)
    target = target_features(model, prompt_embedding, config.starts, config.horizon + 1)
    checkpoint = out_dir / f'{task_id}.learning.safetensors'
    if checkpoint.exists():
        state = load_state(checkpoint)
        agent.load_training_state(state['agent'])
        set_rng_state(state['rng'])
        target = state['target']
    best, stopped, smooth = _Best(), False, 0.0
    done = agent.optimizers['critic'].updates
    rows: list[dict[str, float]] = []
    began, begun = time.monotonic(), done
    while done < config.updates and not stopped:
        metrics = agent.update(model, _starts(model, agent, config, replay), target)
        done += 1
        best.see(metrics['reward'], agent.actor.state_dict)
        smooth = metrics['return'] if not rows else 0.9 * smooth + 0.1 * metrics['return']
        rows.append({'update': done} | metrics)
        if done % REPORT_EVERY == 0 or done == config.updates:
            rate = (done - begun) / (time.monotonic() - began)
            left = (config.updates - done) / rate
            on_progress(Progress('learning', done, config.updates, smooth, rate, left))
        if done % SAVE_EVERY == 0:
            save_state(
                checkpoint,
                {'agent': agent.training_state(), 'rng': rng_state(), 'target': target},
            )
        stopped = should_stop()
    on_progress(Progress('exporting', done, config.updates, smooth, 0.0, 0.0))
    if stopped and best.weights:
        agent.actor.load_state_dict(best.weights)
    _write_curve(out_dir / f'{task_id}.csv', rows)
    graphs = export_policy(mfwm_folder, model, agent.actor)
    about = _describe(model, card, task_id, prompt, done, smooth)
    bundle = write_bundle(out_dir / task_id, about, graphs).path
    checkpoint.unlink(missing_ok=True)
    return LearnResult(bundle, done, smooth)


def _starts(model: MFWM, agent: ActorCritic, config: LearnConfig, replay: Replay | None) -> State:
    if replay is None:
        return start_states.data_free(
            model, agent.act, config.starts, config.warmup_steps, config.dreamed
        )
    states = start_states.from_data(model, tensors(replay.sample()))
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


def _write_curve(path: Path, rows: list[dict[str, float]]) -> None:
    with atomic_file(path) as temporary, temporary.open('w', newline='') as file:
        writer = csv.DictWriter(file, rows[0].keys() if rows else ['update'])
        writer.writeheader()
        writer.writerows(rows)
