"""Poses and motions that are set by hand, and what their clips are said to show."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from genrl_ros.domains import registry
from genrl_ros.domains.walker.concepts import CONCEPTS, label
from genrl_ros.domains.walker.puppeteer import POSES, draw_pose, grounded, lowest, rehearse
from genrl_ros.domains.walker.source import SOURCE
from genrl_ros.domains.walker.studio import Studio
from genrl_ros.vlm.labels import TRUE
from genrl_ros.vlm.phrases import check_apart

CLIP = np.arange(8)


@pytest.fixture(scope='module')
def studio() -> Iterator[Studio]:
    made = Studio()
    yield made
    made.close()


def shown(studio: Studio, states: np.ndarray) -> set[str]:
    """What eight states are said to show for sure."""
    (labels,) = label(studio.watch(states).at(CLIP[None]))
    return {name for name, found in zip(CONCEPTS, labels, strict=True) if found == TRUE}


@pytest.mark.parametrize('name', [name for name in POSES if name in CONCEPTS])
def test_a_pose_is_on_the_floor_and_mostly_shows_what_it_is(studio: Studio, name: str) -> None:
    rng, right, others = np.random.default_rng(0), 0, 0
    for _ in range(40):
        pose = draw_pose(studio, name, rng)
        studio.set_state(pose)
        assert lowest(studio) == pytest.approx(0.0, abs=1e-6)
        found = shown(studio, np.repeat(pose[None], 8, 0))
        right += name in found
        others += bool(found - {name, 'wandering'})
    assert right >= 20 and others <= 12


def test_bodies_come_to_rest_while_motors_pull_evenly(studio: Studio) -> None:
    states = np.stack([rehearse(studio, seed) for seed in range(60)])
    speed = np.abs(np.diff(states[:, :, 3:], axis=1)).max(-1) / studio.robot.control_dt_s
    still = (speed[:, -20:].max(1) < 0.05) & (np.abs(states[:, -1, 0] - states[:, 0, 0]) > 0.05)
    assert still.sum() >= 2


def test_time_tells_walking_from_running_and_backwards(studio: Studio) -> None:
    """By how far a body gets between two frames: a film at double speed shows another thing."""
    pose = draw_pose(studio, 'standing', np.random.default_rng(1))
    states = np.repeat(pose[None], 32, 0)
    states[:, 1] = 0.05 * np.arange(32)  # 1 m/s, a frame each 0.05 s
    assert shown(studio, states[:8]) == {'walking'}
    assert shown(studio, states[::-1][:8]) == {'walking backwards'}
    assert shown(studio, states[::4][:8]) == {'running'}


def test_a_walk_is_slow_or_brisk_and_needs_a_step(studio: Studio) -> None:
    pose = draw_pose(studio, 'standing', np.random.default_rng(1))
    states = np.repeat(pose[None], 8, 0)
    states[:, 1] = 0.02 * np.arange(8)  # 0.4 m/s
    assert 'walking slowly' not in shown(studio, states)
    states[:, 3:5] += np.array([0.5, -0.8])
    states[:, 3:5] += np.array([0.0, 0.01]) * np.arange(8)[:, None]
    states = np.stack([grounded(studio, state) for state in states])
    assert shown(studio, states) == {'walking slowly'}
    states[:, 1] *= 3
    assert shown(studio, states) == {'walking'}


def test_turning_over_falling_and_rising(studio: Studio) -> None:
    pose = draw_pose(studio, 'standing', np.random.default_rng(2))
    states = np.repeat(pose[None], 8, 0)
    states[:, 2] += np.linspace(0, 2.5, 8)
    over = np.stack([grounded(studio, state, 0.4) for state in states])
    assert 'flipping' in shown(studio, over) and 'rolling' not in shown(studio, over)
    low = states.copy()
    low[:, 3:] = np.array([1.5, -2.4, 0.0, 1.5, -2.4, 0.0])
    low = np.stack([grounded(studio, state) for state in low])
    assert 'rolling' in shown(studio, low) and 'flipping' not in shown(studio, low)
    states = np.repeat(pose[None], 8, 0)
    states[:, 0] -= np.linspace(0, 0.5, 8)
    assert 'falling' in shown(studio, states)
    assert 'getting up' in shown(studio, states[::-1])


def test_rehearsals_repeat_with_their_seed_and_show_every_concept(studio: Studio) -> None:
    np.testing.assert_array_equal(rehearse(studio, 5), rehearse(studio, 5))
    seen: set[str] = set()
    for seed in range(150):
        states = rehearse(studio, seed)
        assert states.shape == (160, 9) and np.isfinite(states).all()
        starts = np.arange(0, 160 - 16, 4)
        shows = label(studio.watch(states).at(starts[:, None] + 2 * CLIP)) == TRUE
        seen |= {name for name, found in zip(CONCEPTS, shows.any(0), strict=True) if found}
        if seen == set(CONCEPTS):
            break
    assert seen == set(CONCEPTS)


def test_another_look_is_another_picture_and_can_be_taken_back(studio: Studio) -> None:
    studio.set_state(draw_pose(studio, 'lunging', np.random.default_rng(0)))
    studio.look_as_published()
    published = studio.render()
    own = registry.make_physics(registry.get('walker'))
    own.restore(np.concatenate([studio.data.qpos, np.zeros(9)]))
    np.testing.assert_array_equal(own.render(), published)
    own.close()
    rng = np.random.default_rng(0)
    for _ in range(5):
        studio.vary_look(rng)
        varied = studio.render()
        body = varied.astype(int).sum(0) > 0
        assert np.abs(varied.astype(int) - published).mean() > 1 and body.mean() > 0.2
    studio.look_as_published()
    np.testing.assert_array_equal(studio.render(), published)


def test_nothing_that_is_measured_with_is_learned() -> None:
    learned = [text for texts in SOURCE.training_phrases().values() for text in texts]
    kept = [text for texts in SOURCE.held_out.values() for text in texts]
    check_apart(learned, [*kept, *SOURCE.evaluation_prompts])
    assert set(SOURCE.held_out) == set(SOURCE.training_phrases()) == set(SOURCE.concepts)
    prompts = {task.prompt for task in registry.get('walker').tasks}
    assert prompts == set(SOURCE.evaluation_prompts)
