from __future__ import annotations

import json
import math
import os
import sys

import numpy as np
import pytest

from genrl_ros.domains.base import RobotSpec
from genrl_ros.serving.policy.bundle import (
    BundleError,
    load_bundle,
    write_bundle,
)
from genrl_ros.serving.policy.runner import Encoder, PolicyError, PolicyRunner

pytestmark = pytest.mark.unit


@pytest.fixture
def robot(description) -> RobotSpec:
    names = description.action_names
    return RobotSpec('my robot', names, (2.0,) * 9, ('rad/s',) * 9, 0.08, 2, 12.5)


def edit(bundle, **changes: object) -> None:
    path = bundle.path / 'policy.json'
    manifest = json.loads(path.read_text())
    for name, value in changes.items():
        if value is None:
            del manifest[name]
        else:
            manifest[name] = value
    path.write_text(json.dumps(manifest))


def test_what_is_written_is_what_is_read(make_bundle, description, robot) -> None:
    written = make_bundle()
    read = load_bundle(written.path, robot)
    assert read == written
    assert read.description == description


def test_a_bundle_is_never_overwritten(make_bundle, description) -> None:
    bundle = make_bundle()
    with pytest.raises(BundleError, match='exists already'):
        write_bundle(bundle.path, description, dict(bundle.graphs))


def test_a_failed_write_leaves_nothing(make_bundle, description, tmp_path, monkeypatch) -> None:
    graphs = dict(make_bundle().graphs)

    def full(descriptor: int) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match='No space left'):
        write_bundle(tmp_path / 'full' / 'bundle', description, graphs)
    assert list((tmp_path / 'full').iterdir()) == []


@pytest.mark.parametrize('name', ['policy.json', 'encoder.onnx', 'step.onnx', 'actor.onnx'])
def test_a_missing_file_is_named(make_bundle, name) -> None:
    bundle = make_bundle()
    (bundle.path / name).unlink()
    with pytest.raises(BundleError, match=name):
        load_bundle(bundle.path)


@pytest.mark.parametrize('name', ['encoder.onnx', 'step.onnx', 'actor.onnx'])
def test_one_flipped_bit_is_found(make_bundle, name) -> None:
    path = make_bundle().path / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=f'{name}.*sha256'):
        load_bundle(path.parent)


def test_a_truncated_file_is_found(make_bundle) -> None:
    path = make_bundle().path / 'actor.onnx'
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BundleError, match='incomplete'):
        load_bundle(path.parent)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'format_version': 2}, 'format version is 2'),
        ({'format_version': None}, '"format_version" is missing'),
        ({'stoch': 'many'}, '"stoch" must be a whole number'),
        ({'stoch': True}, '"stoch" must be a whole number'),
        ({'deter': 0}, '"deter" must be at least 1'),
        ({'action_scale': [2.0]}, '"action_scale" has 1 values'),
        ({'action_names': ['a'] * 9}, '"action_names" must name every channel once'),
        ({'control_dt_s': math.nan}, '"control_dt_s" must be positive'),
        ({'encoder_sha256': 'f' * 64}, 'is not the hash of encoder.onnx'),
        ({'files': {}}, '"encoder.onnx" is missing'),
        ({'learning': []}, '"learning" must be an object'),
    ],
)
def test_a_senseless_manifest_is_refused(make_bundle, changes, message) -> None:
    bundle = make_bundle()
    edit(bundle, **changes)
    with pytest.raises(BundleError, match=message) as caught:
        load_bundle(bundle.path)
    assert 'policy.json' in str(caught.value)


@pytest.mark.parametrize('content', [b'', b'[]', b'\xff\xfe', b'{', b'[' * 50_000])
def test_what_is_no_manifest_is_refused(make_bundle, content) -> None:
    bundle = make_bundle()
    (bundle.path / 'policy.json').write_bytes(content)
    with pytest.raises(BundleError, match='policy.json'):
        load_bundle(bundle.path)


def test_a_huge_manifest_is_refused_unread(make_bundle) -> None:
    bundle = make_bundle()
    (bundle.path / 'policy.json').write_bytes(b' ' * 70_000)
    with pytest.raises(BundleError, match='larger than'):
        load_bundle(bundle.path)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'image_size': 96}, 'image_size'),
        ({'control_dt_s': 0.05}, 'control_dt_s'),
        ({'action_repeat': 3}, 'action_repeat'),
        ({'action_names': tuple('abcdefghi')}, 'action_names'),
        ({'action_scale': (2.5,) * 9}, r'action_scale is \(2.5, .* against \(2.0, '),
    ],
)
def test_a_bundle_for_another_robot_is_refused(make_bundle, robot, changes, message) -> None:
    bundle = make_bundle(**changes)
    with pytest.raises(BundleError, match=message):
        load_bundle(bundle.path, robot)


def test_the_hidden_state_follows_what_was_really_done(make_bundle, watched_actors) -> None:
    runner = PolicyRunner(make_bundle(graphs={'actor.onnx': watched_actors['plain']}))
    first, second = np.array([1, 2, 3, 4]), np.array([0, 0, 0, 1])

    def hidden(tokens: np.ndarray, done: float) -> float:
        action = runner.act(tokens, np.full(9, done))
        assert action.dtype == np.float32 and len(set(action.tolist())) == 1
        return (float(action[0]) - 0.25) / 0.01

    # A first step has no previous state (four tokens of -1) and no previous action.
    assert hidden(first, 0.7) == pytest.approx(-4, abs=1e-4)
    assert hidden(second, 0.5) == pytest.approx(-4 + first.sum() + 9 * 0.5, abs=1e-4)
    runner.reset()
    assert hidden(second, 1.0) == pytest.approx(-4, abs=1e-4)


