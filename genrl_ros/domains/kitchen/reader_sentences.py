"""The sentences that the kitchen's reader learns, drawn from grammars and lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from genrl_ros.domains.kitchen import near_misses as near
from genrl_ros.domains.kitchen import wider_phrases as wider
from genrl_ros.domains.kitchen.phrases import (
    CONCEPTS,
    ELEMENTS,
    NOUNS,
    PHASES,
    grammar_of,
)
from genrl_ros.vlm.phrases import everyday_phrases, without
from genrl_ros.vlm.reader import OBJECTIONS, Objection
from genrl_ros.vlm.unrelated import foreign_sentences

ABSENT = 'oven'
"""The stove's oven does not open here, and "oven" alone may mean it; "microwave oven" may not."""
COMMON_NAMES = 2
"""Names of a thing whose every act is learned."""
PLAIN, WIDER, WRAPPED = 180, 200, 140
"""Sentences a concept: of its grammar, of the wider one, and of both with words around them."""
SWITCHED = ('light', 'bottom_burner', 'top_burner')

T = TypeVar('T')


def requests(rng: np.random.Generator) -> dict[str, tuple[str, ...]]:
    """Sentences of every concept."""
    return {concept: _requests(concept, rng) for concept in CONCEPTS}


def objections(
    rng: np.random.Generator, own: Iterable[str], words: Sequence[str]
) -> dict[Objection, tuple[str, ...]]:
    """Sentences to object to, by the reason, none of the kitchen's own among them.

    Args:
        rng: source of randomness.
        own: the kitchen's own sentences, evaluation prompts included.
        words: words of the language that stand for no thing of the kitchen.
    """
    own = tuple(own)
    draw = _Draw(rng, words)
    drawn: Mapping[Objection, list[str]] = {
        'unrelated': [*draw.unrelated(), *2 * foreign_sentences(own)],
        'unclear': draw.unclear(),
        'several': draw.several(),
        'negated': draw.negated(),
    }
    return {kind: tuple(without(drawn[kind], own)) for kind in OBJECTIONS}


def nouns(element: str) -> tuple[str, ...]:
    """Names of a thing that mean nothing else in this kitchen."""
    return tuple(dict.fromkeys(n for n in NOUNS[element] if ABSENT not in n or 'microwave' in n))


def _requests(concept: str, rng: np.random.Generator) -> tuple[str, ...]:
    element, _, phase = concept.partition('/')
    grammar = grammar_of(concept)
    plain = [s for s in grammar.sentences() if ABSENT not in s or 'microwave' in s]
    if phase:
        forms = _wider(element, phase)
        things = [article + noun for noun in nouns(element) for article in ('the ', '')]
        more = [
            form.format(thing, n=thing.removeprefix('the ')) for form in forms for thing in things
        ]
        imperatives = [act.imperative.format(thing) for act in grammar.acts for thing in things]
    else:
        more = list({'idle': wider.IDLE, 'wandering': wider.WANDERING}[concept])
        imperatives = []
    things = [] if not phase else [f'the {noun}' for noun in nouns(element)[:COMMON_NAMES]]
    core = [act.imperative.format(thing) for act in grammar.acts for thing in things]
    chosen = [*core, *_some(plain, PLAIN, rng), *_some(more, WIDER, rng)]
    chosen += everyday_phrases('kitchen')[concept]
    if phase != 'open':
        wrapped = imperatives + more
        chosen += [_pick(wider.MANNER, rng).format(_pick(wrapped, rng)) for _ in range(WRAPPED)]
    return tuple(dict.fromkeys(chosen))


def _wider(element: str, phase: str) -> tuple[str, ...]:
    kind = {'bottom_burner': 'burner', 'top_burner': 'burner', 'hinge': 'microwave'}
    if phase == 'reaching':
        return wider.REACHING
    if phase == 'touching':
        return wider.TOUCHING
    if phase == 'open':
        at_rest = 'switched' if element in SWITCHED else 'door'
        return wider.RESTING['kettle' if element == 'kettle' else at_rest]
    return (wider.OPENING if phase == 'opening' else wider.CLOSING)[kind.get(element, element)]


