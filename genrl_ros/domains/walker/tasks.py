"""What the walker's nine tasks reward, in words of the paper's code (facts 6.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import numpy as np
from dm_control.utils.rewards import tolerance

from genrl_ros.domains.walker.physics import Walker

STAND_HEIGHT, KICK_HEIGHT = 1.2, 1.2
WALK_SPEED, RUN_SPEED = 1.0, 8.0


def above(x: float, bound: float, margin: float) -> float:
    """1 from the bound on, and 0.1 a margin below it."""
    return float(tolerance(x, (bound, inf), margin))


def below(x: float, bound: float, margin: float) -> float:
    """1 up to the bound, and 0.1 a margin above it."""
    return float(tolerance(x, (-inf, bound), margin))


def fast(x: float, bound: float) -> float:
    """1 from the bound on, 0.5 halfway there, and 0 at rest."""
    return float(tolerance(x, (bound, inf), bound / 2, 'linear', 0.5))


def standing(walker: Walker, height: float = STAND_HEIGHT) -> float:
    """Torso that high, and upright."""
    upright = (1 + walker.along('torso')) / 2
    return (3 * above(walker.height('torso'), height, height / 2) + upright) / 4


def moving(walker: Walker, speed: float) -> float:
    """Standing, and that fast."""
    return standing(walker) * (5 * fast(float(walker.speed('torso')[0]), speed) + 1) / 6


def one_foot(walker: Walker) -> float:
    """Standing, one foot up and the other one down."""
    feet, up = walker.heights('foot'), above(walker.height('torso'), 1.0, 0.5)
    return up * above(max(feet), 0.5, 0.25) * below(min(feet), 0.1, 0.15)


def high_kick(walker: Walker) -> float:
    """Standing, one foot as high as the head."""
    feet, up = walker.heights('foot'), above(walker.height('torso'), 1.0, 0.5)
    kick = above(max(feet), KICK_HEIGHT, KICK_HEIGHT / 2)
    return up * (3 * kick + below(min(feet), 0.1, 0.15)) / 4


def lying_down(walker: Walker) -> float:
    """Everything on the floor, the torso level."""
    torso = below(walker.height('torso'), 0.1, 0.15)
    legs = sum(
        below(float(np.mean(walker.heights(part))), 0.1, 0.15) for part in ('thigh', 'leg', 'foot')
    )
    return (3 * torso + (1 - abs(walker.along('torso'))) + legs) / 7


def sit_knees(walker: Walker) -> float:
    """Upright on the knees, the feet below the thighs."""
    legs = below(float(np.mean(walker.heights('leg'))), 0.15, 0.225)
    feet = below(float(np.mean(walker.heights('foot'))), 0.1, 0.15)
    folded = np.exp(-np.mean(np.maximum(0.1, np.abs(walker.offsets())) - 0.1))
    return standing(walker, 0.55) * (3 * legs + feet) / 4 * float(folded)


def lunge_pose(walker: Walker) -> float:
    """Upright, one leg in front with its thigh level, the other one on the floor behind."""
    legs = walker.heights('leg')
    low, high = ('right', 'left') if legs[0] < legs[1] else ('left', 'right')
    pose = (
        below(min(legs), 0.1, 0.15),
        above(max(legs), 0.25, 0.125),
        1 - abs(walker.along(f'{high}_thigh')),
        1 - abs(walker.along(f'{low}_leg')),
    )
    return standing(walker, 0.75) * sum(pose) / 4


def flipping(walker: Walker) -> float:
    """Feet above the head, turning either way."""
    feet = above(float(np.mean(walker.heights('foot'))), 1.1, 0.55)
    thighs = above(float(np.mean(walker.heights('thigh'))), 1.0, 0.5)
    turning = fast(abs(walker.rotation()), 16.0)
    return (3 * feet + 2 * thighs) / 5 * (5 * turning + 1) / 6


REWARDS: dict[str, Callable[[Walker], float]] = {
    'stand': standing,
    'walk': lambda walker: moving(walker, WALK_SPEED),
    'run': lambda walker: moving(walker, RUN_SPEED),
    'one_foot': one_foot,
    'high_kick': high_kick,
    'lying_down': lying_down,
    'sit_knees': sit_knees,
    'lunge_pose': lunge_pose,
    'flipping': flipping,
}


@dataclass(frozen=True)
class Pose:
    """A task that rewards how the walker is and moves, and has no end."""

    of: Callable[[Walker], float]

    def initialise(self, physics: Walker, rng: np.random.Generator) -> None:
        """Nothing: every episode starts from anywhere, as the physics' reset does."""

    def reward(self, physics: Walker) -> float:
        """Reward of the present state, in [0, 1]."""
        return self.of(physics)

    def success(self, physics: Walker) -> bool:
        """Never: a walker can go on walking."""
        return False


def logic(task: str) -> Pose:
    """The logic of a task.

    Raises:
        KeyError: if the walker has no such task.
    """
    return Pose(REWARDS[task])
