"""The kitchen behaves as the paper's: start, control, camera, success."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from genrl_ros.domains import registry
from genrl_ros.domains.environment import Environment
from genrl_ros.domains.kitchen import DOMAIN
from genrl_ros.domains.kitchen import model as kitchen_model
from genrl_ros.domains.kitchen.elements import ELEMENTS
from genrl_ros.domains.kitchen.physics import (
    ARM,
    HOME,
    JOINT_HIGH,
    JOINT_LOW,
    READING_NOISE,
    Camera,
    Kitchen,
)
from genrl_ros.domains.kitchen.tasks import MoveElement, logic


@pytest.fixture(scope='module')
def kitchen() -> Iterator[Kitchen]:
    env = Kitchen()
    yield env
    env.close()


def act(kitchen: Kitchen, action: np.ndarray) -> np.ndarray:
    return Environment(DOMAIN, kitchen).step(action).image


def with_element(name: str, *value: float) -> np.ndarray:
    qpos = HOME.copy()
    qpos[ELEMENTS[name].index] = value
    return qpos


def rollout(kitchen: Kitchen, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    kitchen.reset(seed)
    for _ in range(3):
        image = act(kitchen, rng.uniform(-1, 1, ARM))
    return image, kitchen.state()


def test_the_same_seed_gives_the_same_episode(kitchen: Kitchen) -> None:
    first, again, other = rollout(kitchen, 3), rollout(kitchen, 3), rollout(kitchen, 4)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])


def test_every_episode_starts_the_same(kitchen: Kitchen) -> None:
    kitchen.reset(1)
    first = kitchen.render()
    act(kitchen, np.ones(ARM))
    kitchen.reset(2)
    np.testing.assert_array_equal(kitchen.render(), first)
    np.testing.assert_array_equal(kitchen.state(), HOME)


def test_nothing_is_done_at_the_start(kitchen: Kitchen) -> None:
    kitchen.reset(0)
    assert set(kitchen.readings()) == set(ELEMENTS)
    for task in DOMAIN.tasks:
        assert not logic(task.name).success(kitchen)
        assert logic(task.name).reward(kitchen) == 0.0


def test_actions_are_clipped(kitchen: Kitchen) -> None:
    kitchen.reset(0)
    act(kitchen, np.full(ARM, 50.0))
    far = kitchen.state()
    kitchen.reset(0)
    act(kitchen, np.ones(ARM))
    np.testing.assert_array_equal(kitchen.state(), far)


def test_a_step_is_two_control_steps_at_two_radians_a_second(kitchen: Kitchen) -> None:
    action = np.linspace(-0.5, 0.5, ARM)
    kitchen.reset(0)
    act(kitchen, action)
    stepped = kitchen.state()
    kitchen.reset(0)
    kitchen.control(2 * action)
    kitchen.control(2 * action)
    np.testing.assert_array_equal(kitchen.state(), stepped)
    assert kitchen.data.time == pytest.approx(0.16)


def test_velocities_are_integrated_from_the_noisy_reading(kitchen: Kitchen) -> None:
    kitchen.reset(0)
    before = kitchen.state()[:ARM]
    command = np.full(ARM, 0.5)
    kitchen.control(command)
    wanted = np.clip(before + 0.5 * 0.08, JOINT_LOW, JOINT_HIGH)
    error = np.abs(kitchen.data.ctrl - wanted)
    assert 0 < error.max() <= READING_NOISE


def test_targets_stay_within_the_joints_limits(kitchen: Kitchen) -> None:
    kitchen.reset(0)
    for _ in range(12):
        act(kitchen, np.full(ARM, 1.0))
        assert (kitchen.data.ctrl <= JOINT_HIGH).all()


def test_wrong_shapes_are_refused(kitchen: Kitchen) -> None:
    with pytest.raises(ValueError, match='9 channels'):
        kitchen.control(np.zeros(7))
    with pytest.raises(ValueError, match=r'shape \(30,\)'):
        kitchen.set_state(np.zeros(9))
    with pytest.raises(ValueError, match='between 1 and 512'):
        kitchen.render(513)


@pytest.mark.parametrize(
    ('element', 'reached', 'missed'),
    [
        ('bottom_burner', (-0.39, -0.01), (-0.37, -0.01)),
        ('top_burner', (-0.43, -0.01), (-0.41, -0.01)),
        ('light', (-0.2, -0.05), (-0.18, -0.05)),
        ('slide', (0.18,), (0.16,)),
        ('hinge', (0.0, 1.16), (0.0, 1.14)),
        ('microwave', (-0.51,), (-0.49,)),
        ('kettle', (-0.23, 0.46, 1.62, 0.99, 0, 0, -0.06), (-0.23, 0.44, 1.62, 0.99, 0, 0, -0.06)),
    ],
)
def test_success_thresholds(
    kitchen: Kitchen, element: str, reached: tuple[float, ...], missed: tuple[float, ...]
) -> None:
    task = MoveElement(element)
    kitchen.set_state(with_element(element, *reached))
    assert task.success(kitchen) and task.reward(kitchen) == 1.0
    kitchen.set_state(with_element(element, *missed))
    assert not task.success(kitchen) and task.reward(kitchen) == 0.0
    assert kitchen.distance(element) > ELEMENTS[element].threshold


@pytest.mark.parametrize(
    ('element', 'goal', 'pixels'),
    [
        ('light', (-0.69, -0.05), 60),
        ('slide', (0.37,), 100),
        ('microwave', (-0.75,), 100),
        ('hinge', (0.0, 1.45), 100),
        ('bottom_burner', (-0.88, -0.009), 3),
    ],
)
def test_a_moved_element_can_be_seen(
    kitchen: Kitchen, element: str, goal: tuple[float, ...], pixels: int
) -> None:
    """In 64x64 pixels; the kettle stands on the bottom burner, so of that only the knob shows."""
    kitchen.set_state(HOME)
    before = kitchen.render().astype(int)
    kitchen.set_state(with_element(element, *goal))
    change = np.abs(kitchen.render() - before).max(axis=0)
    assert (change > 16).sum() >= pixels


def test_the_picture_is_planar_rgb(kitchen: Kitchen) -> None:
    """The wall above the counter is bluish, and the floor of the picture is no black frame."""
    kitchen.set_state(HOME)
    image = kitchen.render(64)
    assert image.shape == (3, 64, 64)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    red, _, blue = image[:, :8, 8:24].reshape(3, -1).mean(axis=1)
    assert blue > red + 10
    assert 60 < image.mean() < 180
    assert kitchen.render(32).shape == (3, 32, 32)


def test_the_camera_can_be_elsewhere(kitchen: Kitchen) -> None:
    aside = Kitchen(Camera(azimuth=60.0, distance=2.5))
    kitchen.set_state(HOME)
    assert np.abs(aside.render().astype(int) - kitchen.render()).mean() > 5
    aside.close()


def test_simplified_meshes_are_kept(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    fresh = kitchen_model.load_model()
    files = sorted(kitchen_model.cache_dir().iterdir())
    assert len(files) == 9
    files[0].write_bytes(b'torn')
    again = kitchen_model.load_model()
    np.testing.assert_array_equal(again.mesh_vert, fresh.mesh_vert)
    assert files[0].stat().st_size > 1000


def test_only_what_is_seen_is_simplified(kitchen: Kitchen) -> None:
    """Masses and collision shapes are those of the scene as it ships."""
    import mujoco

    shipped = mujoco.MjModel.from_xml_path(str(kitchen_model.scene_path()))
    np.testing.assert_allclose(kitchen.model.body_mass, shipped.body_mass)
    np.testing.assert_allclose(kitchen.model.body_inertia, shipped.body_inertia)
    assert kitchen.model.nmesh == shipped.nmesh
    collide = shipped.geom_contype.astype(bool) | shipped.geom_conaffinity.astype(bool)
    np.testing.assert_allclose(kitchen.model.geom_pos[collide], shipped.geom_pos[collide])
    np.testing.assert_allclose(kitchen.model.geom_size[collide], shipped.geom_size[collide])
    assert kitchen.model.nmeshface < shipped.nmeshface / 10


def test_ends_without_complaint() -> None:
    code = 'from genrl_ros.domains.kitchen.physics import Kitchen; k = Kitchen(); k.render()'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert 'Error' not in done.stderr


def test_domains_are_found_by_name() -> None:
    assert registry.get('kitchen').robot.action_dim == ARM
    assert registry.find('garage') is None
    with pytest.raises(ValueError, match='there is: kitchen'):
        registry.get('garage')


def test_a_held_arm_does_not_sink(kitchen) -> None:
    kitchen.reset(0)
    for _ in range(10):
        kitchen.control(np.array([0.3, 0.5, -0.3, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0]))
    kitchen.hold()
    before = kitchen.state()[:9]
    for _ in range(25):
        kitchen.hold()
    assert np.abs(kitchen.state()[:9] - before).max() < 0.01
