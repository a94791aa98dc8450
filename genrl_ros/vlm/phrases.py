"""Sentences for the concepts of a domain: what the embedder learns, and what it is tested with."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from genrl_ros.system.share import share_path

Phrases = Mapping[str, tuple[str, ...]]

_PUNCTUATION = re.compile(r'[^a-z0-9 ]+')
_ARTICLES = frozenset(('a', 'an', 'the'))
_FRAMES = {
    'imperative': ('{}', '{}', 'please {}', 'can you {}', 'the robot should {}', 'go and {}'),
    'gerund': ('{}', '{}', 'the robot is {}', 'a robot arm {}', 'the arm {}', 'a video of {}'),
    'present': ('the robot {}', 'the robot arm {}', 'it {}', 'the gripper {}'),
}


@dataclass(frozen=True)
class Act:
    """One way to say what is done, in three verb forms; `{}` stands for the thing."""

    imperative: str
    gerund: str
    present: str


@dataclass(frozen=True)
class Grammar:
    """All ways to say one concept.

    Attributes:
        nouns: names of the thing, without an article.
        acts: what is done with it.
        statements: whole sentences about it; `{}` stands for the thing with its article.
    """

    nouns: tuple[str, ...]
    acts: tuple[Act, ...] = ()
    statements: tuple[str, ...] = ()

    def sentences(self) -> list[str]:
        """Every sentence of the grammar, in a fixed order."""
        things = [f'the {noun}' for noun in self.nouns] + list(self.nouns)
        said: dict[str, None] = {}
        for thing, act in itertools.product(things, self.acts):
            for form, frames in _FRAMES.items():
                for frame in frames:
                    said[frame.format(getattr(act, form).format(thing))] = None
        for noun, statement in itertools.product(self.nouns, self.statements):
            said[statement.format(f'the {noun}')] = None
        return list(said)


def normalise(sentence: str) -> str:
    """Lower case, no punctuation, no articles, single spaces: how two sentences are compared."""
    words = _PUNCTUATION.sub(' ', sentence.lower()).split()
    return ' '.join(word for word in words if word not in _ARTICLES)


def without(sentences: Iterable[str], forbidden: Sequence[str]) -> list[str]:
    """The sentences that are none of the forbidden ones, however these are spelled."""
    banned = {normalise(sentence) for sentence in forbidden}
    return [sentence for sentence in sentences if normalise(sentence) not in banned]


def check_apart(learned: Iterable[str], kept: Iterable[str]) -> None:
    """Check that nothing that is kept for measuring is learned, however it is spelled.

    Raises:
        ValueError: naming the sentences that are.
    """
    known = {normalise(sentence) for sentence in learned}
    leaked = [sentence for sentence in kept if normalise(sentence) in known]
    if leaked:
        raise ValueError(f'these sentences must not be trained with: {", ".join(leaked)}')


@dataclass(frozen=True)
class Tested:
    """Sentences to measure with, of which none is learned, and by which nothing is chosen.

    Attributes:
        request: of each concept.
        unrelated: about something else.
        negated: that forbid or deny.
    """

    request: Phrases
    unrelated: tuple[str, ...]
    negated: tuple[str, ...]


def everyday_phrases(domain: str) -> Phrases:
    """Ways to ask for a domain's concepts that no grammar has: `config/phrases/DOMAIN.yaml`."""
    return _tuples(_read(f'{domain}.yaml'))


def tested_phrases(domain: str) -> Tested:
    """What a domain's sentences are measured with: `config/phrases/DOMAIN.tested.yaml`."""
    held = _read(f'{domain}.tested.yaml')
    return Tested(_tuples(held['request']), tuple(held['unrelated']), tuple(held['negated']))


def _read(name: str) -> Any:
    return yaml.safe_load(share_path('config', 'phrases', name).read_text(encoding='utf-8'))


def _tuples(lists: Mapping[str, Sequence[str]]) -> Phrases:
    return {name: tuple(each) for name, each in lists.items()}


def draw(grammar: Grammar, count: int, seed: int, forbidden: Sequence[str]) -> tuple[str, ...]:
    """At most `count` different sentences of the grammar, none of them forbidden."""
    sentences = without(grammar.sentences(), forbidden)
    order = np.random.default_rng(seed).permutation(len(sentences))
    return tuple(sentences[i] for i in sorted(order[:count]))
