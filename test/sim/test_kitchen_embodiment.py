"""The simulated kitchen is an embodiment like any other: its file says what the simulator does."""

from __future__ import annotations

import numpy as np
import pytest

from genrl_ros.domains.environment import Environment
from genrl_ros.domains.kitchen import DOMAIN, MAX_VELOCITY, ROBOT
from genrl_ros.domains.kitchen.physics import HOME, JOINT_HIGH, JOINT_LOW, Kitchen
from genrl_ros.serving.robot.embodiment_file import find_embodiment, load_embodiment
from genrl_ros.serving.safety.gate import LASTS_PERIODS
from genrl_ros.serving.safety.homing import Homing

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


def test_home_is_where_episodes_begin_and_the_arm_gets_there(kitchen) -> None:
    """From anywhere: gravity and the noise of readings are against it."""
    home = [KITCHEN.home.positions[name] for name in ROBOT.action_names]
    np.testing.assert_allclose(home, HOME[:9], atol=0.008)
    rng = np.random.default_rng(1)
    for seed in range(3):
        kitchen.reset(seed)
        for _ in range(3):
            command = rng.uniform(-1, 1, 9)
            for _ in range(12):
                kitchen.control(command)
        homing, steps = Homing(KITCHEN), 0
        while not homing.arrived:
            homing.see(kitchen.joints().position)
            assert not homing.blocked
            command = homing.command(np.zeros(9))
            assert np.abs(command).max() <= KITCHEN.home.speed
            if command.any():
                kitchen.control(command)
            else:
                kitchen.hold()
            steps += 1
        for _ in range(12):
            kitchen.hold()
        assert steps > 10
        assert np.abs(kitchen.joints().position - HOME[:9]).max() < KITCHEN.home.tolerance
