"""The walker against dm_control's own, and its other tasks against poses worked out by hand."""

from __future__ import annotations

import os

import numpy as np
import pytest

from genrl_ros.domains import registry
from genrl_ros.domains.walker import ROBOT
from genrl_ros.domains.walker.physics import Walker, observe
from genrl_ros.domains.walker.tasks import REWARDS

FLOOR, HIP, KNEE, ANKLE = 0.0, 0, 1, 2
Z, X, PITCH, RIGHT, LEFT = 0, 1, 2, 3, 6
"""Places in the positions; legs have hip, knee and ankle."""
DEGREES = np.pi / 180


@pytest.fixture(scope='module')
def walker() -> Walker:
    physics = Walker()
    yield physics
    physics.close()


def pose(walker: Walker, height: float = 0.0, pitch: float = 0.0, **degrees: float) -> None:
    """Torso that much above 1.3 m and that pitched (rad), joints in degrees, the rest straight."""
    position = np.zeros(9)
    position[Z], position[PITCH] = height, pitch
    for name, angle in degrees.items():
        side, joint = name.split('_')
        leg = RIGHT if side == 'right' else LEFT
        position[leg + ('hip', 'knee', 'ankle').index(joint)] = angle * DEGREES
    walker.pose(position)


@pytest.mark.parametrize('task', ['stand', 'walk', 'run'])
def test_physics_observations_and_rewards_are_dm_controls(walker: Walker, task: str) -> None:
    os.environ.setdefault('MUJOCO_GL', 'egl')
    from dm_control import suite

    theirs = suite.load('walker', task, task_kwargs={'random': 3})
    theirs.reset()
    walker.pose(theirs.physics.data.qpos, theirs.physics.data.qvel)
    rng = np.random.default_rng(0)
    for _ in range(200):
        action = rng.uniform(-1, 1, 6)
        step = theirs.step(action)
        walker.control(action * np.array(ROBOT.action_scale))
        np.testing.assert_allclose(walker.data.qpos, theirs.physics.data.qpos, atol=1e-9)
        assert REWARDS[task](walker) == pytest.approx(step.reward, abs=1e-8)
        seen = step.observation
        flat = [seen['orientations'], [seen['height']], seen['velocity']]
        np.testing.assert_allclose(observe(walker), np.concatenate(flat), atol=1e-6)


def test_it_starts_anywhere_within_its_joints_and_time_stands_still_without_commands(
    walker: Walker,
) -> None:
    starts = []
    for seed in range(200):
        walker.reset(seed)
        starts.append(walker.data.qpos.copy())
    starts = np.stack(starts)
    assert not starts[:, [Z, X]].any()
    spread = np.ptp(starts, 0) / DEGREES
    np.testing.assert_allclose(spread[PITCH:], [360, *(120, 150, 90) * 2], rtol=0.06)
    before = walker.state()
    walker.hold()
    np.testing.assert_array_equal(walker.state(), before)


def test_a_command_is_a_torque_clipped_to_what_the_motor_can(walker: Walker) -> None:
    pose(walker)
    walker.control(np.array([50.0, 100.0, -5.0, 0.0, 0.0, 0.0]))
    np.testing.assert_allclose(walker.data.qfrc_actuator, [0, 0, 0, 50, 50, -5, 0, 0, 0])
    with pytest.raises(ValueError, match='6 channels'):
        walker.control(np.zeros(5))


# Frames: torso 1.3 m, thighs 0.3 below, legs 0.7 below these, feet 0.25 below and 0.06 in front.


def test_standing_straight(walker: Walker) -> None:
    pose(walker)
    assert walker.heights('foot') == pytest.approx((0.05, 0.05))
    assert REWARDS['stand'](walker) == pytest.approx(1.0)
    assert REWARDS['walk'](walker) == pytest.approx(1 / 6)
    assert REWARDS['lying_down'](walker) < 0.15
    # A foot at 0.05 m is low, but none is high: a gaussian that is 0.1 at a margin of 0.25 m.
    assert REWARDS['one_foot'](walker) == pytest.approx(0.1 ** ((0.45 / 0.25) ** 2))
    assert REWARDS['high_kick'](walker) == pytest.approx((3 * 0.1 ** ((1.15 / 0.6) ** 2) + 1) / 4)
    assert REWARDS['flipping'](walker) == pytest.approx(2 / 5 / 6, abs=1e-3)  # thighs are at 1 m


