"""Wording: what the words of a request forbid, and what is left of it."""

import pytest

from genrl_ros.domains.kitchen.held_out import HELD_OUT
from genrl_ros.domains.kitchen.phrases import EVALUATION_PROMPTS, training_phrases
from genrl_ros.vlm.wording import read_wording


@pytest.mark.parametrize(
    'sentence',
    [
        'do not open the microwave',
        'Don\u2019t open the microwave!',
        'please never turn on the light',
        'the microwave does not open',
        'you must not move the kettle',
        'do not move the kettle',
        'not opening the microwave',
        'no opening of the microwave',
        'stop opening the cabinet',
        'avoid the top burner',
        'refrain from touching the kettle',
        'leave the kettle alone',
        'leave the kettle where it is',
        'keep the cabinet shut',
        'the light should stay off',
        'let the kettle be',
        'hands off the light switch',
        'keep your hands off the stove',
        'keep away from the stove',
        'anything but opening the microwave',
        'do everything except open the microwave',
        'open the microwave? No.',
        'open the microwave? Absolutely not!',
        'keep your gripper away from the kettle',
        'the arm should stay well clear of the stove',
        'the kettle has to stay where it is',
        'let the kettle stay where it is',
        'opening the microwave is a bad idea',
        'open the microwave... no, do not do it',
        'without opening the microwave',
        'under no circumstances switch on the stove',
        'do not open the microwave and the cabinet',
        'nobody opens the microwave',
    ],
)
def test_a_prohibition_leaves_nothing_to_do(sentence) -> None:
    wording = read_wording(sentence)
    assert wording.forbids and wording.denies
    assert wording.affirmed == ''


@pytest.mark.parametrize(
    ('sentence', 'affirmed'),
    [
        ('don\u2019t just look, open it', 'open it'),
        ('do not open the microwave, open the cabinet', 'open the cabinet'),
        ('open the microwave, not the cabinet', 'open the microwave'),
        ('open the microwave not the cabinet', 'open the microwave'),
        ('instead of opening the microwave, turn on the light', 'turn on the light'),
        ('touch the kettle without moving it', 'touch the kettle'),
        ('open the microwave but never close it', 'open the microwave'),
    ],
)
def test_what_stands_beside_a_prohibition_is_left(sentence, affirmed) -> None:
    wording = read_wording(sentence)
    assert wording.forbids
    assert wording.affirmed == affirmed


@pytest.mark.parametrize(
    'sentence',
    [
        'open the microwave',
        'do not forget to open the microwave',
        'please don\u2019t hesitate to switch on the light',
        'why don\u2019t you open the microwave',
        'the microwave does not budge although the hand is on it',
        'poke at the kettle but nothing moves',
        'the robot is not moving',
        'the robot stays where it is',
        'turn the bottom left burner off',
        'push the left cupboard shut',
        'stop the stove',
        'switch the light off',
        'keep the light on',
    ],
)
def test_a_request_forbids_nothing(sentence) -> None:
    assert not read_wording(sentence).forbids


def test_no_phrase_that_is_learned_is_a_prohibition_or_a_halt() -> None:
    texts = [text for texts in training_phrases().values() for text in texts]
    for text in (*texts, *EVALUATION_PROMPTS):
        wording = read_wording(text)
        assert wording.affirmed and not wording.halts and not wording.asks, text


def test_held_out_phrases_keep_something_to_do() -> None:
    for texts in HELD_OUT.values():
        for text in texts:
            assert read_wording(text).affirmed and not read_wording(text).asks, text


@pytest.mark.parametrize(
    'sentence',
    ['stop', 'Stop!', 'please wait', 'emergency stop', 'robot, halt now', 'no, stop it'],
)
def test_a_halt_is_no_task(sentence) -> None:
    assert read_wording(sentence).halts


@pytest.mark.parametrize('sentence', ['stop the stove', 'wait at the kettle', 'hold the kettle'])
def test_a_task_is_no_halt(sentence) -> None:
    assert not read_wording(sentence).halts


@pytest.mark.parametrize(
    ('sentence', 'joins'),
    [
        ('open the microwave and switch on the light', True),
        ('open everything', True),
        ('turn on both burners', True),
        ('open the microwave', False),
    ],
)
def test_words_that_join_requests_are_seen(sentence, joins) -> None:
    assert read_wording(sentence).joins is joins


@pytest.mark.parametrize(
    'sentence',
    ['how hot does a stove get', 'Is the microwave open?', 'hey robot, where is the kettle?'],
)
def test_a_question_is_no_request(sentence) -> None:
    assert read_wording(sentence).asks


@pytest.mark.parametrize(
    'sentence',
    ['can you open the microwave?', 'why don\u2019t you open the microwave', 'would you open it'],
)
def test_a_polite_request_is_no_question(sentence) -> None:
    assert not read_wording(sentence).asks