class _Draw:
    """Draws sentences to object to."""

    def __init__(self, rng: np.random.Generator, words: Sequence[str]) -> None:
        self._rng, self._words = rng, words
        self._things = [noun for element in ELEMENTS for noun in nouns(element)]

    def unrelated(self) -> list[str]:
        """Other things with the kitchen's verbs, its things with other verbs, other senses."""
        found = [self._framed(near.TASK_VERBS, self._other_thing()) for _ in range(4200)]
        found += [self._own_form(self._other_thing()) for _ in range(2600)]
        for _ in range(1800):
            verbs = near.OTHER_VERBS if self._rng.random() < 0.85 else self._words
            found.append(self._framed(verbs, self._article() + self._pick(self._things)))
        for _ in range(1000):
            names = [self._pick(near.OTHER_THINGS), self._pick(self._things)]
            self._rng.shuffle(names)
            found.append(self._pick(near.CONTENTS).format(*names))
        for _ in range(800):
            subject = self._pick(near.SUBJECTS)
            if self._rng.random() < 0.3:
                subject = f'the {self._pick(self._words)}'
            found.append(f'{subject} {self._pick(near.PREDICATES)}')
        for templates in (near.QUESTIONS, near.ABOUT):
            found += [self._pick(templates).format(self._pick(self._things)) for _ in range(500)]
        for _ in range(500):
            count = int(self._rng.integers(1, 7))
            found.append(' '.join(self._pick(self._words) for _ in range(count)))
        return [*found, *2 * near.OTHER_SENSES]

    def unclear(self) -> list[str]:
        """What names no thing, no act, or neither."""
        found = [self._pick(near.VAGUE).format(self._pick(near.VAGUE_THINGS)) for _ in range(500)]
        found += [self._pick(wider.MANNER).format(self._pick(near.UNCLEAR)) for _ in range(350)]
        return [*found, *2 * near.UNCLEAR]

    def several(self) -> list[str]:
        """Two tasks in a sentence, or everything."""
        found = list(2 * near.ALL)
        for _ in range(1300):
            first, second = (self._act() for _ in range(2))
            form = 1 if self._rng.random() < 0.2 else 0
            joints = near.JOINED_GERUNDS if form else near.JOINED
            found.append(self._pick(joints).format(first[form], second[form]))
        for _ in range(350):
            things = [f'the {noun}' for noun in self._rng.choice(self._things, 2)]
            verb = self._pick(('open {}', 'close {}', 'turn on {}', 'switch off {}', 'move {}'))
            found.append(verb.format(self._pick(near.JOINED_THINGS).format(*things)))
        found += [
            self._pick(near.BOTH_WAYS).format(f'the {self._pick(self._things)}')
            for _ in range(250)
        ]
        return found

    def negated(self) -> list[str]:
        """What is not to be done, or not so."""
        found = []
        for _ in range(1500):
            imperative, gerund = self._act()
            found.append(self._pick(near.PROHIBITIONS).format(i=imperative, g=gerund))
        found += [self._pick(near.LEAVE).format(self._pick(self._things)) for _ in range(350)]
        for templates, things in (
            (near.LEAVE_DOORS, near.DOORS),
            (near.LEAVE_SWITCHED, near.SWITCHED),
        ):
            found += [self._pick(templates).format(self._pick(things)) for _ in range(250)]
        return found

    def _pick(self, items: Sequence[T]) -> T:
        return _pick(items, self._rng)

    def _article(self) -> str:
        return self._pick(('the ', 'the ', 'a ', 'my ', 'this ', ''))

    def _other_thing(self) -> str:
        thing = self._pick(near.OTHER_THINGS if self._rng.random() < 0.55 else self._words)
        return thing if thing.startswith(('your ', 'my ')) else self._article() + thing

    def _framed(self, verbs: Sequence[str], thing: str) -> str:
        return self._pick(near.FRAMES).format(f'{self._pick(verbs)} {thing}')

    def _own_form(self, thing: str) -> str:
        """A sentence of the kitchen about another thing."""
        grammar = grammar_of(f'{self._pick(ELEMENTS)}/{self._pick(PHASES)}')
        acts = [form for a in grammar.acts for form in (a.imperative, a.gerund, a.present)]
        forms = [form for form in (*acts, *grammar.statements) if '{}' in form]
        frame = self._pick(('{}', '{}', 'please {}', 'the robot {}', 'a man {}', 'she {}'))
        return frame.format(self._pick(forms).format(thing))

    def _act(self) -> tuple[str, str]:
        """An act of the kitchen, imperative and gerund."""
        element = self._pick(ELEMENTS)
        grammar = grammar_of(f'{element}/{self._pick(("opening", "closing"))}')
        act, thing = self._pick(grammar.acts), f'the {self._pick(nouns(element))}'
        return act.imperative.format(thing), act.gerund.format(thing)


def _pick(items: Sequence[T], rng: np.random.Generator) -> T:
    return items[int(rng.integers(len(items)))]


def _some(items: Iterable[str], count: int, rng: np.random.Generator) -> list[str]:
    items = list(dict.fromkeys(items))
    return [items[i] for i in rng.permutation(len(items))[:count]]
