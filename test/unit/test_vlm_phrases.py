"""Phrases: enough of them, and never what the embedder is measured with."""

from pathlib import Path

import numpy as np
import pytest

from genrl_ros.domains.kitchen.held_out import HELD_OUT
from genrl_ros.domains.kitchen.phrases import (
    CONCEPTS,
    EVALUATION_PROMPTS,
    describe,
    training_phrases,
)
from genrl_ros.domains.kitchen.source import SOURCE
from genrl_ros.training.embedder.make import check_phrases
from genrl_ros.training.embedder.make_reader import check_sentences
from genrl_ros.training.embedder.source import Concepts
from genrl_ros.vlm import unrelated
from genrl_ros.vlm.phrases import normalise, without
from genrl_ros.vlm.reader import OBJECTIONS

KITCHEN = Concepts({'kitchen': SOURCE})
FACTS = Path(__file__).resolve().parents[2] / 'docs' / 'facts.md'


def published_prompts() -> set[str]:
    """The prompts of the paper and of its code, from the table of tasks in `docs/facts.md`."""
    rows = [line.split('|') for line in FACTS.read_text().splitlines() if line.startswith('| ')]
    start = next(index for index, row in enumerate(rows) if row[2].strip() == 'prompt [P]')
    cells = {cell.strip() for row in rows[start + 1 : start + 5] for cell in row[2:4]}
    return cells - {'same'}


def test_the_evaluation_prompts_are_the_published_ones() -> None:
    assert len(published_prompts()) == 6
    assert set(EVALUATION_PROMPTS) == published_prompts()


def test_no_evaluation_prompt_is_learned_in_any_spelling() -> None:
    learned = {normalise(text) for texts in training_phrases().values() for text in texts}
    assert not learned & {normalise(prompt) for prompt in EVALUATION_PROMPTS}


def test_nothing_held_out_is_learned() -> None:
    check_phrases(training_phrases(), KITCHEN)
    assert not set(unrelated.TRAINING) & set(unrelated.HELD_OUT)


def test_a_leak_is_found() -> None:
    training = dict(training_phrases())
    training['idle'] = (*training['idle'], 'Switch the LIGHT on!')
    with pytest.raises(ValueError, match='switch light on'):
        check_phrases(training, KITCHEN)


def test_every_concept_has_phrases() -> None:
    training = training_phrases()
    assert set(training) == set(HELD_OUT) == set(CONCEPTS)
    assert all(len(set(texts)) == len(texts) >= 40 for texts in training.values())
    assert all(len(texts) >= 4 for texts in HELD_OUT.values())


def test_phrases_are_the_same_at_every_call() -> None:
    assert training_phrases() == training_phrases()


def test_the_plain_burner_is_the_bottom_one() -> None:
    top = [text for name, texts in training_phrases().items() if 'top_b' in name for text in texts]
    assert all(any(w in t for w in ('top', 'back', 'upper', 'rear', 'far')) for t in top)


def test_spelling_does_not_matter() -> None:
    assert normalise('  Switch the LIGHT, on! ') == 'switch light on'
    assert without(['Switch the light on.', 'light it'], ['switch light on']) == ['light it']


def test_concepts_are_described_in_words() -> None:
    assert describe('microwave/opening') == 'opening the microwave'
    assert describe('bottom_burner/opening') == 'switching on the bottom burner'
    assert len({describe(name) for name in CONCEPTS}) == len(CONCEPTS)


def own_sentences() -> list[str]:
    """All that the kitchen itself says."""
    texts = [text for texts in training_phrases().values() for text in texts]
    texts += [text for texts in HELD_OUT.values() for text in texts]
    return [*texts, *EVALUATION_PROMPTS]


def test_what_is_foreign_depends_on_the_domain() -> None:
    kitchen = unrelated.foreign_sentences(own_sentences())
    assert {'play the piano', 'sing'} <= set(kitchen)
    band = unrelated.foreign_sentences(['Playing the piano!', 'they sing', 'pianos play'])
    assert not {'play the piano', 'sing'} & set(band)
    assert 'dance' in band


def test_sentences_of_other_domains_are_foreign_unless_they_are_ones_own() -> None:
    foreign = unrelated.foreign_sentences(
        ['open the microwave'], others=['gallop along', 'Opens the microwave']
    )
    assert 'gallop along' in foreign
    assert 'Opens the microwave' not in foreign


def test_nothing_of_the_kitchen_is_foreign_to_it() -> None:
    own = {normalise(text) for text in own_sentences()}
    foreign = unrelated.foreign_sentences(own_sentences())
    assert not own & {normalise(text) for text in foreign}


def test_the_reader_objects_to_nothing_of_the_kitchen_and_learns_nothing_held_out() -> None:
    rng = np.random.default_rng(3)
    asked = KITCHEN.requests(rng)
    own = [*(text for texts in asked.values() for text in texts), *EVALUATION_PROMPTS]
    refused = KITCHEN.objections(rng, own, ('lullaby', 'harbour', 'senate'))
    assert set(refused) == set(OBJECTIONS) and all(len(texts) > 400 for texts in refused.values())
    objected = {normalise(text) for texts in refused.values() for text in texts}
    assert not objected & {normalise(text) for text in own}
    check_sentences({**asked, **refused}, KITCHEN)


def test_a_leak_into_the_reader_is_found() -> None:
    with pytest.raises(ValueError, match='switch light on'):
        check_sentences({'idle': ('Switch the LIGHT on!',)}, KITCHEN)
