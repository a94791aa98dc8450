"""Grounding: what a prompt means, and when to doubt it."""

import dataclasses
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from genrl_ros.data.video import Video
from genrl_ros.training.behavior.ground import ground_video
from genrl_ros.vlm.grounding import ConceptBank, choose_threshold, ground

BANK = ConceptBank(
    ('a/opening', 'b/opening'),
    ('opening a', 'opening b'),
    np.eye(2, 3, dtype=np.float32),
    least_score=0.5,
    least_margin=0.1,
)


@dataclass
class Plain:
    """An embedder that knows no concepts."""

    name: str = 'plain'
    identity: str = ''
    dim: int = 3
    n_frames: int = 8


@dataclass
class Knowing(Plain):
    bank: ConceptBank = field(default=BANK)


def test_a_clear_prompt_is_well_grounded() -> None:
    result = ground(Knowing(), np.array([2.0, 0.2, 0.0]))
    assert result.concept == 'opening a' and result.runner_up == 'opening b'
    assert result.score == pytest.approx(0.995, abs=1e-3)
    assert result.well_grounded and result.warning == ''


def test_an_ambiguous_prompt_names_both_meanings() -> None:
    result = ground(Knowing(), np.array([1.0, 0.97, 0.0]))
    assert not result.well_grounded
    assert 'opening a' in result.warning and 'opening b' in result.warning


def test_a_bank_tells_what_the_robot_of_a_domain_knows() -> None:
    bank = replace(BANK, domains={'here': frozenset(['b/opening'])})
    words, centroids = bank.known_to('here')
    assert words == ('opening b',)
    np.testing.assert_array_equal(centroids, BANK.centroids[1:])
    assert bank.known_to('elsewhere')[0] == BANK.words


def test_a_foreign_prompt_is_told() -> None:
    result = ground(Knowing(), np.array([0.1, 0.0, 1.0]))
    assert not result.well_grounded and 'resembles nothing' in result.warning


def test_an_embedder_without_concepts_says_so() -> None:
    result = ground(Plain(), np.array([1.0, 0.0, 0.0]))
    assert not result.well_grounded and 'not checked' in result.warning


def test_a_score_is_a_cosine_whatever_rounding_makes_of_it() -> None:
    centroids = np.random.default_rng(0).normal(size=(37, 512)).astype(np.float32)
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    assert max((centroids @ vector).max() for vector in centroids) > 1
    names = tuple(map(str, range(37)))
    embedder = Knowing(dim=512, bank=ConceptBank(names, names, centroids, 0.5, 0.1))
    scores = [ground(embedder, vector).score for vector in centroids]
    assert min(scores) > 0.9999 and max(scores) <= 1


@dataclass
class Bright(Knowing):
    """An embedder to which dark clips open a, and bright ones b."""

    def embed_video(self, clips) -> np.ndarray:
        bright = clips.mean((1, 2, 3, 4)) / 255
        return np.stack([1 - bright, bright, 0 * bright], 1).astype(np.float32)


def test_what_is_missing_of_a_video_is_among_the_warnings_of_its_meaning() -> None:
    frames = np.full((9, 3, 4, 4), 250, np.uint8)
    times_s = np.arange(9) / 10
    embedding, grounding = ground_video(Bright(), Video(frames, times_s))
    assert (grounding.concept, grounding.warning) == ('opening b', '')
    assert embedding.argmax() == 1
    _, grounding = ground_video(Bright(), Video(frames, times_s, 'only 0.9 of the 5.0 s'))
    assert (grounding.concept, grounding.warning) == ('opening b', 'only 0.9 of the 5.0 s')
    _, grounding = ground_video(Bright(), Video(frames // 2, times_s, 'only 0.9 of the 5.0 s'))
    assert grounding.warning.startswith('only 0.9 of the 5.0 s; this may mean: opening')


@pytest.mark.parametrize('vector', [np.ones(4), np.zeros(3), np.array([np.nan, 1, 1])])
def test_vectors_of_something_else_are_refused(vector) -> None:
    with pytest.raises(ValueError, match='embedding'):
        ground(Knowing(), vector)


def test_the_threshold_lies_between_good_and_bad() -> None:
    good, bad = np.array([0.6, 0.7, 0.8]), np.array([0.1, 0.2, 0.3])
    assert 0.3 < choose_threshold(good, bad) < 0.6


def test_a_threshold_keeps_the_share_of_good_ones_that_it_has_to() -> None:
    good = np.array([0.2, *np.linspace(0.8, 0.9, 9)], np.float32)
    bad = np.linspace(0.1, 0.7, 10, dtype=np.float32)
    assert 0.7 < choose_threshold(good, bad) < 0.8
    assert 0.1 < choose_threshold(good, bad, least_kept=0.95) <= 0.2


def test_a_robot_is_not_asked_for_what_only_others_do() -> None:
    bank = dataclasses.replace(
        BANK, domains={'arm': frozenset(BANK.names[:1]), 'legs': frozenset(BANK.names[1:])}
    )
    embedder, vector = Knowing(bank=bank), np.array([2.0, 0.2, 0.0])
    assert ground(embedder, vector).known and ground(embedder, vector, 'arm').known
    assert ground(embedder, vector, 'a robot of my own').known
    refused = ground(embedder, vector, 'legs')
    assert not refused.known
    assert refused.warning == f'this means: {BANK.words[0]}, and the legs has no such act'
