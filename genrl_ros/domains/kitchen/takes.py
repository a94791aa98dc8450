"""What the takes that the embedder learns from are about, and what is varied in them."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

from genrl_ros.domains.kitchen.concepts import MOVED, Scene, label
from genrl_ros.domains.kitchen.phrases import CONCEPTS, ELEMENTS
from genrl_ros.system.arrays import FloatArray
from genrl_ros.vlm.labels import TRUE, Labels

STILL = 0.02
"""Share of its way below which an element rests throughout a take."""


class Takes(ABC):
    """The part of a studio that needs no simulator; see `training.embedder.source.Studio`."""

    @abstractmethod
    def places(self, qpos: npt.NDArray[np.floating]) -> tuple[FloatArray, FloatArray]:
        """Hand `(T, 3)` and handles `(T, 7, 3)` in metres."""
        ...

    @abstractmethod
    def progress(self, qpos: npt.NDArray[np.floating]) -> FloatArray:
        """How far each element is, `(T, 7)`."""
        ...

    @abstractmethod
    def set_element(
        self, qpos: npt.NDArray[np.floating], element: str, progress: npt.NDArray[np.floating]
    ) -> None:
        """Put an element where `progress` `(T,)` says, in place."""
        ...

    def watch(self, states: npt.NDArray[np.floating]) -> Scene:
        """The scene of states `(T, 30)`."""
        return Scene(self.progress(states), *self.places(states))

    @staticmethod
    def label(scene: Scene) -> Labels:
        """Which concept each of N clips shows, `(N, C)`."""
        return label(scene)

    @staticmethod
    def group_odds() -> tuple[list[str], FloatArray]:
        """What a take may be about: mostly a thing that moves."""
        weights = {f'{e}/moving': 4.0 for e in ELEMENTS}
        weights |= {f'{e}/{p}': 1.5 for e in ELEMENTS for p in ('reaching', 'touching')}
        weights |= {'idle': 1.5, 'wandering': 2.0}
        odds = np.array(list(weights.values()), np.float32)
        return list(weights), odds / odds.sum()

    @staticmethod
    def groups(scene: Scene) -> dict[str, npt.NDArray[np.bool_]]:
        """What moments of a rehearsal are good for; motion counts in either direction."""
        labels = label(scene) == TRUE
        change = np.abs(scene.progress[:, -1] - scene.progress[:, 0]) > MOVED
        groups = {f'{e}/moving': change[:, i] for i, e in enumerate(ELEMENTS)}
        for name in ('reaching', 'touching'):
            groups |= {f'{e}/{name}': labels[:, CONCEPTS.index(f'{e}/{name}')] for e in ELEMENTS}
        return groups | {n: labels[:, CONCEPTS.index(n)] for n in ('idle', 'wandering')}

    def dress(self, states: npt.NDArray[np.float32], group: str, rng: np.random.Generator) -> None:
        """Set elements that rest to other states; let the kettle travel by itself."""
        frames = len(states)
        still = np.ptp(self.progress(states), axis=0) < STILL
        if group == 'kettle/moving':
            begin, lasting = rng.uniform(-4.0, 4.0), rng.uniform(6.0, 14.0)
            way = np.clip((np.arange(frames) - begin) / lasting, 0.0, 1.0)
            self.set_element(states, 'kettle', way if rng.random() < 0.5 else way[::-1])
        if rng.random() < 0.35:
            return
        for element, resting in zip(ELEMENTS, still, strict=True):
            if not resting or (element == 'kettle' and group == 'kettle/moving'):
                continue
            choice = rng.random()
            if choice < 0.2:
                self.set_element(states, element, np.full(frames, rng.uniform(0.85, 1.05)))
            elif choice < 0.26:
                self.set_element(states, element, np.full(frames, rng.uniform(0.1, 0.85)))
