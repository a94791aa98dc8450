"""The simulated kitchen is an embodiment like any other: its file says what the simulator does."""

from __future__ import annotations

import numpy as np
import pytest

from genrl_ros.domains.environment import Environment
from genrl_ros.domains.kitchen import DOMAIN, MAX_VELOCITY, ROBOT
from genrl_ros.domains.kitchen.physics import JOINT_HIGH, JOINT_LOW, Kitchen
from genrl_ros.serving.robot.embodiment_file import find_embodiment, load_embodiment
from genrl_ros.serving.safety.gate import LASTS_PERIODS

KITCHEN = load_embodiment(find_embodiment('kitchen'))


def test_the_file_says_what_the_simulator_does() -> None:
    assert KITCHEN.spec() == ROBOT
    assert KITCHEN.episode_steps == DOMAIN.episode_steps
    assert all(channel.limits.velocity == MAX_VELOCITY for channel in KITCHEN.channels)
    lows, highs = zip(*(channel.limits.position for channel in KITCHEN.channels), strict=True)
    room = MAX_VELOCITY * (LASTS_PERIODS * ROBOT.control_dt_s + KITCHEN.joint_states.max_age_s)
    assert (np.array(lows) <= JOINT_LOW - room).all()
    assert (np.array(highs) >= JOINT_HIGH + room).all()


@pytest.fixture(scope='module')
def kitchen() -> Kitchen:
    return Kitchen()


def test_an_agent_step_is_two_commands(kitchen) -> None:
    action = np.array([0.5, -0.25, 1.0, 0.0, 0.1, 0.2, 0.3, -1.0, 1.0], np.float32)
    Environment(DOMAIN, kitchen).reset(3)
    wanted = Environment(DOMAIN, kitchen).step(action).image
    positions = kitchen.joints().position
    kitchen.reset(3)
    (part,) = KITCHEN.split(KITCHEN.to_command(action, np.zeros(9)))
    for _ in range(KITCHEN.action_repeat):
        kitchen.control(part.values)
    np.testing.assert_array_equal(kitchen.render(), wanted)
    np.testing.assert_allclose(kitchen.joints().position, positions, atol=1e-6)


def test_it_starts_within_its_limits(kitchen) -> None:
    kitchen.reset(0)
    measured = KITCHEN.measured(KITCHEN.joints, kitchen.joints().position)
    for where, channel in zip(measured.position, KITCHEN.channels, strict=True):
        low, high = channel.limits.position
        assert low <= where <= high, channel.name
