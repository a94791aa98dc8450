"""A policy that learns in the simulator, from its state, and is kept as it was on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genrl_ros.config.collectors import CollectorConfig, Drive
from genrl_ros.domains.base import Agents, Domain, Physics, TaskLogic
from genrl_ros.system.arrays import FloatArray
from genrl_ros.training.collectors.novelty import Novelty
from genrl_ros.training.collectors.soft_actor_critic import SoftActorCritic
from genrl_ros.training.collectors.transitions import Transitions
from genrl_ros.training.engine.loop import Metrics, Training
from genrl_ros.world_model.checkpoint import weights_identity


@dataclass(frozen=True)
class World:
    """What a collector learns in.

    Attributes:
        domain: whose data it will make.
        physics: its simulator.
        observe: what it sees of that.
        logics: the seen tasks by name, from easy to hard.
        agents: the domain's recipe.
    """

    domain: Domain
    physics: Physics
    observe: Callable[[Physics], FloatArray]
    logics: Mapping[str, TaskLogic]
    agents: Agents


class CollectorTraining(Training):
    """A soft actor-critic, its simulator and its memory; one update is one agent step.

    An interrupted learning goes on with a new episode.

    Args:
        world: what it learns in.
        drive: what it learns from.
        seed: of all random numbers.
        config: how.
    """

    def __init__(self, world: World, drive: Drive, seed: int, config: CollectorConfig) -> None:
        self.plan = plan(drive, list(world.logics), config)
        updates = sum(steps for _, steps in self.plan)
        settings = {'domain': world.domain.name, 'seed': seed, **asdict(config)}
        super().__init__(f'{drive}-{seed}', updates, settings)
        self.world, self.drive, self.config, self.seed = world, drive, config, seed
        self._scale = np.array(world.domain.robot.action_scale)
        self._rng = np.random.default_rng(seed)
        world.physics.reset(seed)
        self._seen = world.observe(world.physics)
        sizes = len(self._seen), len(self._scale)
        self.learner = SoftActorCritic(*sizes, config)
        poses = world.agents.poses if drive == 'poses' else sizes[0]
        self.novelty = None if drive == 'tasks' else Novelty(poses)
        self._poses = poses
        self.transitions = Transitions(updates, *sizes, len(world.logics))
        self.snapshots: list[dict[str, Tensor]] = []
        self.labels: list[dict[str, Any]] = []
        self._in_episode, self._return = 0, 0.0
        self._last_return = 0.0

    @property
    def done(self) -> int:
        """Agent steps done."""
        return self.transitions.size

    @property
    def _stage(self) -> tuple[int, str, int, int]:
        """Number and name of what is being learned, its steps, and how many of them are done."""
        done = self.done
        for number, (name, steps) in enumerate(self.plan):
            if done < steps or number == len(self.plan) - 1:
                return number, name, steps, done
            done -= steps
        raise AssertionError('a plan has at least one stage')

    def update(self) -> Metrics:
        """One step of the robot, and one of the networks."""
        number, _, steps, before = self._stage
        self._act(number)
        metrics: Metrics = {'return': self._last_return}
        if self.done >= self.config.random_steps:
            mean, scale = self.transitions.normalizer()
            batch = self.transitions.sample(self.config.batch)
            observation, following = (
                (x - mean) * scale for x in (batch.observation, batch.following)
            )
            if self.novelty is None:
                reward = batch.reward[:, number]
            else:
                reward = self.novelty.reward(following[:, : self._poses])
            metrics |= self.learner.update(observation, batch.action, reward, following)
        every, kept = steps // self.config.snapshots, len(self.snapshots)
        if (before + 1) % every == 0 and kept < (number + 1) * self.config.snapshots:
            self._keep(number)
        return metrics

    def _act(self, number: int) -> None:
        physics, domain = self.world.physics, self.world.domain
        if self.done < self.config.random_steps:
            action = self._rng.uniform(-1, 1, len(self._scale)).astype(np.float32)
        else:
            mean, scale = self.transitions.normalizer()
            with torch.no_grad():
                seen = (torch.from_numpy(self._seen) - mean) * scale
                action = self.learner.actor.sample(seen.unsqueeze(0))[0][0].numpy()
        repeat = domain.robot.action_repeat
        reward = np.zeros(len(self.world.logics), np.float32)
        for _ in range(repeat):
            physics.control(action * self._scale)
            for index, logic in enumerate(self.world.logics.values()):
                reward[index] += logic.reward(physics) / repeat
        following = self.world.observe(physics)
        self.transitions.add(self._seen, action, reward, following)
        self._seen = following
        self._return += float(reward[number]) * repeat if self.novelty is None else 0.0
        self._in_episode += 1
        if self._in_episode == domain.episode_steps:
            self._last_return = self._return
            self._begin_episode()

    def _begin_episode(self) -> None:
        physics = self.world.physics
        physics.reset(int(self._rng.integers(2**31)))
        self._seen = self.world.observe(physics)
        self._in_episode, self._return = 0, 0.0

    def _keep(self, number: int) -> None:
        """Keep the actor as it is, with what it needs to see as it does now."""
        mean, scale = self.transitions.normalizer()
        actor = {name: p.detach().clone() for name, p in self.learner.actor.state_dict().items()}
        self.snapshots.append({'mean': mean, 'scale': scale} | actor)
        name = self.plan[number][0]
        self.labels.append({'learns': name, 'steps': self.done})

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimisers, memory and snapshots."""
        held = {
            'learner': self.learner.state_dict(),
            'optimizers': _optimizers(self.learner.optimizers),
            'transitions': self.transitions.state_dict(),
            'snapshots': {f'{i:03d}': each for i, each in enumerate(self.snapshots)},
            'labels': self.labels,
            'episodes': self._rng.bit_generator.state['state'],
        }
        if self.novelty is not None:
            held['novelty'] = self.novelty.state_dict()
            held['surprise'] = _optimizers({'guess': self.novelty.optimizer})
        return held

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`, with a new episode."""
        self.learner.load_state_dict(state['learner'])
        _load(self.learner.optimizers, state['optimizers'])
        self.transitions.load_state_dict(state['transitions'])
        self.snapshots = [dict(each) for each in state['snapshots'].values()]
        self.labels = list(state['labels'])
        self._rng.bit_generator.state = {
            **self._rng.bit_generator.state,
            'state': {name: int(value) for name, value in state['episodes'].items()},
        }
        if self.novelty is not None:
            self.novelty.load_state_dict(state['novelty'])
            _load({'guess': self.novelty.optimizer}, state['surprise'])
        if self.done:
            self._begin_episode()

    def identities(self) -> Mapping[str, str]:
        """The weights."""
        return {'the weights': weights_identity(self.learner)}

    def pass_over(self, failures: Sequence[Mapping[str, Any]]) -> None:
        """Go on with other episodes."""
        self._rng = np.random.default_rng(self.seed + len(failures))


def plan(drive: Drive, tasks: list[str], config: CollectorConfig) -> list[tuple[str, int]]:
    """What is learned one after the other, with the agent steps of each."""
    if drive != 'tasks':
        return [(drive, config.explorer_steps)]
    return [
        *((task, config.task_steps) for task in tasks[:-1]),
        (tasks[-1], config.last_task_steps),
    ]


def _optimizers(optimizers: Mapping[str, torch.optim.Optimizer]) -> dict[str, Any]:
    return {
        name: {str(index): dict(moments) for index, moments in each.state_dict()['state'].items()}
        for name, each in optimizers.items()
    }


def _load(optimizers: Mapping[str, torch.optim.Optimizer], state: Mapping[str, Any]) -> None:
    for name, optimizer in optimizers.items():
        moments = {int(index): value for index, value in state[name].items()}
        optimizer.load_state_dict(optimizer.state_dict() | {'state': moments})
