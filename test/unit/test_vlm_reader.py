"""The shipped reader: what is driven and what is asked back; strict loading of its files."""

import json
from pathlib import Path

import numpy as np
import pytest

from genrl_ros.cli.learn_prompt import Config, learn_prompt
from genrl_ros.domains.kitchen.measured_sentences import ACCEPTANCE, CHOICE, TEST
from genrl_ros.domains.kitchen.phrases import EVALUATION_PROMPTS
from genrl_ros.domains.registry import get
from genrl_ros.system.share import share_path, shipped_model
from genrl_ros.training.embedder.make_reader import wilson
from genrl_ros.vlm import load_embedder
from genrl_ros.vlm.embedded import EmbeddedEmbedder
from genrl_ros.vlm.grounding import Grounding, ground_sentence
from genrl_ros.world_model.checkpoint import read_card

FILES = ('embedder.json', 'embedder.safetensors', 'reader.json', 'reader.safetensors')


@pytest.fixture(scope='module')
def embedder() -> EmbeddedEmbedder:
    found = load_embedder('embedded')
    assert isinstance(found, EmbeddedEmbedder)
    return found


@pytest.fixture
def copy(tmp_path) -> Path:
    """A copy of the shipped embedder that a test may damage."""
    for name in FILES:
        (tmp_path / name).write_bytes(share_path('models', 'embedder', name).read_bytes())
    return tmp_path


def meaning(embedder, sentence: str) -> Grounding:
    return ground_sentence(embedder, sentence, 'kitchen')[1]


def driven(embedder, sentences) -> list[str]:
    return [sentence for sentence in sentences if meaning(embedder, sentence).known]


def test_the_kitchens_prompts_are_driven_as_what_they_are(embedder) -> None:
    things = {'microwave': 'microwave', 'light': 'light', 'burner': 'bottom burner'}
    for task in get('kitchen').tasks:
        for prompt in (task.prompt, *task.paraphrases):
            found = meaning(embedder, prompt)
            assert found.known, f'{prompt}: {found.warning}'
            assert things.get(task.name, 'sliding cabinet') in found.concept
    assert driven(embedder, EVALUATION_PROMPTS) == list(EVALUATION_PROMPTS)


@pytest.mark.parametrize(('kind', 'most'), [('unrelated', 3), ('negated', 1), ('unclear', 3)])
def test_what_is_no_request_is_asked_back(embedder, kind, most) -> None:
    assert len(TEST[kind]) >= {'unrelated': 60, 'negated': 30, 'unclear': 20}[kind]
    found = driven(embedder, TEST[kind])
    assert len(found) <= most, found


def test_the_acceptance_sentences_are_not_driven(embedder) -> None:
    assert len(ACCEPTANCE['unrelated']) >= 40 and len(ACCEPTANCE['negated']) >= 20
    found = driven(embedder, (*ACCEPTANCE['unrelated'], *ACCEPTANCE['negated']))
    assert len(found) <= 1, found


def test_requests_in_other_words_are_driven(embedder) -> None:
    sentences = TEST['request']
    assert len(sentences) >= 50
    assert len(driven(embedder, sentences)) >= 0.85 * len(sentences)


@pytest.mark.parametrize(
    ('sentence', 'reason'),
    [
        ('the stock market closed lower today', 'resembles nothing'),
        ('the light of dawn falls on the cabinet', 'something else'),
        ('asdf qwer zxcv', 'resembles nothing'),
        ('do not open the microwave', 'what not to do'),
        ('leave the light off', 'what not to do'),
        ('open the microwave and switch on the light', 'several things'),
        ('open everything', 'several things'),
        ('twist the light knob', 'does not say clearly'),
        ('open the cupboard', 'does not say clearly'),
        ('stop', 'asks to stop'),
    ],
)
def test_the_answer_says_why(embedder, sentence, reason) -> None:
    found = meaning(embedder, sentence)
    assert not found.known and not found.well_grounded
    assert reason in found.warning


def test_what_stands_beside_a_prohibition_is_driven(embedder) -> None:
    found = meaning(embedder, 'open the microwave, not the cabinet')
    assert found.known and found.concept == 'opening the microwave'


def test_no_set_that_the_reader_was_chosen_with_is_among_the_test_sentences() -> None:
    chosen = {text for texts in CHOICE.values() for text in texts}
    for sets in (TEST, ACCEPTANCE):
        assert not chosen & {text for texts in sets.values() for text in texts}


def test_learning_says_why_it_refuses(tmp_path) -> None:
    for prompt, reason in (
        ('do not open the microwave', 'what not to do'),
        ('the stock market closed lower today', 'resembles nothing'),
    ):
        with pytest.raises(ValueError, match=f'{reason}.*--force'):
            learn_prompt(Config('kitchen', prompt=prompt, out=tmp_path))
    assert not any(tmp_path.iterdir())


def test_the_reader_changes_no_embedding(embedder, copy) -> None:
    for name in FILES[2:]:
        (copy / name).unlink()
    alone = EmbeddedEmbedder(copy)
    assert alone.identity == embedder.identity
    assert embedder.identity == read_card(shipped_model('kitchen'))[1].embedder_identity
    texts = ['open the microwave', 'close the browser']
    assert np.array_equal(alone.embed_text(texts), embedder.embed_text(texts))


def test_without_a_reader_negations_are_refused_all_the_same(copy) -> None:
    for name in FILES[2:]:
        (copy / name).unlink()
    alone = EmbeddedEmbedder(copy)
    for sentence in ('do not open the microwave', 'open the microwave, not the cabinet'):
        assert 'what not to do' in meaning(alone, sentence).warning
    assert meaning(alone, 'open the microwave').known


def test_changed_weights_are_refused(copy) -> None:
    path = copy / 'reader.safetensors'
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match='one of the two was changed'):
        EmbeddedEmbedder(copy)


def test_a_cut_file_is_refused(copy) -> None:
    path = copy / 'reader.safetensors'
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match='not a readable safetensors file'):
        EmbeddedEmbedder(copy)


@pytest.mark.parametrize('name', FILES[2:])
def test_half_a_reader_is_refused(copy, name) -> None:
    (copy / name).unlink()
    with pytest.raises(FileNotFoundError, match='--reader-of'):
        EmbeddedEmbedder(copy)


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ({'format_version': 99}, 'format version 99'),
        ({'concepts': ['idle']}, 'of another embedder'),
        ({'sentence_model': 'a' * 64}, 'of another embedder'),
        ({'least_request': 'much'}, 'not the description of a reader'),
        ({'least_request': float('nan')}, 'not the description of a reader'),
        ({'network': {'concepts': 56, 'features': 97}}, 'not what'),
        ({'network': {'concepts': 36}}, 'of another embedder'),
        ({'network': {'concepts': 56, 'size': 3}}, 'not the description of a reader'),
        ({'concepts': 3}, 'not the description of a reader'),
    ],
)
def test_a_foreign_description_is_refused(copy, change, reason) -> None:
    path = copy / 'reader.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=reason):
        EmbeddedEmbedder(copy)


def test_wilsons_interval() -> None:
    low, high = wilson(0, 60)
    assert low == pytest.approx(0, abs=1e-12) and high == pytest.approx(0.060, abs=0.001)
    low, high = wilson(99, 100)
    assert (low, high) == (pytest.approx(0.946, abs=0.001), pytest.approx(0.998, abs=0.001))
