"""Movements of the arm in the kitchen, recorded without pictures: experts, blunders, wandering."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from genrl_ros.domains.kitchen.experts import HANDLES, Expert, Manner
from genrl_ros.domains.kitchen.physics import ARM
from genrl_ros.domains.kitchen.studio import Studio

States = npt.NDArray[np.float32]
EXPERT_STEPS = 60
WANDER_STEPS = 50
STILL_STEPS = 8
KINDS = (*HANDLES, 'wander')


def rehearse(studio: Studio, seed: int) -> States:
    """Record one rehearsal: a visit to an element or wandering, then perhaps a second visit.

    The seed chooses everything; `seed % len(KINDS)` chooses what is visited first.

    Returns:
        `(T, 30)` float32 simulator positions, one a control step of 0.08 s.
    """
    rng = np.random.default_rng(seed)
    studio.reset(seed)
    states = [studio.state()]
    for action in _script(studio, KINDS[seed % len(KINDS)], rng):
        for _ in range(studio.robot.action_repeat):
            studio.advance(action)
            states.append(studio.state())
    return np.asarray(states, np.float32)


def _script(
    studio: Studio, kind: str, rng: np.random.Generator
) -> Iterator[npt.NDArray[np.floating]]:
    for _ in range(rng.integers(0, STILL_STEPS)):
        yield np.zeros(ARM)
    if kind == 'wander':
        yield from _wander(rng)
    else:
        yield from _visit(studio, kind, rng, undo=False)
    after = rng.random()
    if after < 0.45 and kind != 'wander':
        yield from _visit(studio, kind, rng, undo=True)
    elif after < 0.75:
        yield from _visit(studio, str(rng.choice(list(HANDLES))), rng, undo=False)
    elif after < 0.9:
        yield from _wander(rng)


def _visit(
    studio: Studio, element: str, rng: np.random.Generator, undo: bool
) -> Iterator[npt.NDArray[np.floating]]:
    """An expert, often a clumsy one: slow, badly aimed, or shaking in bursts."""
    clumsy = rng.random() < 0.35
    manner = Manner(
        reach=rng.uniform(0.05, 0.11),
        aim_error=rng.uniform(0.02, 0.06) if clumsy else rng.uniform(0.0, 0.01),
    )
    expert = Expert(studio, element, manner, rng, undo)
    shaking = 0.0
    for _ in range(EXPERT_STEPS):
        if rng.random() < 0.08:
            shaking = rng.uniform(0.1, 0.5) if rng.random() < 0.4 else 0.0
        yield expert.act() + shaking * rng.normal(0.0, 1.0, ARM)
        if expert.done:
            return


def _wander(rng: np.random.Generator) -> Iterator[npt.NDArray[np.floating]]:
    velocity = rng.normal(0.0, 0.4, ARM)
    for _ in range(WANDER_STEPS):
        velocity = 0.9 * velocity + rng.normal(0.0, 0.25, ARM)
        yield velocity
