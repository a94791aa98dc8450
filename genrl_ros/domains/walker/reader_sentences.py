"""The sentences that the walker's reader learns, drawn from grammars and lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from genrl_ros.domains.walker.phrases import ACTS, gerund, present, sentences
from genrl_ros.vlm.phrases import everyday_phrases, without
from genrl_ros.vlm.reader import OBJECTIONS, Objection

THINGS = ('leg', 'foot', 'knee', 'body', 'floor', 'step', 'head', 'walk', 'run', 'jump')
"""What its sentences are about; words near them are left out of what is unrelated."""
PLAIN, WRAPPED = 260, 140
"""Sentences a concept: of the grammar, and of its acts with words around them."""
WRAPPINGS = (
    '{} now', '{} for me', '{} please', 'I want you to {}', "let's {}", '{} right there',
    '{} for a while', 'robot, {}', 'could you {}', 'would you {} please', 'show me how to {}',
    '{} as well as you can', 'go on and {}', 'your task is to {}', '{} carefully', 'just {}',
    'I would like it to {}', 'make the robot {}', 'have the walker {}', 'let the body {}',
)  # fmt: skip
JOINED = (
    '{} and then {}', '{}, then {}', 'first {}, then {}', '{} before you {}', '{} after you {}',
    '{} or {}', '{} and {} afterwards', 'either {} or {}',
)  # fmt: skip
PROHIBITIONS = (
    'do not {i}', "don't {i}", 'never {i}', 'stop {g}', 'no {g}', 'avoid {g}', 'refrain from {g}',
    'you must not {i}', 'it should not {i}', 'under no circumstances {i}', "please don't {i}",
    'nobody is {g}', 'the robot is not {g}', 'cease {g}', 'quit {g}', "I don't want you to {i}",
)  # fmt: skip
UNCLEAR = (
    'do it', 'go', 'go on', 'do something nice', 'again', 'do that', 'like before', 'continue',
    'do your thing', 'move it', 'a task', 'the body', 'the robot', 'a leg', 'the floor',
    'be good', 'show me what you can', 'faster', 'slower', 'higher', 'more', 'less', 'better',
    'that one', 'the other one', 'surprise me', 'make it so', 'use your legs', 'your feet',
    'the usual', 'as always', 'help', 'work', 'start', 'begin', 'perform', 'act', 'change',
    'try harder', 'improve', 'left', 'right', 'up', 'down', 'there', 'here', 'this',
)  # fmt: skip
OTHER_SENSES = (
    'run a program', 'run the dishwasher', 'run for president', 'run out of milk', 'run a company',
    'walk me through the plan', 'stand for election', 'stand by your friends', 'take a stand',
    'kick the bucket', 'kick the habit', 'lie to me', 'tell a lie', 'sit an exam', 'fall in love',
    'jump to conclusions', 'jump the queue', 'flip a coin', 'flip the page', 'flip the switch',
    'the prices rise', 'rise of the empire', 'the market falls', 'fall asleep at the wheel',
    'back up the files', 'back up the hard disk', 'jog my memory', 'leap year', 'bow tie',
    'the bow of the ship', 'squat in an empty house', 'the race for the moon', 'a dash of salt',
    'hurry up with the report', 'a run on the bank', 'a walk in the park was the exam',
    'the standing orders of the bank', 'a sitting duck', 'the lying politician', 'night falls',
    'a high standing', 'the running costs', 'running water', 'a walking stick', 'a rising star',
)  # fmt: skip
DEEDS = (
    'play', 'write', 'paint', 'cook', 'read', 'open', 'close', 'throw', 'catch', 'carry', 'drive',
    'ride', 'buy', 'sell', 'clean', 'wash', 'build', 'repair', 'draw', 'cut', 'count', 'send',
    'call', 'switch on', 'switch off', 'push', 'pull', 'fold', 'eat', 'drink', 'sing', 'translate',
    'move', 'lift', 'turn', 'find', 'bring', 'fetch', 'weigh', 'measure', 'explain', 'describe',
)  # fmt: skip
FRAMES = ('{}', '{}', 'please {}', 'can you {}', 'the robot should {}', 'a man will {}', 'now {}')
PREDICATES = (
    'stands on the table', 'runs on electricity', 'lies in the drawer', 'falls from the shelf',
    'rises in the oven', 'is for sale', 'needs repair', 'belongs to me', 'costs a lot', 'is red',
    'jumps in price', 'sits on the shelf', 'walks away with the prize', 'turns over a profit',
)  # fmt: skip

T = TypeVar('T')


def requests(rng: np.random.Generator) -> dict[str, tuple[str, ...]]:
    """Sentences of every concept."""
    return {concept: _requests(concept, rng) for concept in ACTS}


def objections(
    rng: np.random.Generator, own: Iterable[str], words: Sequence[str]
) -> Mapping[Objection, tuple[str, ...]]:
    """Sentences to object to, by the reason, none of the walker's own among them.

    Args:
        rng: source of randomness.
        own: the walker's own sentences, evaluation prompts included.
        words: words of the language that stand for nothing of the walker.
    """
    own = tuple(own)
    drawn: Mapping[Objection, list[str]] = {
        'unrelated': _unrelated(rng, words),
        'unclear': [
            *2 * UNCLEAR,
            *(_pick(WRAPPINGS, rng).format(_pick(UNCLEAR, rng)) for _ in range(250)),
        ],
        'several': _several(rng),
        'negated': _negated(rng),
    }
    return {kind: tuple(without(drawn[kind], own)) for kind in OBJECTIONS}


def _requests(concept: str, rng: np.random.Generator) -> tuple[str, ...]:
    known = list(dict.fromkeys(sentences(concept)))
    chosen = [known[i] for i in rng.permutation(len(known))[:PLAIN]]
    acts = ACTS[concept]
    chosen += [*acts, *everyday_phrases('walker')[concept]]
    chosen += [_pick(WRAPPINGS, rng).format(_pick(acts, rng)) for _ in range(WRAPPED)]
    return tuple(dict.fromkeys(chosen))


def _unrelated(rng: np.random.Generator, words: Sequence[str]) -> list[str]:
    """Other deeds, things that are said to stand or to run, and words without sense."""
    found = [
        _pick(FRAMES, rng).format(f'{_pick(DEEDS, rng)} the {_pick(words, rng)}')
        for _ in range(1500)
    ]
    found += [f'the {_pick(words, rng)} {_pick(PREDICATES, rng)}' for _ in range(500)]
    for _ in range(300):
        count = int(rng.integers(1, 7))
        found.append(' '.join(_pick(words, rng) for _ in range(count)))
    return [*found, *3 * OTHER_SENSES]


def _several(rng: np.random.Generator) -> list[str]:
    """Two acts in a sentence."""
    found = []
    for _ in range(900):
        first, second = (_act(rng) for _ in range(2))
        form = gerund if rng.random() < 0.2 else str
        found.append(_pick(JOINED, rng).format(form(first), form(second)))
    return found


def _negated(rng: np.random.Generator) -> list[str]:
    """What is not to be done."""
    found = []
    for _ in range(900):
        act = _act(rng)
        found.append(_pick(PROHIBITIONS, rng).format(i=act, g=gerund(act)))
    return [*found, *(f'the robot never {present(_act(rng))}' for _ in range(80))]


def _act(rng: np.random.Generator) -> str:
    return _pick(ACTS[_pick(list(ACTS), rng)], rng)


def _pick(items: Sequence[T], rng: np.random.Generator) -> T:
    return items[int(rng.integers(len(items)))]
