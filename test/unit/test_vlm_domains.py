"""Concepts of several domains as one bank: what is shared, and what another robot is not asked."""

import numpy as np
import pytest

from genrl_ros.domains.kitchen.source import SOURCE as KITCHEN
from genrl_ros.domains.walker.source import SOURCE as WALKER
from genrl_ros.training.embedder.clips import Clips
from genrl_ros.training.embedder.report import placed
from genrl_ros.training.embedder.source import Concepts
from genrl_ros.vlm.labels import FALSE, TRUE, UNSURE
from genrl_ros.vlm.phrases import normalise

BOTH = Concepts({'kitchen': KITCHEN, 'walker': WALKER})


def test_what_two_domains_call_the_same_is_one_concept() -> None:
    assert BOTH.names[: len(KITCHEN.concepts)] == KITCHEN.concepts
    assert len(BOTH.names) == len(set(BOTH.names)) == len({*KITCHEN.concepts, *WALKER.concepts})
    assert BOTH.names.count('wandering') == 1
    said = BOTH.training_phrases()['wandering']
    assert 'the robot arm wanders about' in said and 'wiggle' in said
    assert list(BOTH.descriptions) == list(BOTH.names)


def test_labels_of_one_domain_say_that_nothing_of_another_is_shown() -> None:
    labels = np.array([[TRUE, UNSURE, *[FALSE] * (len(WALKER.concepts) - 2)]], np.int8)
    wide = BOTH.widen(labels, 'walker')
    assert wide.shape == (1, len(BOTH.names)) and wide.dtype == np.int8
    assert wide[0, BOTH.names.index('standing')] == TRUE
    assert wide[0, BOTH.names.index('one foot')] == UNSURE
    assert wide[0, BOTH.names.index('microwave/opening')] == FALSE


def test_takes_of_two_domains_are_joined() -> None:
    parts = {}
    for number, (name, source) in enumerate(BOTH.sources.items(), 1):
        frames = np.full((number, 12, 3, 64, 64), number, np.uint8)
        labels = np.zeros((number, 2, 5, len(source.concepts)), np.int8)
        labels[..., -1] = TRUE
        split = np.arange(number, dtype=np.int8)
        parts[name] = Clips(frames, labels, split, source.concepts, {'seed': number})
    joined = Clips.join(parts, BOTH)
    assert joined.frames[:, 0, 0, 0, 0].tolist() == [1, 2, 2]
    assert joined.labels.shape == (3, 2, 5, len(BOTH.names))
    assert (joined.labels[..., BOTH.names.index('wandering')] == TRUE).all()
    assert joined.split.tolist() == [0, 0, 1]
    assert joined.made == {'kitchen': {'seed': 1}, 'walker': {'seed': 2}}


def test_nothing_that_is_measured_with_is_learned() -> None:
    kept = {normalise(text) for text in BOTH.kept}
    learned = BOTH.training_phrases()
    assert not kept & {normalise(text) for texts in learned.values() for text in texts}
    rng = np.random.default_rng(0)
    asked = BOTH.requests(rng)
    assert set(asked) == set(BOTH.names) == set(BOTH.tested) == set(BOTH.held_out)
    own = [text for texts in asked.values() for text in texts]
    refused = BOTH.objections(rng, own, ('lullaby', 'harbour', 'senate'))
    said = {normalise(text) for texts in (*asked.values(), *refused.values()) for text in texts}
    assert not kept & said
    objected = {normalise(text) for texts in refused.values() for text in texts}
    assert not objected & {normalise(text) for text in own}


def test_how_many_sentences_are_placed_rightly_is_counted_by_domain() -> None:
    phrases = {
        'a': np.array([[1.0, 0.0], [0.0, 1.0]], np.float32),
        'b': np.array([[0.0, 1.0]], np.float32),
    }
    found = placed(phrases, np.eye(2, dtype=np.float32), {'one': ['a'], 'both': ['a', 'b']})
    assert found['one'] == {'sentences': 2, 'right': 1, 'share': 0.5}
    assert found['both'] == {'sentences': 3, 'right': 2, 'share': pytest.approx(0.667)}