def test_actions_are_clipped(make_bundle) -> None:
    runner = PolicyRunner(make_bundle(action=7.0))
    assert runner.act(np.zeros(4, int), np.zeros(9)).tolist() == [1.0] * 9


def test_a_policy_without_finite_answers_is_refused(make_bundle) -> None:
    with pytest.raises(BundleError, match='not finite'):
        PolicyRunner(make_bundle(action=math.nan))


def test_a_graph_that_fails_at_a_later_step_is_a_policy_error(make_bundle, watched_actors) -> None:
    runner = PolicyRunner(make_bundle(graphs={'actor.onnx': watched_actors['picky']}))
    good, bad = np.array([0, 1, 2, 3]), np.array([0, 1, 2, 4])
    for _ in range(2):  # the second time as the first step of an episode, again
        np.testing.assert_allclose(runner.act(good, np.zeros(9)), 0.25 - 4 * 0.01, rtol=1e-6)
        with pytest.raises(PolicyError, match='the policy cannot be run: .*out of data bounds'):
            runner.act(bad, np.zeros(9))


def test_a_policy_whose_answers_have_another_shape_is_refused(
    make_bundle, shapeless_actor
) -> None:
    with pytest.raises(BundleError, match=r'gives \(1, 0\) actions, \(1, 6\) states'):
        PolicyRunner(make_bundle(graphs={'actor.onnx': shapeless_actor}))


def test_graphs_that_do_not_fit_the_manifest_are_refused(make_bundle) -> None:
    with pytest.raises(BundleError, match='step.onnx has the inputs'):
        PolicyRunner(make_bundle(deter=7))
    with pytest.raises(BundleError, match='actor.onnx is not a graph'):
        PolicyRunner(make_bundle(graphs={'actor.onnx': b'not a graph'}))


def test_the_encoder_takes_modes_or_samples(encoder_bytes) -> None:
    encoder = Encoder(encoder_bytes)
    assert (encoder.image_size, encoder.stoch, encoder.classes) == (64, 4, 5)
    image = np.full((3, 64, 64), 1, np.uint8)
    modes = encoder.encode(image)
    assert modes.shape == (4,) and modes.dtype == np.int64
    samples = [encoder.encode(image, np.random.default_rng(seed)) for seed in range(20)]
    assert any((sample != modes).any() for sample in samples)


def test_samples_have_a_hundredth_of_the_uniform_distribution(encoder_bytes) -> None:
    """As in training, where no class is ever sure."""
    encoder, image = Encoder(encoder_bytes), np.full((3, 64, 64), 255, np.uint8)
    modes, rng = encoder.encode(image), np.random.default_rng(0)
    other = np.mean([encoder.encode(image, rng) != modes for _ in range(4_000)])
    assert abs(other - 0.01 * (1 - 1 / encoder.classes)) < 0.002


def test_another_kind_of_graph_is_no_encoder(make_bundle) -> None:
    with pytest.raises(BundleError, match='one square RGB image'):
        Encoder(make_bundle().graphs['actor.onnx'])


def test_serving_needs_neither_torch_nor_ros() -> None:
    import subprocess

    found = subprocess.run(
        [
            sys.executable,
            '-c',
            'import sys, genrl_ros.serving.policy.runner; '
            'print([name for name in ("torch", "rclpy", "mujoco") if name in sys.modules])',
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == '[]'


def test_the_goal_and_the_steps_of_an_episode_are_read_where_they_are(
    make_bundle, goal_bytes
) -> None:
    bundle = load_bundle(make_bundle(graphs={'goal.onnx': goal_bytes}, attempt_steps=70).path)
    assert bundle.description.attempt_steps == 70
    runner = PolicyRunner(bundle)
    assert [runner.match(np.array([first, 3, 3, 3])) for first in (0, 2)] == [1.0, -1.0]
    older = load_bundle(make_bundle().path)
    assert older.description.attempt_steps == 0
    assert PolicyRunner(older).match(np.zeros(4, np.int64)) is None


def test_a_bundle_from_before_episodes_ended_is_read(make_bundle) -> None:
    bundle = make_bundle()
    edit(bundle, attempt_steps=None)
    assert load_bundle(bundle.path).description == bundle.description


@pytest.mark.parametrize('steps', [-1, 1.5, 'many'])
def test_steps_that_make_no_sense_are_refused(make_bundle, steps) -> None:
    bundle = make_bundle()
    edit(bundle, attempt_steps=steps)
    with pytest.raises(BundleError, match='attempt_steps'):
        load_bundle(bundle.path)


def test_a_goal_that_is_no_goal_is_refused(make_bundle, encoder_bytes) -> None:
    with pytest.raises(BundleError, match=r'goal.onnx has the inputs'):
        PolicyRunner(make_bundle(graphs={'goal.onnx': encoder_bytes}))
