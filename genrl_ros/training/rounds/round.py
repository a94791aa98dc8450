"""One round: policies learned in the model as it is, and what they do in the simulator."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from genrl_ros.behavior.actor_critic import Reward
from genrl_ros.behavior.rewards.nearness import Near
from genrl_ros.config.rounds import RoundsConfig
from genrl_ros.data.agents.policies import Policies
from genrl_ros.data.collect import EpisodeRecipe, collect
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.domains import registry
from genrl_ros.domains.base import IMAGE_SIZE, Domain
from genrl_ros.serving.policy.bundle import PolicyDescription, write_bundle
from genrl_ros.training.behavior.export import export_policy, write_model
from genrl_ros.training.engine.run import Progress, Run, StoppedError
from genrl_ros.training.rounds.goals import Goal
from genrl_ros.training.rounds.imagined import Learned, learn
from genrl_ros.training.rounds.recorded import Recorded, recorded
from genrl_ros.training.rounds.reward_head import reward_of, train_reward_head
from genrl_ros.world_model.checkpoint import weights_identity
from genrl_ros.world_model.mfwm import MFWM


@dataclass(frozen=True)
class Round:
    """A round, whose policies and episodes are made once.

    Attributes:
        number: from 1 on; with the dataset's seed it decides all that is random.
        model: the world model; its parameters are left as they are.
        store: the dataset, to which episodes of the series `roundN` are added.
        domain: whose simulator is used.
        config: how.
        folder: of the round's policies.
        workers: simulators that run in parallel.
        goals: that policies are learned for, by the model's nearness; not needed once all
            policies are learned.
    """

    number: int
    model: MFWM
    store: EpisodeStore
    domain: Domain
    config: RoundsConfig
    folder: Path
    workers: int
    goals: tuple[Goal, ...] = ()

    @property
    def series(self) -> str:
        """Name of its episodes."""
        return f'round{self.number}'

    def everything(self, run: Run) -> EpisodeStore:
        """Learn the policies that are not there yet, and collect; the dataset with the episodes.

        Raises:
            StoppedError: if there was no time to finish; what is finished is kept.
        """
        bundles = self._policies(run)
        recipe = EpisodeRecipe(
            make_environment=partial(registry.make_environment, self.domain),
            draw=Policies(bundles),
            episode_steps=self.domain.episode_steps,
            series=self.series,
        )
        seed = int(self.store.manifest['seed'])
        store = EpisodeStore.open(self.store.path)
        done = 0
        episodes = collect(store, recipe, self.frames, seed, self.workers)
        with contextlib.ExitStack() as ending:
            ending.callback(store.seal)
            ending.enter_context(contextlib.closing(episodes))
            for name in episodes:
                done += store.length(name)
                run.on_progress(Progress(f'{self.series} episodes', done, self.frames, 0.0))
                if run.should_stop() and done < self.frames:
                    raise StoppedError(f'{self.series}: {done} of {self.frames} frames')
        return store

    @property
    def frames(self) -> int:
        """Number of frames that it adds; episodes are whole, so there may be a few more."""
        return self.config.frames_each * len(self.bundles)

    @property
    def bundles(self) -> tuple[Path, ...]:
        """Where its policies lie, learned or not."""
        names = [task.name for task in self.domain.tasks if task.split == 'seen']
        names += [f'goal{number}' for number in range(self.config.goals_in(self.number))]
        return tuple(self.folder / name for name in names)

    @property
    def is_learned(self) -> bool:
        """Whether all its policies are there."""
        return all(bundle.is_dir() for bundle in self.bundles)

    def _policies(self, run: Run) -> tuple[Path, ...]:
        bundles = self.bundles
        if self.is_learned:
            return bundles
        parameters = [each for each in self.model.parameters() if each.requires_grad]
        self.model.requires_grad_(False)
        try:
            self._learn(bundles, run)
        finally:
            for parameter in parameters:
                parameter.requires_grad_(True)
        return bundles

    def _learn(self, bundles: tuple[Path, ...], run: Run) -> None:
        torch.manual_seed(self.number)
        model_folder = self.folder / 'model'
        write_model(model_folder, self.model, self.store.spec, '', '', {'round': self.number})
        states = recorded(
            self.model, self.domain, self.store, self.store.training, self.config.windows,
            seed=self.number,
        )  # fmt: skip
        how = self.config.learning
        aims = zip(bundles, self._aims(states), strict=True)
        for index, (bundle, (words, reward)) in enumerate(aims):
            if bundle.is_dir():
                continue
            title = f'{self.series} {bundle.name}'
            tell = _Teller(title, how.updates, run)
            seeded = replace(how, seed=1_000 * self.number + index)
            learned = learn(self.model, reward, states, seeded, tell)
            graphs = export_policy(model_folder, self.model, learned.agent.actor)
            write_bundle(bundle, self._describe(bundle.name, words, learned, how.updates), graphs)

    def _aims(self, states: Recorded) -> Iterator[tuple[str, Reward]]:
        """What each policy is learned for, in words and as reward, in the order of bundles."""
        head = train_reward_head(self.model.config, states)
        for place, task in enumerate(self.domain.tasks):
            if task.split == 'seen':
                yield task.name, reward_of(head, place, self.model.config.flat_stoch)
        mixed = self.config.learning.precision == 'bf16'
        for goal in self.goals:
            yield goal.words, Near(self.model, torch.from_numpy(goal.embedding), mixed)

    def _describe(
        self, name: str, words: str, learned: Learned, updates: int
    ) -> PolicyDescription:
        robot, sizes = self.store.spec, self.model.config
        return PolicyDescription(
            domain=robot.name,
            task_id=name,
            prompt=f'{words}, of {self.series}',
            image_size=IMAGE_SIZE,
            action_names=robot.action_names,
            action_scale=robot.action_scale,
            control_dt_s=robot.control_dt_s,
            action_repeat=robot.action_repeat,
            stoch=sizes.stoch,
            classes=sizes.classes,
            deter=sizes.deter,
            mfwm=weights_identity(self.model),
            updates=updates,
            imagined_reward=learned.dreamt,
        )


class _Teller:
    """Reports how far a policy is, and stops it: it begins again then, a matter of minutes."""

    def __init__(self, title: str, updates: int, run: Run) -> None:
        self._title, self._updates, self._run = title, updates, run
        self._began = time.monotonic()

    def __call__(self, update: int, metrics: dict[str, float]) -> None:
        rate = update / (time.monotonic() - self._began)
        self._run.on_progress(Progress(self._title, update, self._updates, rate, metrics))
        if self._run.should_stop() and update < self._updates:
            raise StoppedError(f'{self._title} after {update} of {self._updates} updates')
