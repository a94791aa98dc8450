"""The studio: states are set exactly, the look varies and comes back."""

from collections.abc import Iterator

import numpy as np
import pytest

from genrl_ros.domains.kitchen.film_studio import FilmStudio
from genrl_ros.domains.kitchen.phrases import CONCEPTS, ELEMENTS
from genrl_ros.domains.kitchen.physics import HOME, Camera, Kitchen
from genrl_ros.domains.kitchen.rehearsal import KINDS, rehearse
from genrl_ros.domains.kitchen.studio import HANDLES
from genrl_ros.training.embedder import source


@pytest.fixture(scope='module')
def studio() -> Iterator[FilmStudio]:
    made = FilmStudio()
    yield made
    made.close()


def test_its_elements_are_those_of_the_concepts(studio) -> None:
    filmed: source.Studio = studio
    assert tuple(HANDLES) == ELEMENTS
    names, odds = filmed.group_odds()
    rehearsed = filmed.rehearse(1_000_000)
    scene = filmed.watch(rehearsed).at(np.arange(8)[None] + np.arange(5)[:, None])
    assert set(names) == set(filmed.groups(scene)) and odds.sum() == pytest.approx(1.0)
    assert filmed.label(scene).shape == (5, len(CONCEPTS))


def test_the_published_look_is_the_kitchens(studio) -> None:
    kitchen = Kitchen()
    studio.vary_look(np.random.default_rng(0))
    studio.look_as_published()
    studio.set_state(HOME)
    np.testing.assert_array_equal(studio.render(64), kitchen.render(64))
    kitchen.close()


def test_a_varied_camera_is_never_the_papers(studio) -> None:
    rng = np.random.default_rng(0)
    turns = []
    for _ in range(50):
        studio.vary_look(rng)
        turns.append(studio.camera.azimuth - Camera().azimuth)
    assert np.abs(turns).min() >= 0.5 and np.abs(turns).max() <= 12.0
    studio.look_as_published()


@pytest.mark.parametrize('element', HANDLES)
def test_progress_is_what_was_set(studio, element) -> None:
    qpos = np.repeat(HOME[None], 4, 0)
    wanted = np.linspace(0, 1, 4)
    studio.set_element(qpos, element, wanted)
    measured = studio.progress(qpos)
    np.testing.assert_allclose(measured[:, ELEMENTS.index(element)], wanted, atol=0.01)


def test_rehearsals_move_their_element(studio) -> None:
    """Some are clumsy on purpose, but not all of four."""
    slide = KINDS.index('slide')
    seeds = [1_000_000 - 1_000_000 % len(KINDS) + slide + len(KINDS) * i for i in range(4)]
    moved = [studio.progress(rehearse(studio, seed))[:, ELEMENTS.index('slide')] for seed in seeds]
    assert max(progress.max() for progress in moved) > 0.9


def test_a_rehearsal_repeats(studio) -> None:
    np.testing.assert_array_equal(rehearse(studio, 1_000_003), rehearse(studio, 1_000_003))
