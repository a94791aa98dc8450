"""What the arm does in the episodes that a world model of the kitchen is trained on.

The paper's data are replay buffers of agents that learn the tasks, from novice to expert, and of
an explorer. Scripts imitate that mixture: experts of every quality, and random motion that starts
wherever an expert left the arm, since a policy learned inside the model has to find there what
*any* action does, not only the expert's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from genrl_ros.domains.kitchen import DOMAIN
from genrl_ros.domains.kitchen.arm import Arm, Vector
from genrl_ros.domains.kitchen.experts import Expert, Manner
from genrl_ros.domains.kitchen.physics import ARM, Kitchen

Actions = Iterator[Vector]
Noise = Callable[[], Vector]

TASK_ELEMENTS = tuple(task.readings[0] for task in DOMAIN.tasks)
OTHER_ELEMENTS = ('hinge', 'top_burner', 'kettle')

# Share of the episodes of each kind.
MIXTURE = {
    'expert': 0.13,
    'noisy': 0.14,
    'bursts': 0.08,
    'several': 0.10,
    'undo': 0.06,
    'interrupted': 0.05,
    'other': 0.09,
    'explore': 0.26,
    'random': 0.09,
}


@dataclass(frozen=True)
class Script:
    """One episode's plan.

    Attributes:
        kind: what kind of behaviour it is, with the element that it is about.
        actions: endless actions `(9,)`; each is computed from the live simulation when asked for.
    """

    kind: str
    actions: Actions


def kitchen_script(kitchen: Kitchen, rng: np.random.Generator) -> Script:
    """Draw an episode's behaviour from the mixture."""
    kind = str(rng.choice(list(MIXTURE), p=list(MIXTURE.values())))
    element = str(rng.choice(OTHER_ELEMENTS if kind == 'other' else TASK_ELEMENTS))
    author = _Author(kitchen, rng)
    if kind == 'random':
        return Script(kind, author.random())
    plan: Callable[[str], Actions] = getattr(author, kind)
    return Script(f'{kind} {element}', author.after_opening(plan(element)))


