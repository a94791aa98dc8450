"""A learning that is not finished: what a file keeps of it, to go on from or to go back to."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genrl_ros.behavior.actor_critic import ActorCritic
from genrl_ros.config.learning import LearnConfig
from genrl_ros.data.store.replay import Replay
from genrl_ros.system.arrays import FloatArray
from genrl_ros.training.engine.checkpoints import changed_settings
from genrl_ros.training.engine.curve import Curve
from genrl_ros.training.engine.guard import Guard
from genrl_ros.world_model.checkpoint import (
    CheckpointError,
    ModelCard,
    load_state,
    rng_state,
    save_state,
    set_rng_state,
)

SAME_PROMPT = 0.9999
"""Least cosine of a prompt's embedding with itself: with other threads, its last bits differ."""


class OtherLearningError(CheckpointError):
    """What was interrupted under this name is another learning, or its file is damaged."""


class Best:
    """Keeps the actor with the highest smoothed imagined reward, and the smoothed return."""

    def __init__(self) -> None:
        self.average: float | None = None
        self.highest = -np.inf
        self.smooth = 0.0
        self.weights: dict[str, torch.Tensor] = {}

    def see(
        self, metrics: Mapping[str, float], weights: Callable[[], dict[str, torch.Tensor]]
    ) -> None:
        """Look at the metrics of an update, and at the actor's weights if it is the best."""
        reward, value = metrics['reward'], metrics['return']
        self.smooth = value if self.average is None else 0.9 * self.smooth + 0.1 * value
        self.average = reward if self.average is None else 0.95 * self.average + 0.05 * reward
        if self.average > self.highest:
            self.highest = self.average
            self.weights = copy.deepcopy(weights())

    def state_dict(self) -> dict[str, Any]:
        """Everything."""
        return dict(vars(self))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`."""
        vars(self).update(state)


@dataclass
class UnfinishedLearning:
    """Everything that moves while a policy is learned.

    Attributes:
        path: the file.
        identity: of world model and configuration; a file of another one is refused.
        embedding: `(D,)` of the prompt; so is a file of another one.
        agent: actor and critic.
        target: features that the connector drew for the prompt.
        replay: recorded episodes that imagination starts from, if it does.
        curve: of metrics.
        best: the best actor so far.
        guard: of the critic's loss.
    """

    path: Path
    identity: dict[str, Any]
    embedding: FloatArray
    agent: ActorCritic
    target: torch.Tensor
    replay: Replay | None
    curve: Curve
    best: Best
    guard: Guard

    @property
    def updates(self) -> int:
        """Updates done."""
        return self.agent.optimizers['critic'].updates

    def save(self) -> None:
        """Write the file."""
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
        """Go on from the file.

        Raises:
            OtherLearningError: if it is of something else, or cannot be read.
        """
        try:
            state = load_state(self.path)
        except CheckpointError as error:
            raise OtherLearningError(f'{error}. Remove the file to begin anew') from error
        if changed := self._changed(state):
            raise OtherLearningError(
                f'{self.path} is another interrupted learning ({"; ".join(changed)}): choose '
                'another name, or remove the file to begin anew'
            )
        self.agent.load_training_state(state['agent'])
        self.guard.load(state['guard'])
        set_rng_state(state['rng'])
        self.target = state['target']
        self.best.load_state_dict(state.get('best', {}))
        self.curve.load_state_dict(state.get('curve', {}))
        if self.replay is not None and 'replay' in state:
            self.replay.load_state_dict(state['replay'])

    def _changed(self, state: Mapping[str, Any]) -> list[str]:
        held = state.get('identity')
        if not isinstance(held, Mapping):
            return ['it is of another version']
        same = self._same_prompt(state['embedding'])
        return ([] if same else ['of another prompt']) + changed_settings(held, self.identity)

    def _same_prompt(self, held: torch.Tensor) -> bool:
        asked = torch.from_numpy(self.embedding)
        return held.shape == asked.shape and bool(
            torch.cosine_similarity(held, asked, 0) > SAME_PROMPT
        )


def place(out_dir: Path, task_id: str) -> Path:
    """The file of an unfinished learning."""
    return out_dir / f'{task_id}.learning.safetensors'


def set_aside(path: Path) -> Path:
    """Rename an unfinished learning, so that another one may begin; gives its new name."""
    aside = path.with_suffix('.before.safetensors')
    os.replace(path, aside)
    return aside


def identity(card: ModelCard, config: LearnConfig, replay: Replay | None) -> dict[str, Any]:
    """What makes a learning of a prompt the same one, however long it goes on."""
    left_out = ('updates', 'threads', 'precision')
    settings = {k: v for k, v in asdict(config).items() if k not in left_out}
    data = 'none' if replay is None else replay.origin
    return {'world model': card.sha256, 'learning': settings, 'data': data}
