"""How well a prompt grounds: whether it says something that the embedder has seen happen.

The embedding of a sentence always lies near some concept. So a sentence is looked at in three more
ways before it may be acted on: its words (`wording`), a second reader that sees each of them
(`reader`), and whether the two readers agree on what it asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from genrl_ros.system.arrays import FloatArray
from genrl_ros.vlm.base import VideoTextEmbedder
from genrl_ros.vlm.reader import Objection, Reading
from genrl_ros.vlm.wording import Wording, read_wording

_OBJECTIONS: Mapping[Objection, str] = {
    'unclear': 'this does not say clearly what to do; the nearest known concept is: {}',
    'negated': 'this says what not to do; say what to do',
    'several': 'this asks for several things; ask for one at a time',
    'unrelated': 'this seems to be about something else; the nearest known concept is: {}',
}


@dataclass(frozen=True)
class ConceptBank:
    """Where the videos of each known concept lie.

    Attributes:
        names: of the C concepts: a thing and what becomes of it, such as `microwave/opening`, or
            a word for what concerns no thing.
        words: the same for people, such as `opening the microwave`.
        centroids: `(C, D)` float32 of unit length.
        least_score: a prompt that scores less is about something else.
        least_margin: a prompt whose two nearest concepts are less apart is ambiguous.
        domains: names of the concepts that each domain's robot knows, where there are several.
    """

    names: tuple[str, ...]
    words: tuple[str, ...]
    centroids: FloatArray
    least_score: float
    least_margin: float
    domains: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def strange_to(self, robot: str, words: str) -> bool:
        """Whether a concept, in words, is of other domains than the one of that name."""
        known = self.domains.get(robot)
        return known is not None and self.names[self.words.index(words)] not in known

    def known_to(self, robot: str) -> tuple[tuple[str, ...], FloatArray]:
        """Words and centroids `(C, D)` of what a domain's robot knows; of another robot, all."""
        known = self.domains.get(robot, self.names)
        places = [place for place, name in enumerate(self.names) if name in known]
        return tuple(self.words[place] for place in places), self.centroids[places]


@runtime_checkable
class KnowsConcepts(Protocol):
    """An embedder that carries a bank of concepts."""

    bank: ConceptBank


@runtime_checkable
class ReadsSentences(KnowsConcepts, Protocol):
    """An embedder that carries a reader."""

    def read(self, sentence: str, possible: frozenset[Objection]) -> Reading | None:
        """What the reader makes of a sentence; None if it was made without a reader.

        Args:
            sentence: to read.
            possible: the objections that its words allow.
        """
        ...


@dataclass(frozen=True)
class Grounding:
    """What a prompt means to the embedder.

    Attributes:
        score: cosine between the prompt and the videos of the nearest concept, in [-1, 1].
        concept: the nearest concept in words, such as `opening the microwave`.
        runner_up: the second nearest.
        margin: how much nearer the nearest is.
        known: whether it asks for something that the embedder knows, as far as that can be judged;
            else it must not be acted on.
        warning: why the prompt may not mean what the user thinks; '' if it is clear.
    """

    score: float
    concept: str
    runner_up: str
    margin: float
    known: bool
    warning: str

    @property
    def well_grounded(self) -> bool:
        """Whether there is no doubt at all."""
        return not self.warning


def ground(
    embedder: VideoTextEmbedder, embedding: npt.NDArray[np.floating], robot: str = ''
) -> Grounding:
    """Compare the embedding `(D,)` of a prompt with the concepts that its embedder knows.

    Args:
        embedder: that made it.
        embedding: of the prompt.
        robot: name of the robot's domain; it is asked for nothing that only others do. A robot of
            its own is asked for anything.

    Raises:
        ValueError: if the embedding has another size than the embedder's, or no length.
    """
    vector = np.asarray(embedding, np.float32)
    length = float(np.linalg.norm(vector))
    if vector.shape != (embedder.dim,):
        raise ValueError(
            f'an embedding of shape {vector.shape} does not come from {embedder.name}, '
            f'which makes vectors of {embedder.dim} numbers'
        )
    if not np.isfinite(length) or length == 0.0:
        raise ValueError('an embedding without length cannot be grounded')
    if not isinstance(embedder, KnowsConcepts):
        warning = f'{embedder.name} carries no known concepts, so the prompt was not checked'
        return Grounding(0.0, '', '', 0.0, True, warning)
    bank = embedder.bank
    scores = np.clip(bank.centroids @ (vector / length), -1.0, 1.0)
    second, first = np.argsort(scores)[-2:]
    score, margin = float(scores[first]), float(scores[first] - scores[second])
    concept, runner_up = bank.words[first], bank.words[second]
    warning, known = '', score >= bank.least_score
    if not known:
        warning = f'this resembles nothing that the embedder knows; the nearest is: {concept}'
    elif margin < bank.least_margin:
        warning = f'this may mean: {concept}, or: {runner_up}'
    grounding = Grounding(score, concept, runner_up, margin, known, warning)
    if known and bank.strange_to(robot, concept):
        return _refuse(grounding, f'this means: {concept}, and the {robot} has no such act')
    return grounding


