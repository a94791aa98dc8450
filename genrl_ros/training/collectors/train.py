"""Train a collector, score its snapshots, and write them for `genrl collect`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from genrl_ros.config.collectors import CollectorConfig, Drive
from genrl_ros.domains import registry
from genrl_ros.domains.base import Agents, Domain, Outcome
from genrl_ros.domains.snapshots import (
    Label,
    StateActor,
    read_snapshots,
    write_snapshots,
)
from genrl_ros.training.collectors.collector_training import CollectorTraining, World
from genrl_ros.training.engine.loop import train
from genrl_ros.training.engine.run import Run

EPISODES = 2
"""That a snapshot is scored in."""


def make_world(domain: Domain) -> World:
    """A new simulator of a domain, for agents to learn in.

    Raises:
        ValueError: if its data are not made by agents.
    """
    if not isinstance(domain.data, Agents):
        raise ValueError(f'the data of {domain.name} are not made by agents that learn')
    return World(
        domain,
        registry.make_physics(domain),
        registry.load(domain.data.observe),
        {
            task.name: registry.task_logic(domain, task.name)
            for task in domain.tasks
            if task.split == 'seen'
        },
        domain.data,
    )


def train_collector(
    domain: Domain, drive: Drive, seed: int, config: CollectorConfig, run: Run, path: Path
) -> list[Label]:
    """Train a collector in the run's folder, and write its snapshots to a file.

    Args:
        domain: whose data it will make.
        drive: what it learns from.
        seed: of all random numbers.
        config: how.
        run: where, and how often it reports and saves.
        path: of the snapshots.

    Returns:
        What each snapshot is of.

    Raises:
        StoppedError: if it was stopped; everything is saved.
        ValueError: if the data of the domain are not made by agents.
    """
    world = make_world(domain)
    try:
        torch.set_num_threads(1)  # more are slower, in networks this small
        torch.manual_seed(seed)
        training = CollectorTraining(world, drive, seed, config)
        train(training, run)
        stacked = {
            name: np.stack([each[name].numpy() for each in training.snapshots])
            for name in training.snapshots[0]
        }
        labels = [Label(**each, score={}) for each in training.labels]
        about = {'domain': domain.name, 'seed': str(seed)}
        write_snapshots(path, labels, stacked, about)
        scored = [
            Label(actor.label.learns, actor.label.steps, _scores(world, actor, seed))
            for actor in read_snapshots(path)
        ]
        write_snapshots(path, scored, stacked, about)
        return scored
    finally:
        world.physics.close()


def _scores(world: World, actor: StateActor, seed: int) -> dict[str, float]:
    """Mean score at each seen task, of a few episodes without noise."""
    domain, physics = world.domain, world.physics
    scale, repeat = np.array(domain.robot.action_scale), domain.robot.action_repeat
    totals = dict.fromkeys(world.logics, 0.0)
    for episode in range(EPISODES):
        physics.reset(seed + episode)
        for _ in range(domain.episode_steps):
            action = actor.act(world.observe(physics))
            for _ in range(repeat):
                physics.control(action * scale)
                for name, logic in world.logics.items():
                    totals[name] += logic.reward(physics)
    return {
        name: round(
            domain.task(name).score.of(Outcome(total / EPISODES, False, domain.episode_steps)), 3
        )
        for name, total in totals.items()
    }
