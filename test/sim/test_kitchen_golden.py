"""The kitchen is what it was when its dataset was made: the same actions lead to the same states.

`kitchen_golden.json` was written before physics, tasks and environment were taken apart. On one
machine states and pictures agree to the last bit; between processors they may differ by rounding.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from genrl_ros.domains import registry
from genrl_ros.domains.environment import Environment
from genrl_ros.domains.kitchen.elements import ELEMENTS

GOLDEN = json.loads((Path(__file__).parent / 'kitchen_golden.json').read_text())


@pytest.fixture(scope='module')
def environment() -> Iterator[Environment]:
    environment = registry.make_environment(registry.get('kitchen'))
    yield environment
    environment.close()


@pytest.mark.parametrize('seed', map(int, GOLDEN))
def test_the_same_actions_lead_to_the_same_states_readings_and_pictures(
    environment, seed: int
) -> None:
    wanted, rng = GOLDEN[str(seed)], np.random.default_rng(seed)
    environment.reset(seed)
    for _ in range(12):
        image = environment.step(rng.uniform(-1, 1, 9)).image
    physics = environment.physics
    np.testing.assert_allclose(physics.state(), wanted['state'], atol=1e-5)
    for name, distance in wanted['distances'].items():
        assert physics.distance(name) == pytest.approx(distance, abs=1e-5)
        assert physics.readings()[name] == physics.state()[ELEMENTS[name].main]
    coarse = image.reshape(3, 4, 16, 4, 16).mean((2, 4))
    np.testing.assert_allclose(coarse.ravel(), wanted['image'], atol=0.5)