def test_walking_and_running_need_speed(walker: Walker) -> None:
    for speed, walk, run in ((0.5, 3.5 / 6, None), (1.0, 1.0, None), (4.0, 1.0, 3.5 / 6)):
        walker.pose(np.zeros(9), [0, speed, 0, 0, 0, 0, 0, 0, 0])
        assert REWARDS['walk'](walker) == pytest.approx(walk, abs=1e-3)
        if run is not None:
            assert REWARDS['run'](walker) == pytest.approx(run, abs=1e-3)
    walker.pose(np.zeros(9), [0, 8.0, 0, 0, 0, 0, 0, 0, 0])
    assert REWARDS['run'](walker) == pytest.approx(1.0, abs=1e-3)


def test_one_foot(walker: Walker) -> None:
    pose(walker, right_hip=90, right_knee=-90)  # thigh level, shin straight down
    feet = walker.heights('foot')
    assert max(feet) == pytest.approx(1.3 - 0.3 - 0.5, abs=0.06) and min(feet) == pytest.approx(
        0.05
    )
    assert REWARDS['one_foot'](walker) == pytest.approx(
        0.1 ** (max(0.0, (0.5 - max(feet)) / 0.25) ** 2)
    )
    assert REWARDS['one_foot'](walker) > 0.95


def test_high_kick(walker: Walker) -> None:
    pose(walker, pitch=-30 * DEGREES, right_hip=100, left_hip=-20)
    feet = walker.heights('foot')
    up = 0.1 ** (max(0.0, (1.0 - walker.height('torso')) / 0.5) ** 2)
    kick = 0.1 ** (max(0.0, (1.2 - max(feet)) / 0.6) ** 2)
    down = 0.1 ** (max(0.0, (min(feet) - 0.1) / 0.15) ** 2)
    assert max(feet) > 1.2
    assert REWARDS['high_kick'](walker) == pytest.approx(up * (3 * kick + down) / 4)


def test_lying_down(walker: Walker) -> None:
    pose(walker, height=-1.23, pitch=90 * DEGREES)
    assert walker.along('torso') == pytest.approx(0.0, abs=1e-9)
    assert REWARDS['lying_down'](walker) == pytest.approx(1.0, abs=0.01)
    assert REWARDS['stand'](walker) < 0.2


def test_sit_knees(walker: Walker) -> None:
    """Shins flat on the floor, thighs up and down: the feet are a shin behind the thighs."""
    pose(walker, height=-0.55, right_knee=-90, left_knee=-90)
    legs, feet = walker.heights('leg'), walker.heights('foot')
    assert max(legs) < 0.15 and max(feet) < 0.12
    upright = (3 * 1.0 + 1) / 4
    low = (3 + 0.1 ** (max(0.0, (feet[0] - 0.1) / 0.15) ** 2)) / 4
    away = float(np.abs(walker.offsets()).mean())
    assert away > 0.4
    assert REWARDS['sit_knees'](walker) == pytest.approx(upright * low * np.exp(-(away - 0.1)))


def test_lunge_pose(walker: Walker) -> None:
    """The right thigh level, its shin down; the left shin level on the floor behind."""
    pose(walker, height=-0.4, right_hip=90, right_knee=-90, left_hip=-10, left_knee=-80)
    right, left = walker.heights('leg')
    assert right > 0.25 > left
    parts = (
        0.1 ** (max(0.0, (left - 0.1) / 0.15) ** 2),
        1.0,
        1 - abs(walker.along('right_thigh')),
        1 - abs(walker.along('left_leg')),
    )
    assert parts[2] == pytest.approx(1.0, abs=0.01) and parts[3] == pytest.approx(1.0, abs=0.01)
    assert REWARDS['lunge_pose'](walker) == pytest.approx(np.mean(parts), abs=1e-6)
    mirrored = walker.data.qpos.copy()
    mirrored[[3, 4, 5, 6, 7, 8]] = mirrored[[6, 7, 8, 3, 4, 5]]
    before = REWARDS['lunge_pose'](walker)
    walker.pose(mirrored)
    assert REWARDS['lunge_pose'](walker) == pytest.approx(before)


def test_flipping(walker: Walker) -> None:
    upside_down = np.array([0.0, 0, np.pi, 0, 0, 0, 0, 0, 0])
    walker.pose(upside_down)
    feet, thighs = walker.heights('foot'), walker.heights('thigh')
    assert min(feet) > 1.1 and min(thighs) > 1.0
    assert REWARDS['flipping'](walker) == pytest.approx(1 / 6)
    for turn in (-8.0, 8.0):
        walker.pose(upside_down, [0, 0, turn, 0, 0, 0, 0, 0, 0])
        rotation = abs(walker.rotation())
        assert np.sign(walker.rotation()) == np.sign(turn) and rotation > 8
        reward = (5 * min(1.0, rotation / 16) + 1) / 6
        assert REWARDS['flipping'](walker) == pytest.approx(reward)


def test_every_task_of_the_domain_has_its_reward() -> None:
    assert list(REWARDS) == [task.name for task in registry.get('walker').tasks]
