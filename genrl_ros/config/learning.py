"""How a behaviour is learned in imagination."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from genrl_ros.config.check import check
from genrl_ros.config.training import Precision

Align = Literal['sequence', 'initial', 'none']
RewardKind = Literal['sequence', 'nearness', 'sequence+nearness']


def still_known(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Learning settings that travel with a model, without what earlier versions knew alone."""
    gone = {'from_goal'}
    if settings.get('reward') in ('embedding', 'sequence+embedding'):
        gone.add('reward')
    return {name: value for name, value in settings.items() if name not in gone}


@dataclass(frozen=True)
class LearnConfig:
    """Learning a behaviour in imagination (facts 3).

    The defaults are for a policy within minutes on two CPU cores; published values are named
    where they differ.
    """

    updates: int = 200
    """Updates of actor and critic; 0 exports what learning starts from. Published: 50,000."""
    starts: int = 128
    """Imagined trajectories an update. Published: 1,024."""
    horizon: int = 16
    """Imagined steps."""
    warmup_steps: int = 5
    """World-model steps before imagination begins, for data-free starts."""
    dreamed: float = 0.8
    """Share of data-free latents that the connector draws; the others are random. Published: 0.5,
    which spends half of a short learning on states that no image has."""
    continued: float = 0.0
    """Share of the dreams that go on where earlier ones ended, those of the better half, so that a
    policy is learned where it leads to, beyond a horizon; the rest begins as published. Not in the
    paper."""
    gamma: float = 0.99
    """Discount."""
    lambda_: float = 0.95
    """Mixing of the lambda-return."""
    prior: float = 15.0
    """Weight of staying near the action prior, in nats a step. Published: no prior; 0 starts from
    random weights as the paper does."""
    from_prior: bool = True
    """Whether the actor starts as the prior. Without, it starts from random weights, and a prior
    is an anchor alone."""
    critic_first: int = 100
    """Updates of the critic alone, so that a good prior is not undone by a critic that knows
    nothing yet. Published: 0."""
    actor_lr: float = 3e-5
    """Actor's learning rate, as published."""
    critic_lr: float = 3e-4
    """Critic's learning rate. Published: 3e-5."""
    clip: float = 100.0
    """Largest gradient norm of actor and critic."""
    weight_decay: float = 1e-6
    """Share of every parameter that is removed at each step."""
    target_every: int = 100
    """Updates between two copies of the critic into its target."""
    reward: RewardKind = 'sequence'
    """What imagined states are worth (docs/imagination.md). `sequence`: their match with the
    goal's states, as published; `nearness`: how near they are to what the prompt shows,
    in looks and in time, of a model that knows it; or the mean of both."""
    align: Align = 'sequence'
    """Temporal alignment of reward and target (facts 3.3)."""
    seed: int = 0
    """Seed of all random numbers."""
    precision: Precision = 'float32'
    """Of products in losses; `bf16` is faster where `genrl bench` says so."""
    threads: int = 1
    """CPU threads. At the small preset's sizes, two are slower than one."""

    def __post_init__(self) -> None:
        check(self.updates >= 0, 'learn.updates must not be negative')
        for name in ('starts', 'horizon', 'target_every', 'threads'):
            check(getattr(self, name) > 0, f'learn.{name} must be positive')
        for name, kind in (('reward', RewardKind), ('align', Align), ('precision', Precision)):
            kinds = get_args(kind)
            message = f'learn.{name} must be one of {", ".join(kinds)}'
            check(getattr(self, name) in kinds, message)
        check(self.seed >= 0, 'learn.seed must not be negative')
        check(self.starts % 4 == 0, 'learn.starts must be a multiple of 4')
        check(self.horizon >= 9, 'learn.horizon must be at least 9: a window is 8 steps')
        check(self.prior >= 0, 'learn.prior must not be negative')
        check(self.critic_first >= 0, 'learn.critic_first must not be negative')
        check(0 <= self.dreamed <= 1, 'learn.dreamed must be in [0, 1]')
        check(0 <= self.continued <= 0.5, 'learn.continued must be in [0, 0.5]')
        check(0 < self.gamma <= 1, 'learn.gamma must be in (0, 1]')
        check(0 <= self.lambda_ <= 1, 'learn.lambda_ must be in [0, 1]')