class _Author:
    """Writes the scripts of one episode."""

    def __init__(self, kitchen: Kitchen, rng: np.random.Generator) -> None:
        self._kitchen, self._rng, self._arm = kitchen, rng, Arm(kitchen)

    # Whole episodes, one method a kind.

    def expert(self, element: str) -> Actions:
        yield from self._pursue(element, _no_noise)
        yield from self._aftermath(element)

    def noisy(self, element: str) -> Actions:
        noise = self._gaussian() if self._rng.random() < 0.5 else self._drifting()
        yield from self._pursue(element, noise)
        yield from self._aftermath(element)

    def bursts(self, element: str) -> Actions:
        yield from self._pursue(element, self._bursts())
        yield from self._aftermath(element)

    def several(self, element: str) -> Actions:
        """Several of the four tasks, one after the other."""
        rest = [name for name in TASK_ELEMENTS if name != element]
        self._rng.shuffle(rest)
        for name in (element, *rest):
            yield from self._pursue(name, self._any_noise())
        yield from self.random()

    def undo(self, element: str) -> Actions:
        """Open and close, on and off."""
        back = False
        while True:
            yield from self._pursue(element, self._any_noise(), undo=back)
            yield from self._wander(self._between(2, 12))
            back = not back

    def interrupted(self, element: str) -> Actions:
        """An expert that gives up half-way."""
        yield from self._pursue(element, self._any_noise(), steps=self._between(5, 35))
        yield from self.random()

    def other(self, element: str) -> Actions:
        """An element that is no task; from half-way through, perhaps a task as well."""
        yield from self._pursue(element, self._any_noise())
        yield from self._aftermath(element)

    def explore(self, element: str) -> Actions:
        """Random motion from anywhere along the experts' ways."""
        while True:
            yield from self._pursue(element, self._any_noise(), steps=self._between(4, 45))
            yield from self._wander(self._between(5, 30))
            if self._rng.random() < 0.3:
                element = str(self._rng.choice(TASK_ELEMENTS))

    def random(self) -> Actions:
        """Random motion of changing style."""
        while True:
            yield from self._wander(self._between(8, 40))

    # Parts of episodes.

    def after_opening(self, actions: Actions) -> Actions:
        """Some episodes linger at the start or move about before they begin in earnest."""
        opening = self._rng.random()
        if opening < 0.2:
            yield from self._linger(self._between(3, 25))
        elif opening < 0.45:
            yield from self._wander(self._between(2, 14))
        yield from actions

    def _aftermath(self, element: str) -> Actions:
        """What happens once an element is moved: rest, move about, undo it, turn to another."""
        while True:
            turn = self._rng.random()
            if turn < 0.3:
                yield from self._linger(self._between(5, 25))
            elif turn < 0.6:
                yield from self._wander(self._between(8, 30))
            elif turn < 0.85:
                yield from self._pursue(element, self._any_noise(), undo=element != 'kettle')
                yield from self._linger(self._between(0, 8))
                yield from self._pursue(element, self._any_noise())
            else:
                element = str(self._rng.choice(TASK_ELEMENTS))
                yield from self._pursue(element, self._any_noise())

    def _pursue(self, element: str, noise: Noise, undo: bool = False, steps: int = 70) -> Actions:
        manner = Manner(
            reach=float(self._rng.uniform(0.06, 0.14)),
            aim_error=float(self._rng.choice([0.0, 0.004, 0.01])),
        )
        expert = Expert(self._kitchen, element, manner, self._rng, undo)
        for _ in range(steps):
            if expert.done:
                return
            yield expert.act() + noise()

    def _linger(self, steps: int) -> Actions:
        """Stay, more or less: held up, or sinking under zero actions."""
        held = self._rng.random() < 0.7
        noise = self._gaussian(0.02, 0.1)
        for _ in range(steps):
            yield (self._arm.still(0.0) if held else np.zeros(ARM)) + noise()

    def _wander(self, steps: int) -> Actions:
        """Random motion of one style, in half of the cases held up against gravity."""
        style = str(self._rng.choice(['drifting', 'white', 'constant', 'pieces', 'few joints']))
        held = self._rng.random() < 0.5
        motion = self._motion(style)
        for _ in range(steps):
            yield motion() + (self._arm.still(0.0) if held else 0.0)

    def _motion(self, style: str) -> Noise:
        rng = self._rng
        if style == 'drifting':
            return self._drifting(0.3, 1.0)
        if style == 'white':
            return self._gaussian(0.3, 1.0)
        size = float(rng.uniform(0.3, 1.0))
        moving = np.where(rng.random(ARM) < (0.3 if style == 'few joints' else 1.0), size, 0.0)
        change = 0.0 if style == 'constant' else float(rng.uniform(0.1, 0.35))
        return _piecewise(rng, moving, change)

    # Noise on top of experts.

    def _any_noise(self) -> Noise:
        makers = (lambda: _no_noise, self._gaussian, self._drifting, self._bursts)
        return makers[int(self._rng.choice(4, p=[0.35, 0.25, 0.25, 0.15]))]()

    def _gaussian(self, low: float = 0.05, high: float = 0.35) -> Noise:
        sigma = self._rng.uniform(low, high)
        return lambda: sigma * self._rng.standard_normal(ARM)

    def _drifting(self, low: float = 0.1, high: float = 0.4) -> Noise:
        """Ornstein-Uhlenbeck noise with the given range of standard deviations."""
        rng, sigma, memory = self._rng, self._rng.uniform(low, high), self._rng.uniform(0.6, 0.95)
        state = sigma * rng.standard_normal(ARM)

        def noise() -> Vector:
            nonlocal state
            fresh = rng.standard_normal(ARM)
            state = memory * state + sigma * np.sqrt(1 - memory**2) * fresh
            return state

        return noise

    def _bursts(self) -> Noise:
        """Quiet, and now and then a few steps of something else."""
        rng, left, push = self._rng, 0, np.zeros(ARM)

        def noise() -> Vector:
            nonlocal left, push
            if left == 0 and rng.random() < 0.08:
                left, push = int(rng.integers(2, 7)), rng.uniform(-1.5, 1.5, ARM)
            if left == 0:
                return np.zeros(ARM)
            left -= 1
            return push

        return noise

    def _between(self, low: int, high: int) -> int:
        return int(self._rng.integers(low, high + 1))


def _no_noise() -> Vector:
    return np.zeros(ARM)


def _piecewise(rng: np.random.Generator, size: Vector, change: float) -> Noise:
    """Uniform in +-`size`, drawn anew with probability `change` a step."""
    state = rng.uniform(-size, size)

    def noise() -> Vector:
        nonlocal state
        if rng.random() < change:
            state = rng.uniform(-size, size)
        return state

    return noise