def ground_sentence(
    embedder: VideoTextEmbedder, sentence: str, robot: str = ''
) -> tuple[FloatArray, Grounding]:
    """Embedding `(D,)` of a sentence, and what it means, or why it is not to be acted on."""
    embedding = embedder.embed_text([sentence])[0]
    grounding = ground(embedder, embedding, robot)
    wording = read_wording(sentence)
    if wording.halts:
        return embedding, _refuse(grounding, 'this asks to stop, which is no task')
    if wording.asks:
        return embedding, _refuse(grounding, 'this is a question; say what to do')
    if wording.forbids and not wording.affirmed:
        return embedding, _refuse(grounding, _OBJECTIONS['negated'])
    if not grounding.known:
        return embedding, grounding
    reading = None
    if isinstance(embedder, ReadsSentences):
        asked = wording.affirmed if wording.forbids else sentence
        reading = embedder.read(asked, _possible(read_wording(asked)))
    if reading is None:
        if wording.forbids:
            grounding = _refuse(grounding, _OBJECTIONS['negated'])
        return embedding, grounding
    assert isinstance(embedder, KnowsConcepts)
    return embedding, _compare(grounding, reading, embedder.bank, wording)


def _compare(
    grounding: Grounding, reading: Reading, bank: ConceptBank, wording: Wording
) -> Grounding:
    """What the embedding means, in the light of how the sentence was read."""
    if reading.objection is not None:
        text = _OBJECTIONS[reading.objection].format(grounding.concept)
        return _refuse(grounding, text)
    nearest = bank.words.index(grounding.concept)
    if nearest == reading.concept:
        return grounding
    doubt = f'this may mean: {bank.words[reading.concept]}, or: {grounding.concept}'
    if wording.forbids or _differ(bank.names[nearest], bank.names[reading.concept]):
        return _refuse(grounding, f'{doubt}; say it in other words')
    return replace(grounding, warning=doubt)


def _differ(one: str, other: str) -> bool:
    """Whether two concepts are of different things, or of opposite directions."""
    (thing, _, act), (other_thing, _, other_act) = one.partition('/'), other.partition('/')
    return thing != other_thing or {act, other_act} == {'opening', 'closing'}


def _refuse(grounding: Grounding, warning: str) -> Grounding:
    return replace(grounding, known=False, warning=warning)


def _possible(wording: Wording) -> frozenset[Objection]:
    """The objections that the words of a sentence allow."""
    by_words = {'negated': wording.denies, 'several': wording.joins}
    found: list[Objection] = ['unclear', 'unrelated']
    found += [objection for objection in ('negated', 'several') if by_words[objection]]
    return frozenset(found)


def choose_threshold(good: FloatArray, bad: FloatArray, least_kept: float = 0.0) -> float:
    """The value that best tells good from bad sentences, both errors weighing the same.

    Args:
        good: values of sentences that should reach the threshold.
        bad: values of sentences that should not.
        least_kept: share of the good ones that has to reach it in any case.
    """
    values = np.sort(np.concatenate([good, bad]))
    cuts = np.append(values[0], (values[1:] + values[:-1]) / 2)
    kept = (good[None] >= cuts[:, None]).mean(1)
    refused = (bad[None] < cuts[:, None]).mean(1)
    balanced = np.where(kept >= least_kept, kept + refused, 0.0)
    best = np.flatnonzero(balanced == balanced.max())
    return float(cuts[best[len(best) // 2]])
