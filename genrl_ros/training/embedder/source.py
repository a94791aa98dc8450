"""What a domain gives the embedder to learn from: concepts, sentences, and a studio to film in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from genrl_ros.system.arrays import FloatArray, Image
from genrl_ros.vlm.labels import FALSE, Labels
from genrl_ros.vlm.phrases import Phrases, Tested, without
from genrl_ros.vlm.reader import OBJECTIONS, Objection

Name = TypeVar('Name', bound=str)
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
        held_out: sentences of each concept to choose settings and to measure with.
        tested: sentences by which nothing was chosen.
        things: names of its things.
        measured: other sentences that its reader is chosen or measured with, by what they are.
        rehearsals: how many show what it can look like.
        takes: how many of them are filmed to train with.
    """

    concepts: tuple[str, ...]
    opposites: Mapping[str, tuple[str, str]]
    evaluation_prompts: tuple[str, ...]
    held_out: Phrases
    tested: Tested
    things: tuple[str, ...]
    measured: Phrases
    rehearsals: int
    takes: int

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


@dataclass(frozen=True)
class Concepts:
    """The concepts of one domain or more; what two of them call the same is one concept.

    Attributes:
        sources: by the domain's name.
    """

    sources: Mapping[str, ConceptSource]

    @property
    def names(self) -> tuple[str, ...]:
        """All concepts, in the order of labels and anchors."""
        return tuple(dict.fromkeys(chain(*(s.concepts for s in self.sources.values()))))

    @property
    def descriptions(self) -> dict[str, str]:
        """Each concept in words."""
        found: dict[str, str] = {}
        for source in self.sources.values():
            found |= {name: source.describe(name) for name in source.concepts if name not in found}
        return {name: found[name] for name in self.names}

    @property
    def opposites(self) -> dict[str, tuple[str, str]]:
        """For things that go two ways, the concepts of either way."""
        return {k: way for s in self.sources.values() for k, way in s.opposites.items()}

    @property
    def evaluation_prompts(self) -> tuple[str, ...]:
        """Sentences that no embedder may be trained with."""
        return tuple(chain(*(s.evaluation_prompts for s in self.sources.values())))

    @property
    def held_out(self) -> dict[str, tuple[str, ...]]:
        """Sentences of each concept to measure with."""
        return self._joined([source.held_out for source in self.sources.values()])

    @property
    def tested(self) -> dict[str, tuple[str, ...]]:
        """Sentences of each concept by which nothing was chosen."""
        return self._joined([source.tested.request for source in self.sources.values()])

    @property
    def kept(self) -> tuple[str, ...]:
        """All that is measured with, and therefore never learned."""
        found = list(self.evaluation_prompts)
        for source in self.sources.values():
            tested, measured = source.tested, source.measured.items()
            tests = [texts for name, texts in measured if not name.startswith('choice/')]
            sets = (*source.held_out.values(), *tested.request.values(), *tests)
            found += [*chain(*sets), *tested.unrelated, *tested.negated]
        return tuple(found)

    def training_phrases(self) -> dict[str, tuple[str, ...]]:
        """Sentences of every concept, the same at every call, none of `kept` among them."""
        sources = self.sources.values()
        return self._apart(self._joined([source.training_phrases() for source in sources]))

    @property
    def things(self) -> tuple[str, ...]:
        """Names of the things of all domains."""
        return tuple(chain(*(source.things for source in self.sources.values())))

    def requests(self, rng: np.random.Generator) -> dict[str, tuple[str, ...]]:
        """Sentences of every concept that the reader learns."""
        sources = self.sources.values()
        return self._apart(self._joined([source.requests(rng) for source in sources]))

    def objections(
        self, rng: np.random.Generator, own: Iterable[str], words: Sequence[str]
    ) -> dict[Objection, tuple[str, ...]]:
        """Sentences that the reader learns to object to; see `ConceptSource.objections`."""
        own = tuple(own)
        drawn = [source.objections(rng, own, words) for source in self.sources.values()]
        joined = {kind: tuple(chain(*(each[kind] for each in drawn))) for kind in OBJECTIONS}
        return self._apart(joined)

    def _apart(self, drawn: Mapping[Name, tuple[str, ...]]) -> dict[Name, tuple[str, ...]]:
        kept = self.kept
        return {name: tuple(without(texts, kept)) for name, texts in drawn.items()}

    def _joined(self, parts: Sequence[Phrases]) -> dict[str, tuple[str, ...]]:
        return {name: tuple(chain(*(p.get(name, ()) for p in parts))) for name in self.names}

    def widen(self, labels: Labels, domain: str) -> Labels:
        """Labels `(..., c)` of one domain as `(..., C)` of all: what others do is not shown."""
        wide = np.full((*labels.shape[:-1], len(self.names)), FALSE, np.int8)
        wide[..., [self.names.index(name) for name in self.sources[domain].concepts]] = labels
        return wide
