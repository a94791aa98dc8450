"""Scripted experts move what they are told to, and episodes hold what the scripts did."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from genrl_ros.data.collect import EpisodeRecipe, collect, run_episode
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.domains import registry
from genrl_ros.domains.environment import Environment
from genrl_ros.domains.kitchen import DOMAIN
from genrl_ros.domains.kitchen.elements import ELEMENTS
from genrl_ros.domains.kitchen.experts import HANDLES, Expert, Manner
from genrl_ros.domains.kitchen.physics import ARM, Kitchen
from genrl_ros.domains.kitchen.script import MIXTURE, kitchen_script
from genrl_ros.domains.kitchen.tasks import MoveElement

RECIPE = EpisodeRecipe(
    partial(registry.make_environment, DOMAIN), kitchen_script, DOMAIN.episode_steps
)


@pytest.fixture(scope='module')
def kitchen() -> Iterator[Kitchen]:
    env = Kitchen()
    yield env
    env.close()


@pytest.fixture
def blind(kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch) -> Kitchen:
    """Experts do not look at pictures."""
    monkeypatch.setattr(kitchen, 'render', lambda size=64: np.zeros((3, size, size), np.uint8))
    return kitchen


def act(kitchen: Kitchen, action: np.ndarray) -> None:
    Environment(DOMAIN, kitchen).step(action)


def run(env: Kitchen, expert: Expert, steps: int = 60) -> None:
    for _ in range(steps):
        if expert.done:
            return
        act(env, expert.act())


@pytest.mark.parametrize('element', HANDLES)
def test_expert_succeeds(blind: Kitchen, element: str) -> None:
    blind.reset(0)
    run(blind, Expert(blind, element))
    assert MoveElement(element).success(blind)


@pytest.mark.parametrize('element', ['light', 'slide', 'bottom_burner'])
def test_expert_undoes(blind: Kitchen, element: str) -> None:
    blind.reset(0)
    run(blind, Expert(blind, element))
    run(blind, Expert(blind, element, undo=True))
    assert abs(blind.readings()[element]) < 0.1


def test_expert_starts_from_anywhere_and_aims_badly(blind: Kitchen) -> None:
    rng = np.random.default_rng(1)
    blind.reset(1)
    for _ in range(8):
        act(blind, rng.uniform(-0.7, 0.7, ARM))
    run(blind, Expert(blind, 'slide', Manner(reach=0.07, aim_error=0.004), rng), 80)
    assert MoveElement('slide').success(blind)


def test_unknown_elements_are_refused(kitchen: Kitchen) -> None:
    with pytest.raises(ValueError, match='no expert for'):
        Expert(kitchen, 'fridge')


def test_every_element_has_an_expert() -> None:
    assert set(HANDLES) == set(ELEMENTS)


def test_mixture_adds_up() -> None:
    assert sum(MIXTURE.values()) == pytest.approx(1.0)


def test_all_kinds_of_scripts_run(blind: Kitchen) -> None:
    kinds = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        blind.reset(seed)
        script = kitchen_script(blind, rng)
        kinds.add(script.kind.split()[0])
        for _ in range(3):
            action = next(script.actions)
            assert action.shape == (ARM,)
            assert np.isfinite(action).all()
            act(blind, action)
    assert kinds == set(MIXTURE)


def test_same_data_from_the_same_seed_whatever_the_workers(
    kitchen: Kitchen, tmp_path: Path
) -> None:
    store = EpisodeStore.create(tmp_path, DOMAIN.robot, 'genrl collect kitchen', 5)
    assert sorted(collect(store, RECIPE, frames=200, seed=5, workers=2)) == ['000000', '000001']
    assert store.num_frames == 282
    act(kitchen, np.ones(ARM))
    again = run_episode(Environment(DOMAIN, kitchen), RECIPE, seed=5, index=1)
    np.testing.assert_array_equal(store.image('000001'), again.image)
    np.testing.assert_array_equal(store.action('000001'), again.action)
    np.testing.assert_array_equal(store.state('000001'), again.state)
    assert store.kind('000001') == again.kind
