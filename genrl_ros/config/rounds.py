"""How a world model is trained in rounds: learn policies in it, try them, and train on."""

from __future__ import annotations

from dataclasses import dataclass, field

from genrl_ros.config.check import check
from genrl_ros.config.learning import LearnConfig


@dataclass(frozen=True)
class RoundsConfig:
    """Rounds, which belong to collecting: they come before any prompt, and need a simulator.

    In each round policies are learned in the model: for the rewards of the seen tasks, as the
    agents that made the paper's data did, and for the nearness of goals drawn at random, as those
    of prompts are. What they do in the simulator goes into the dataset, mistakes of the model
    included, and the model is trained on.
    """

    count: int = 0
    """Number of rounds; 0 trains on what was recorded alone."""
    frames_each: int = 6_680
    """Frames that are collected for each policy of a round."""
    goals: int = 0
    """Policies of a round that are learned for a goal, beside one for each seen task. Goals are
    the concepts that the embedder knows of the domain, in a random order, none twice before all
    were there; of an embedder without any, clips of the dataset that are far apart. They need
    the embedder, and a nearness in each round."""
    seen_first: int = 0
    """Rounds of the seen tasks alone, before those with goals."""
    windows: int = 1_600
    """Recorded windows that rewards are read from, and imagination starts from."""
    updates: int = 5_000
    """Updates of the dynamics after each round. The tokenizer has seen all kinds of poses by
    then, and stays; without images an update costs a tenth."""
    share: float = 0.3
    """Share of these updates' windows that are drawn from what policies did, in this round and
    those before."""
    learning: LearnConfig = field(
        default_factory=lambda: LearnConfig(
            updates=500, prior=0.0, critic_first=0, actor_lr=3e-4, target_every=50
        )
    )
    """How the policies of a round are learned; from random weights."""

    def __post_init__(self) -> None:
        for name in ('count', 'goals', 'seen_first', 'updates'):
            check(getattr(self, name) >= 0, f'rounds.{name} must not be negative')
        for name in ('frames_each', 'windows'):
            check(getattr(self, name) > 0, f'rounds.{name} must be positive')
        check(
            not self.goals or self.seen_first < max(self.count, 1),
            'rounds.seen_first must leave a round for rounds.goals',
        )
        check(0 <= self.share < 1, 'rounds.share must be in [0, 1)')
        check(self.learning.prior == 0, 'rounds.learning.prior must be 0: there is no prior yet')

    def goals_in(self, number: int) -> int:
        """Policies of the round of that number, from 1 on, that are learned for a goal."""
        return self.goals if number > self.seen_first else 0

    @property
    def needs_embedder(self) -> bool:
        """Whether policies of any round are learned for a goal."""
        return self.goals_in(self.count) > 0
