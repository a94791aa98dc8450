"""The training of a behaviour: what moves in it, and what a checkpoint holds of that."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genrl_ros.behavior import start_states
from genrl_ros.behavior.actor_critic import ActorCritic, Reward
from genrl_ros.behavior.rewards.named import reward_of
from genrl_ros.behavior.rewards.sequence import target_features
from genrl_ros.config.learning import LearnConfig
from genrl_ros.data.store.replay import Replay
from genrl_ros.system.arrays import FloatArray
from genrl_ros.training.behavior.learning_rule import LearningRule
from genrl_ros.training.engine.checkpoints import changed_settings
from genrl_ros.training.engine.fit import tensors
from genrl_ros.training.engine.loop import Metrics, Training
from genrl_ros.training.engine.run import Run
from genrl_ros.world_model.checkpoint import weights_identity
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.sequence import State

AHEAD = 8
"""Updates, at least, whose new start states are drawn at once: small batches take as long."""
SAME_PROMPT = 0.9999
"""Least cosine of a prompt's embedding with itself: with other threads, its last bits differ."""


class Best:
    """Keeps the actor with the highest smoothed imagined reward."""

    def __init__(self) -> None:
        self.average: float | None = None
        self.highest = -np.inf
        self.weights: dict[str, Tensor] = {}

    def see(self, metrics: Metrics, weights: Callable[[], dict[str, Tensor]]) -> None:
        """Look at the metrics of an update, and at the actor's weights if it is the best."""
        reward = metrics['reward']
        self.average = reward if self.average is None else 0.95 * self.average + 0.05 * reward
        if self.average > self.highest:
            self.highest = self.average
            self.weights = copy.deepcopy(weights())

    @property
    def reward(self) -> float:
        """Smoothed mean reward of an imagined step; 0 before any."""
        return 0.0 if self.average is None else self.average

    def state_dict(self) -> dict[str, Any]:
        """Everything."""
        return dict(vars(self))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`."""
        vars(self).update(state)


class BehaviorTraining(Training):
    """Actor and critic, the target that they learn from, and the states that they start from.

    Args:
        name: of its checkpoint.
        task_id: of its curve.
        model: the world model, on the device that computes.
        embedding: `(D,)` of the prompt.
        config: how to learn.
        settings: what a checkpoint must be of, to go on from it.
        run: the processes and the device.
        replay: recorded episodes to start from; data-free without them.
    """

    def __init__(
        self,
        name: str,
        task_id: str,
        model: MFWM,
        embedding: FloatArray,
        config: LearnConfig,
        settings: Mapping[str, Any],
        run: Run,
        replay: Replay | None,
    ) -> None:
        title = f'learning {task_id}'
        super().__init__(name, config.updates, settings, title=title, curve=task_id)
        self.model, self.config, self.run, self.replay = model, config, run, replay
        self.share = run.ranks.share(config.starts, 'learning.starts')
        self.embedding = torch.from_numpy(embedding)
        prompt = self.embedding.to(run.device)
        self.agent = ActorCritic(model, prompt, config, run.ranks)
        self.rule = LearningRule(self.agent)
        target = target_features(model, prompt, config.starts, config.horizon + 1)
        self.target = target.contiguous()  # as it comes from the disk: sums in the same order
        self.best = Best()
        self._reward: Reward | None = None
        self._drawn: State | None = None
        self._position: dict[str, Any] = {}

    @property
    def done(self) -> int:
        """Updates done."""
        return self.rule.updates

    def update(self) -> Metrics:
        """One update from new start states."""
        if self._reward is None:
            self._reward = self._make_reward()
        start = self._starts()
        mine = State(start.stoch[self.share], start.deter[self.share])
        metrics = self.rule.update(self.model, mine, self._reward)
        self.guard.check(metrics['critic_loss'])
        self.best.see(metrics, self.agent.actor.state_dict)
        return metrics

    def _make_reward(self) -> Reward:
        device = self.run.device
        targets = self.target.to(device)[:, self.share]
        return reward_of(self.model, self.embedding.to(device), targets, self.config)

    def adopt_best(self) -> None:
        """Make the best actor the actor."""
        if self.best.weights:
            self.agent.actor.load_state_dict(self.best.weights)

    def state_dict(self) -> dict[str, Any]:
        """Networks and optimisers, target, best actor, start states, place in the data."""
        return {
            'embedding': self.embedding,
            'agent': self.rule.state_dict(),
            'target': self.target,
            'best': self.best.state_dict(),
            'ended': {} if self.agent.ended is None else self.agent.ended._asdict(),
            'drawn': {} if self._drawn is None else self._drawn._asdict(),
            'replay': {} if self.replay is None else self.replay.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.rule.load_state_dict(state['agent'])
        self.target, self._reward = state['target'], None
        self.best.load_state_dict(state.get('best', {}))
        self.agent.ended, self._drawn = (
            State(**{part: each.to(self.run.device) for part, each in state[name].items()})
            if state.get(name)
            else None
            for name in ('ended', 'drawn')
        )
        if self.replay is not None and 'replay' in state:
            self.replay.load_state_dict(state['replay'])

    def differences(self, state: Mapping[str, Any]) -> list[str]:
        """In what a checkpoint is of another learning, the prompt included."""
        held = state.get('settings', state.get('identity'))  # its name in the release before
        if not isinstance(held, Mapping):
            return ['it is of another version']
        same = self._is_same_prompt(state['embedding'])
        return ([] if same else ['of another prompt']) + changed_settings(held, self.settings)

    def identities(self) -> Mapping[str, str]:
        """The weights of actor and critic."""
        return {'the weights': weights_identity(self.agent)}

    def pass_over(self, failures: Sequence[Mapping[str, Any]]) -> None:
        """Go on from other start states, and other windows of a replay."""
        self._drawn = None
        if self.replay is not None:
            self.replay.load_state_dict(self._position)
        torch.manual_seed(self.config.seed + len(failures))

    def _starts(self) -> State:
        """Where the next dreams begin: where others ended, and as published."""
        config, ended = self.config, self.agent.ended
        carried = round(config.continued * config.starts)
        if ended is None or not carried:
            return self._new_starts(config.starts)
        new = self._new_starts(config.starts - carried)
        return start_states.joined([start_states.chosen(ended, carried), new])

    def _new_starts(self, count: int) -> State:
        """`count` states in which no dream has been, drawn ahead where no data are read."""
        config, replay = self.config, self.replay
        if replay is not None:
            batch = tensors(replay.sample(), self.run.device)
            self._position = replay.state_dict()
            return start_states.chosen(start_states.from_data(self.model, batch), count)
        if self._drawn is None or len(self._drawn.deter) < count:
            number = AHEAD * count  # a multiple of 4, which states are drawn in
            drawn = start_states.data_free(
                self.model, self.agent.act, number, config.warmup_steps, config.dreamed
            )
            self._drawn = start_states.chosen(drawn, number)
        kept, left = self._drawn, State(*(each[count:] for each in self._drawn))
        self._drawn = left if len(left.deter) else None
        return State(*(each[:count] for each in kept))

    def _is_same_prompt(self, held: Tensor) -> bool:
        return held.shape == self.embedding.shape and bool(
            torch.cosine_similarity(held, self.embedding, 0) > SAME_PROMPT
        )
