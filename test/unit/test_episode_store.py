"""Episodes survive the way to the disk and back; nothing half-written is taken for one."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from genrl_ros.data.collect import EpisodeRecipe, collect, episode_name, run_episode
from genrl_ros.data.store.episode_file import Episode, EpisodeError
from genrl_ros.data.store.episode_store import EpisodeStore, is_held_out
from genrl_ros.domains.base import Domain, RobotSpec, Scripted
from genrl_ros.domains.environment import Environment
from genrl_ros.system.files import sha256
from genrl_ros.training.model.measure import moving_windows

SPEC = RobotSpec('toy', ('a', 'b'), (1.0, 2.0), (), 0.1, 2, 10.0)
COUNTED = Domain(SPEC, 4, (), (), physics='', logic='', data=Scripted(''))


def episode(length: int = 5, seed: int = 0, kind: str = 'random') -> Episode:
    rng = np.random.default_rng(seed)
    return Episode(
        image=rng.integers(0, 256, (length, 3, 8, 8), np.uint8),
        action=rng.uniform(-1, 1, (length, 2)).astype(np.float32),
        state=rng.normal(size=(length, 3)).astype(np.float32),
        kind=kind,
        seed=str(seed),
    )


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    return EpisodeStore.create(tmp_path / 'data', SPEC, 'a command', 1)


@settings(max_examples=25, deadline=None)
@given(
    length=st.integers(1, 20),
    seed=st.integers(0, 2**32 - 1),
    kind=st.text(max_size=40).filter(lambda text: text.isprintable()),
)
def test_what_is_read_is_what_was_written(length: int, seed: int, kind: str) -> None:
    with TemporaryDirectory() as folder:
        written = episode(length, seed, kind)
        EpisodeStore.create(Path(folder), SPEC, 'a command', 1).append('one', written)
        store = EpisodeStore.open(Path(folder))
        np.testing.assert_array_equal(store.image('one'), written.image)
        np.testing.assert_array_equal(store.action('one'), written.action)
        np.testing.assert_array_equal(store.state('one'), written.state)
        assert store.kind('one') == kind
        assert store.num_frames == store.length('one') == length


def test_tensors_are_memory_maps(store: EpisodeStore) -> None:
    store.append('one', episode())
    for tensor in (store.image('one'), store.action('one'), store.state('one')):
        assert isinstance(tensor, np.memmap)
        assert not tensor.flags.writeable


def test_files_are_safetensors_with_their_origin(store: EpisodeStore) -> None:
    store.append('one', episode(seed=7, kind='expert slide'))
    with safe_open(store.episode_path('one'), framework='np') as file:
        assert file.metadata() == {
            'format': 'genrl-episodes-1',
            'kind': 'expert slide',
            'seed': '7',
        }
        assert set(file.keys()) == {'image', 'action', 'state'}


def test_manifest_counts_frames_of_each_kind(store: EpisodeStore) -> None:
    for number, (length, kind) in enumerate([(5, 'random'), (3, 'noisy'), (2, 'random')]):
        store.append(f'{number}', episode(length, number, kind))
    store.seal()
    manifest = json.loads((store.path / 'manifest.json').read_text())
    assert manifest['kinds'] == {'noisy': 3, 'random': 7}
    assert manifest['frames'] == 10
    assert manifest['robot']['name'] == 'toy'
    assert EpisodeStore.open(store.path).episode_ids == ['0', '1', '2']


def contents(store: EpisodeStore) -> dict[str, Any]:
    return {name: store.manifest[name] for name in ('frames', 'kinds', 'episodes')}


def test_one_more_episode_costs_one_line(store: EpisodeStore) -> None:
    manifest, journal = store.path / 'manifest.json', store.path / 'manifest.journal'
    before = manifest.read_bytes()
    for number in range(3):
        store.append(f'{number}', episode(3, number))
        grown = EpisodeStore.open(store.path)
        assert (contents(grown), grown.identity) == (contents(store), store.identity)
    assert manifest.read_bytes() == before
    assert len(journal.read_text().splitlines()) == 3
    store.seal()
    assert not journal.exists()
    assert contents(EpisodeStore.open(store.path)) == contents(store)
    assert sha256(manifest) == store.identity


def test_an_episode_that_is_made_again_counts_once(store: EpisodeStore) -> None:
    for length, kind in ((5, 'random'), (3, 'noisy')):
        store.append('one', episode(length, 0, kind))
    for each in (store, EpisodeStore.open(store.path)):
        assert (each.num_frames, each.manifest['kinds']) == (3, {'noisy': 3})


@pytest.mark.parametrize('end', [b'', b'["2", {"fra', b'["2", {"frames": 3, "kind": "a"}]'])
def test_a_line_that_a_killed_process_began_is_no_entry(store: EpisodeStore, end: bytes) -> None:
    store.append('1', episode(3, 1))
    with (store.path / 'manifest.journal').open('ab') as file:
        file.write(end)
    again = EpisodeStore.open(store.path)
    assert again.episode_ids == ['1']
    again.append('3', episode(2, 3))
    assert EpisodeStore.open(store.path).manifest == again.manifest
    taken_up = EpisodeStore.create(store.path, SPEC, 'a command', 1)
    assert taken_up.episode_ids == ['1', '3']
    assert not (store.path / 'manifest.journal').exists()


def test_a_kill_between_the_manifest_and_the_end_of_its_journal_loses_nothing(
    store: EpisodeStore,
) -> None:
    store.append('1', episode(3, 1))
    journal = (store.path / 'manifest.journal').read_bytes()
    store.seal()
    (store.path / 'manifest.journal').write_bytes(journal)
    assert contents(EpisodeStore.open(store.path)) == contents(store)


@pytest.mark.parametrize('line', ['[]', 'x', '["1", []]', '["1", {"frames": "3", "kind": "a"}]'])
def test_a_journal_of_something_else_is_named(store: EpisodeStore, line: str) -> None:
    (store.path / 'manifest.journal').write_text(line + '\n')
    with pytest.raises(EpisodeError, match=r'manifest\.journal cannot be read'):
        EpisodeStore.open(store.path)


def test_a_dataset_of_the_version_before_is_read(store: EpisodeStore) -> None:
    file = store.path / 'manifest.json'
    manifest = json.loads(file.read_text())
    del manifest['robot']
    motion = {'action_names': ['a', 'b'], 'action_scale': [1.0, 2.0], 'control_dt_s': 0.1}
    old = {'domain': 'toy', **motion, 'action_repeat': 2, 'episode_steps': 4, 'image_size': 64}
    file.write_text(json.dumps(manifest | {'spec': {**old, 'tasks': [{'name': 'go'}]}}))
    EpisodeStore.open(store.path).check_robot(SPEC)
    assert EpisodeStore.create(store.path, SPEC, 'a command', 1).spec.name == 'toy'
    file.write_text(json.dumps(manifest | {'spec': {**old, 'image_size': 8}}))
    with pytest.raises(EpisodeError, match='images are of 8 pixels, and 64 are needed'):
        _ = EpisodeStore.open(store.path).spec


def test_a_temporary_file_is_no_episode(store: EpisodeStore) -> None:
    store.append('one', episode())
    whole = store.episode_path('one').read_bytes()
    (store.path / 'episodes' / '.two.safetensors.x.tmp').write_bytes(whole[:50])
    assert EpisodeStore.open(store.path).episode_ids == ['one']


@pytest.mark.parametrize('keep', [0, 4, 8, 60, -1])
def test_a_torn_file_is_refused(store: EpisodeStore, keep: int) -> None:
    store.append('one', episode())
    whole = store.episode_path('one').read_bytes()
    store.episode_path('two').write_bytes(whole[:keep])
    with pytest.raises(EpisodeError, match=r'two\.safetensors is damaged'):
        store.register('two')
    assert EpisodeStore.open(store.path).episode_ids == ['one']


@pytest.mark.parametrize(
    'header',
    [
        b'[]',
        b'{"image": 3}',
        b'{"image": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}}',
        b'{"image": {"dtype": "U8", "shape": [9], "data_offsets": [0, 8]}}',
        b'{"image": {"dtype": "U8", "shape": [900], "data_offsets": [0, 900]}}',
    ],
)
def test_a_strange_header_is_refused(store: EpisodeStore, header: bytes) -> None:
    content = len(header).to_bytes(8, 'little') + header + bytes(8)
    store.episode_path('one').write_bytes(content)
    with pytest.raises(EpisodeError, match='damaged'):
        store.image('one')


def test_a_missing_dataset_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match='genrl collect'):
        EpisodeStore.open(tmp_path / 'nowhere')


@pytest.mark.parametrize('content', ['', '[]', '{"format": "another"}'])
def test_a_strange_manifest_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / 'manifest.json').write_text(content)
    with pytest.raises(EpisodeError, match='manifest'):
        EpisodeStore.open(tmp_path)


def test_a_dataset_of_another_domain_is_told(store: EpisodeStore) -> None:
    assert EpisodeStore.of(store.spec.name, store.path).num_frames == store.num_frames
    with pytest.raises(EpisodeError, match='is a dataset of .*, not of elsewhere'):
        EpisodeStore.of('elsewhere', store.path)


def test_episodes_of_another_robot_are_told(store: EpisodeStore) -> None:
    store.check_robot(replace(SPEC, name='same'))
    with pytest.raises(ValueError, match=r"action_names is \('a', 'b'\) against \('a', 'c'\)"):
        store.check_robot(replace(SPEC, action_names=('a', 'c')))


@pytest.mark.parametrize('harm', [Path.unlink, lambda path: path.write_bytes(b'torn')])
def test_episodes_that_are_gone_or_torn_are_told(
    store: EpisodeStore, harm: Callable[[Path], object]
) -> None:
    for name in ('one', 'two', 'three'):
        store.append(name, episode())
    store.check_episodes()
    harm(store.episode_path('two'))
    assert [store.has(name) for name in ('one', 'two', 'four')] == [True, False, False]
    with pytest.raises(EpisodeError, match=r'1 of 3 .* first .*two\.safe.* was: a command$'):
        store.check_episodes()
    with pytest.raises(EpisodeError, match='1 of 3'):
        EpisodeStore.of(SPEC.name, store.path)


def test_what_is_derived_is_made_where_it_is_not_or_is_torn(store: EpisodeStore) -> None:
    for name in ('one', 'two', 'three'):
        store.append(name, episode())
    made: list[str] = []

    def tensors(name: str) -> dict[str, np.ndarray]:
        made.append(name)
        return {'video': np.zeros((5, 2), np.float32)}

    def derive() -> int:
        return sum(store.derive(None, lambda name: store.embedding_path('me', name), tensors))

    assert derive() == derive() == 15
    assert made == ['one', 'three', 'two']
    store.embedding_path('me', 'three').write_bytes(b'torn')
    assert derive() == 15
    assert made[3:] == ['three']


def test_a_store_is_not_continued_with_another_seed(store: EpisodeStore) -> None:
    with pytest.raises(EpisodeError, match='with seed 1'):
        EpisodeStore.create(store.path, SPEC, 'a command', 2)


def test_the_manifest_names_the_command_that_made_it_last(store: EpisodeStore) -> None:
    EpisodeStore.create(store.path, SPEC, 'a longer command', 1)
    assert EpisodeStore.open(store.path).manifest['command'] == 'a longer command'


def test_an_episode_has_as_many_actions_as_images() -> None:
    whole = episode()
    with pytest.raises(EpisodeError, match='as many images as actions'):
        Episode(whole.image, whole.action[:-1], whole.state, 'random', '0')


def test_about_one_in_twenty_is_held_out() -> None:
    names = [episode_name(i) for i in range(2000)]
    assert 60 < sum(map(is_held_out, names)) < 140


class Counter:
    """A toy simulator: its image and its position count the steps."""

    robot = SPEC

    def __init__(self) -> None:
        self.steps = 0

    def reset(self, seed: int | None = None) -> None:
        self.steps = 0

    def control(self, command: np.ndarray) -> None:
        self.steps += 1

    def state(self) -> np.ndarray:
        return np.full(3, self.steps / SPEC.action_repeat)

    def render(self, size: int = 64) -> np.ndarray:
        return np.full((3, size, size), self.steps / SPEC.action_repeat, np.uint8)


def counting() -> Environment:
    return Environment(COUNTED, Counter())


class Wild:
    """A script whose actions leave the limits."""

    def __init__(self, physics: Counter, rng: np.random.Generator) -> None:
        self.kind = 'wild'
        self.actions = (3 * rng.standard_normal(2) for _ in itertools.count())


RECIPE = EpisodeRecipe(make_environment=counting, draw=Wild, episode_steps=4)


def test_the_recorded_action_led_to_the_image_and_is_what_was_applied() -> None:
    made = run_episode(counting(), RECIPE, seed=1, index=0)
    assert len(made.image) == RECIPE.episode_steps + 1
    assert made.image[:, 0, 0, 0].tolist() == made.state[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert not made.action[0].any()
    assert np.abs(made.action).max() == 1.0


def test_an_episode_depends_on_seed_and_index_alone() -> None:
    env = counting()
    run_episode(env, RECIPE, 1, 0)
    again, fresh = run_episode(env, RECIPE, 1, 5), run_episode(counting(), RECIPE, 1, 5)
    np.testing.assert_array_equal(again.action, fresh.action)
    assert not np.array_equal(again.action, run_episode(env, RECIPE, 2, 5).action)


def test_what_is_there_is_not_collected_again(store: EpisodeStore) -> None:
    """Of an interrupted collection, also files that the manifest does not know yet."""
    for index in range(2):
        store.append(episode_name(index), episode())
    before = EpisodeStore.open(store.path)
    del before.manifest['episodes'][episode_name(1)]
    done = list(collect(before, RECIPE, frames=10, seed=1, workers=1))
    assert done == ['000000', '000001'] == EpisodeStore.open(store.path).episode_ids


def test_in_the_episodes_of_a_robot_without_joints_no_object_moves(store: EpisodeStore) -> None:
    store.append('one', replace(episode(30), state=np.zeros((30, 0), np.float32)))
    assert moving_windows(store, ['one'], slice(0, None), 24, 8, limit=4) == []
