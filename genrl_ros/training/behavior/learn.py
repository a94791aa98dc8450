"""Learn the policy of one task in imagination, and write it as a bundle."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from genrl_ros.config.learning import LearnConfig, RewardKind
from genrl_ros.config.training import RecordConfig
from genrl_ros.data.store.replay import Replay
from genrl_ros.domains import registry
from genrl_ros.domains.base import IMAGE_SIZE
from genrl_ros.serving.policy.bundle import PolicyDescription, write_bundle
from genrl_ros.system.arrays import FloatArray
from genrl_ros.training.behavior.behavior_training import BehaviorTraining
from genrl_ros.training.behavior.export import export_policy
from genrl_ros.training.engine.checkpoints import Checkpoints
from genrl_ros.training.engine.loop import train
from genrl_ros.training.engine.run import Progress, Run, StoppedError
from genrl_ros.world_model.checkpoint import ModelCard, load_mfwm
from genrl_ros.world_model.mfwm import MFWM

RECORD = RecordConfig(report_every=10, save_every=50, keep=0, picture_every=0)
"""How often learning reports and saves."""


@dataclass(frozen=True)
class Assignment:
    """What to learn.

    Attributes:
        model: folder of the world model.
        embedding: `(D,)` of the prompt.
        prompt: the task in words.
        task_id: names the bundle's folder.
    """

    model: Path
    embedding: FloatArray
    prompt: str
    task_id: str


@dataclass(frozen=True)
class LearnResult:
    """What came out: the bundle's folder, and what went into it."""

    bundle_path: Path
    updates: int
    imagined_reward: float


def learn(
    asked: Assignment,
    config: LearnConfig,
    run: Run,
    replay: Replay | None = None,
    export_early: bool = False,
) -> LearnResult:
    """Learn a policy for a prompt and export it to `<run.folder>/<task_id>`.

    Progress is kept in `<task_id>.learning.safetensors` beside it, from which an interrupted run
    of the same learning goes on, and as a curve in `<task_id>.csv`. After an update whose gradient
    is not finite, or whose loss explodes, learning goes back to what that file keeps, and on from
    other start states.

    Args:
        asked: what to learn.
        config: how to learn; its precision is the one that counts.
        run: where and how; `RECORD` says how often learning usually reports and saves. Progress
            is reported as stage `learning` with the metric `reward`, the smoothed mean reward of
            an imagined step, and in the end once as stage `exporting`.
        replay: recorded episodes to start from; data-free without them.
        export_early: what being stopped does: export the best policy so far, or raise
            `StoppedError`, for the same call to go on.

    Raises:
        FileExistsError: if the bundle's folder exists already; nothing is touched.
        CheckpointError: if the world model cannot be used, or what was saved has vanished.
        OtherTrainingError: if an interrupted learning of this name was of another prompt, model or
            configuration.
        StoppedError: if it was stopped and does not export early; everything is saved.
        FloatingPointError: if learning fails again and again; what was saved before stays.
        ValueError: if the processes cannot share the start states, or the model lacks a part that
            learning needs.
    """
    path = run.folder / asked.task_id
    if path.exists():
        raise FileExistsError(
            f'{path} exists already, and a bundle is never overwritten: choose another name, or '
            'remove the folder'
        )
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    model, card = load_mfwm(asked.model)
    _check_parts(config, asked.model, card)
    model.to(run.device)
    training = BehaviorTraining(
        place(run.folder, asked.task_id).stem, asked.task_id, model, asked.embedding, config,
        {'world model': card.sha256, 'learning': _settings(config), 'data': _origin(replay)},
        run, replay,
    )  # fmt: skip

    def tell(stage: str, updates_per_s: float = 0.0) -> None:
        metrics = {'reward': training.best.reward}
        told = Progress(stage, training.done, config.updates, updates_per_s, metrics)
        run.on_progress(told)

    watched = replace(run, on_progress=lambda each: tell('learning', each.updates_per_s))
    try:
        train(training, watched)
    except StoppedError:
        if not export_early:
            raise
        training.adopt_best()
    if run.ranks.first:
        tell('exporting')
        domain = registry.find(card.spec.name)
        goal = asked.embedding if domain is None or domain.has_goals else None
        graphs = export_policy(asked.model, model.cpu(), training.agent.actor.cpu(), goal)
        about = _describe(model, card, asked, training.done, training.best.reward)
        write_bundle(path, about, graphs)
        Checkpoints(run.folder, training.name, run.record.keep).remove()
    run.ranks.wait()
    return LearnResult(path, training.done, training.best.reward)


def place(folder: Path, task_id: str) -> Path:
    """The file of a learning that is not finished."""
    return folder / f'{task_id}.learning.safetensors'


def _settings(config: LearnConfig) -> dict[str, Any]:
    """What makes a learning of a prompt the same one, however long it goes on."""
    left_out = ('updates', 'threads', 'precision')
    return {name: value for name, value in asdict(config).items() if name not in left_out}


def _origin(replay: Replay | None) -> Any:
    return 'none' if replay is None else replay.origin


def _check_parts(config: LearnConfig, folder: Path, card: ModelCard) -> None:
    if config.prior > 0 and card.training.get('prior', {}).get('updates') == 0:
        raise ValueError(
            f'the action prior of {folder} was never trained, so nothing can stay near it: '
            'choose --learning.prior 0'
        )
    if problem := lacks(card, config.reward):
        raise ValueError(f'{folder} {problem}, or choose --learning.reward sequence')


def lacks(card: ModelCard, reward: RewardKind) -> str:
    """What a world model lacks for a reward, and the cure; '' if it has all that is needed."""
    trained = card.training.get('nearness', {}).get('updates')
    if 'nearness' not in reward or trained:
        return ''
    return 'has a nearness that was never trained: `genrl connect` trains it'


def _describe(
    model: MFWM, card: ModelCard, asked: Assignment, updates: int, imagined_reward: float
) -> PolicyDescription:
    spec, sizes, domain = card.spec, model.config, registry.find(card.spec.name)
    return PolicyDescription(
        domain=spec.name,
        task_id=asked.task_id,
        prompt=asked.prompt,
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
        imagined_reward=imagined_reward,
        attempt_steps=0 if domain is None else domain.attempt_steps,
    )
