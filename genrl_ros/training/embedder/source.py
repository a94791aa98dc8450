"""What a domain gives the embedder to learn from: concepts, sentences, and a studio to film in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from genrl_ros.system.arrays import FloatArray, Image
from genrl_ros.vlm.labels import Labels
from genrl_ros.vlm.phrases import Phrases
from genrl_ros.vlm.reader import Objection

States = npt.NDArray[np.float32]


class Scene(Protocol):
    """What the simulator knows of states, such as where the hand is."""

    def at(self, index: npt.NDArray[np.integer[Any]]) -> Scene:
        """The scenes of N clips of T states, for indices `(N, T)`."""
        ...


class Studio(Protocol):
    """A simulator whose states are set and whose look can be varied."""

    def rehearse(self, seed: int) -> States:
        """States `(T, Q)` of one rehearsal, one a control step."""
        ...

    def vary_look(self, rng: np.random.Generator) -> None:
        """Another camera, light and colours."""
        ...

    def look_as_published(self) -> None:
        """The camera, light and colours of the world model's dataset."""
        ...

    def set_state(self, qpos: npt.NDArray[np.floating]) -> None:
        """Put everything where `qpos` `(Q,)` says."""
        ...

    def render(self, size: int = 64) -> Image:
        """`(3, size, size)` uint8."""
        ...

    def watch(self, states: States) -> Scene:
        """The scene of states `(T, Q)`."""
        ...

    def group_odds(self) -> tuple[list[str], FloatArray]:
        """Names of what a take may be about, and how likely each is."""
        ...

    def groups(self, scene: Scene) -> Mapping[str, npt.NDArray[np.bool_]]:
        """For each name, which of N clips are good for it; `wandering` is for all others."""
        ...

    def dress(self, states: States, group: str, rng: np.random.Generator) -> None:
        """Vary, in place, what the robot of a take `(T, Q)` does not touch."""
        ...

    def label(self, scene: Scene) -> Labels:
        """Which concept each of N clips shows: `(N, C)` int8 of `TRUE`, `FALSE` or `UNSURE`."""
        ...

    def close(self) -> None:
        """Free the simulator."""
        ...


class ConceptSource(Protocol):
    """The concepts of a domain.

    Attributes:
        concepts: their names, in the order of labels.
        opposites: for things that go two ways, the concepts of either way.
        evaluation_prompts: sentences that no embedder may be trained with.
        held_out: sentences of each concept to measure with.
        things: names of its things.
        measured: other sentences that its reader is chosen or measured with, by what they are.
    """

    concepts: tuple[str, ...]
    opposites: Mapping[str, tuple[str, str]]
    evaluation_prompts: tuple[str, ...]
    held_out: Phrases
    things: tuple[str, ...]
    measured: Phrases

    def describe(self, concept: str) -> str:
        """A concept in words."""
        ...

    def training_phrases(self) -> Phrases:
        """Sentences of every concept, the same at every call."""
        ...

    def requests(self, rng: np.random.Generator) -> Phrases:
        """Sentences of every concept that the reader learns."""
        ...

    def objections(
        self, rng: np.random.Generator, own: Iterable[str], words: Sequence[str]
    ) -> Mapping[Objection, tuple[str, ...]]:
        """Sentences that the reader learns to object to.

        Args:
            rng: source of randomness.
            own: the domain's own sentences, none of which is among the result.
            words: words of the language that stand for no thing of the domain.
        """
        ...

    def make_studio(self) -> Studio:
        """A studio; imports the simulator."""
        ...
