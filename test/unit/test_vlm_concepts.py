"""Labels come from what the simulator's state does, and from nothing else."""

import numpy as np
import pytest

from genrl_ros.domains.kitchen.concepts import FALSE, TRUE, UNSURE, Scene, label
from genrl_ros.domains.kitchen.phrases import CONCEPTS, ELEMENTS

FAR = 5.0


def scene(progress=None, hand=None) -> Scene:
    """One clip: elements a metre apart, the hand far from all unless told."""
    travel = np.zeros((1, 8, len(ELEMENTS)), np.float32)
    for element, values in (progress or {}).items():
        travel[0, :, ELEMENTS.index(element)] = values
    handles = np.zeros((1, 8, len(ELEMENTS), 3), np.float32)
    handles[..., 0] = np.arange(len(ELEMENTS))
    where = np.full((1, 8, 3), FAR, np.float32) if hand is None else np.asarray(hand)[None]
    return Scene(travel, where.astype(np.float32), handles)


def towards(element, distances) -> np.ndarray:
    at = np.zeros((8, 3))
    at[:, 0] = ELEMENTS.index(element)
    at[:, 1] = distances
    return at


def shown(labels, value=TRUE) -> set[str]:
    return {CONCEPTS[c] for c in np.flatnonzero(labels[0] == value)}


def test_motion_towards_the_goal_is_opening_and_backwards_closing() -> None:
    forth = np.linspace(0, 1, 8)
    assert shown(label(scene({'slide': forth}))) == {'slide/opening'}
    assert shown(label(scene({'slide': forth[::-1]}))) == {'slide/closing'}


def test_a_twitch_is_neither_motion_nor_rest() -> None:
    labels = label(scene({'light': np.linspace(0, 0.15, 8)}))
    assert not shown(labels)
    assert {'light/opening', 'light/closing'} <= shown(labels, UNSURE)


def test_an_open_element_at_rest_is_open() -> None:
    labels = label(scene({'hinge': np.full(8, 0.95)}))
    assert 'hinge/open' in shown(labels) and 'idle' in shown(labels)
    assert 'microwave/open' in shown(labels, FALSE)


def test_opening_is_not_being_open() -> None:
    labels = label(scene({'microwave': np.linspace(0.5, 1, 8)}))
    assert 'microwave/open' in shown(labels, FALSE)


def test_a_hand_that_comes_near_reaches() -> None:
    labels = label(scene(hand=towards('kettle', np.linspace(0.6, 0.05, 8))))
    assert shown(labels) == {'kettle/reaching'}


def test_a_hand_that_stays_touches() -> None:
    labels = label(scene(hand=towards('microwave', np.full(8, 0.05))))
    assert 'microwave/touching' in shown(labels) and 'idle' not in shown(labels)


def test_beside_motion_nothing_else_is_told() -> None:
    moving = {'slide': np.linspace(0, 1, 8), 'light': np.full(8, 1.0)}
    labels = label(scene(moving, towards('slide', np.full(8, 0.05))))
    assert shown(labels) == {'slide/opening'}
    assert {'slide/touching', 'light/open'} <= shown(labels, UNSURE)


def test_an_arm_far_from_everything_wanders() -> None:
    hand = np.full((8, 3), FAR)
    hand[:, 2] += np.linspace(0, 0.6, 8)
    assert shown(label(scene(hand=hand))) == {'wandering'}


@pytest.mark.parametrize('element', ELEMENTS)
def test_every_element_has_its_own_columns(element) -> None:
    assert shown(label(scene({element: np.linspace(0, 1, 8)}))) == {f'{element}/opening'}
