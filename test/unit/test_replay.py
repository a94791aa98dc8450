"""Batches hold true windows of training episodes, and come again from the same seed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from genrl_ros.data.collect import episode_name
from genrl_ros.data.store.episode_file import Episode, EpisodeError
from genrl_ros.data.store.episode_store import EpisodeStore, is_held_out
from genrl_ros.data.store.prefetch import Prefetch
from genrl_ros.data.store.replay import REFRESH_EVERY, Replay, StepReplay, geometric
from genrl_ros.domains.base import RobotSpec
from genrl_ros.system.files import write_tensors

SPEC = RobotSpec('toy', ('a', 'b'), (1.0, 1.0), (), 0.1, 2, 10.0)
EPISODES = 40


def add(store: EpisodeStore, index: int) -> None:
    """An episode in which image, action and state all say where they are from."""
    time = np.arange(10, dtype=np.float32)
    image = np.zeros((10, 3, 4, 4), np.uint8)
    image[:, 0], image[:, 1] = index, time[:, None, None]
    action = np.stack([np.full(10, index, np.float32), time], 1)
    store.append(episode_name(index), Episode(image, action, time[:, None], 'toy', '0'))


@pytest.fixture(scope='module')
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = EpisodeStore.create(tmp_path_factory.mktemp('data'), SPEC, 'a command', 1)
    for index in range(EPISODES):
        add(store, index)
    return store.path


def test_windows_are_consecutive_frames_of_one_episode(path: Path) -> None:
    batch = Replay(EpisodeStore.open(path), batch=32, length=4, seed=0).sample()
    assert {key: value.dtype.name for key, value in batch.items()} == {
        'image': 'uint8',
        'action': 'float32',
        'is_first': 'float32',
    }
    assert batch['image'].shape == (32, 4, 3, 4, 4)
    np.testing.assert_array_equal(batch['image'][:, :, :2, 0, 0], batch['action'])
    assert (batch['action'][:, :, 0] == batch['action'][:, :1, 0]).all()
    assert (np.diff(batch['action'][:, :, 1], axis=1) == 1).all()


def test_only_the_start_of_an_episode_is_first(path: Path) -> None:
    batch = Replay(EpisodeStore.open(path), batch=64, length=4, seed=0).sample()
    np.testing.assert_array_equal(batch['is_first'], batch['action'][:, :, 1] == 0)


def test_every_training_window_is_drawn_and_no_held_out_one(path: Path) -> None:
    replay = Replay(EpisodeStore.open(path), batch=100, length=8, seed=0)
    starts = np.concatenate([replay.sample()['action'][:, 0] for _ in range(40)])
    drawn = {(int(episode), int(start)) for episode, start in starts}
    training = [i for i in range(EPISODES) if not is_held_out(episode_name(i))]
    assert len(training) < EPISODES
    assert drawn == {(episode, start) for episode in training for start in range(3)}


def test_goes_on_exactly_where_it_was(path: Path) -> None:
    replay = Replay(EpisodeStore.open(path), 4, 4, seed=0)
    replay.sample()
    state = json.loads(json.dumps(replay.state_dict()))
    expected = replay.sample()
    other = Replay(EpisodeStore.open(path), 4, 4, seed=9)
    other.load_state_dict(state)
    for key, value in other.sample().items():
        np.testing.assert_array_equal(value, expected[key])


@settings(max_examples=20, deadline=None)
@given(
    taken=st.integers(0, 6),
    skip=st.frozensets(st.integers(1, 12), max_size=4),
    share=st.sampled_from([slice(0, 4), slice(0, 2), slice(2, 4)]),
)
def test_what_is_read_ahead_has_the_same_order(
    path: Path, taken: int, skip: frozenset[int], share: slice
) -> None:
    store = EpisodeStore.open(path)
    plain = Replay(store, 4, 4, seed=0)
    expected = {number: plain.sample()['action'][share] for number in range(1, 30)}
    wanted = [number for number in expected if number not in skip]
    replay = Replay(store, 4, 4, seed=0)
    position = replay.state_dict()
    numbers = []
    for count in (taken, 5):  # cut after a few, and taken up
        replay.load_state_dict(json.loads(json.dumps(position)))
        with Prefetch(replay, share, skip) as batches:
            for _ in range(count):
                batch = batches.take()
                numbers.append(batch.number)
                position = batch.position
                np.testing.assert_array_equal(batch.arrays['action'], expected[batch.number])
                starts = [(int(w.episode), w.start) for w in batch.windows[share]]
                assert starts == [tuple(row) for row in batch.arrays['action'][:, 0]]
    assert numbers == wanted[: taken + 5]


def test_an_episode_that_cannot_be_read_is_named_when_its_batch_is_taken(tmp_path: Path) -> None:
    store = EpisodeStore.create(tmp_path, SPEC, 'a command', 1)
    add(store, 1)
    replay = Replay(EpisodeStore.open(tmp_path), 2, 4, seed=0)
    store.episode_path(episode_name(1)).unlink()
    with Prefetch(replay, slice(0, 2)) as batches, pytest.raises(EpisodeError, match='is missing'):
        batches.take()


def test_embeddings_come_along(path: Path) -> None:
    store = EpisodeStore.open(path)
    for name in store.training[:3]:
        file = store.embedding_path('f' * 64, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        time = np.arange(10, dtype=np.float32)
        save_file({'video': np.stack([np.full(10, int(name), np.float32), time], 1)}, file)
    batch = Replay(store, 16, 4, seed=0, embedder='f' * 64).sample()
    np.testing.assert_array_equal(batch['embed'], batch['action'])


def test_says_what_is_missing(path: Path) -> None:
    store = EpisodeStore.open(path)
    with pytest.raises(EpisodeError, match='shorter windows'):
        Replay(store, 4, 11, seed=0)
    with pytest.raises(EpisodeError, match='genrl embed'):
        Replay(store, 4, 4, seed=0, embedder='0' * 64)


def test_sees_a_store_grow(tmp_path: Path) -> None:
    store = EpisodeStore.create(tmp_path, SPEC, 'a command', 1)
    add(store, 1)
    replay = Replay(EpisodeStore.open(tmp_path), 8, 4, seed=0)
    add(store, 2)
    for _ in range(REFRESH_EVERY):
        assert set(replay.sample()['action'][:, 0, 0]) == {1}
    assert set(replay.sample()['action'][:, 0, 0]) == {1, 2}


def test_what_is_not_encoded_yet_is_passed_over(tmp_path: Path) -> None:
    store, tokenizer = EpisodeStore.create(tmp_path, SPEC, 'a command', 1), 't' * 64
    add(store, 1)
    with pytest.raises(EpisodeError, match='genrl pretrain'):
        Replay(store, 2, 4, seed=0, tokenizer=tokenizer)
    logits = np.ones((10, 2, 3), np.float16)
    write_tensors(store.logits_path(tokenizer, episode_name(1)), {'logits': logits})
    replay = Replay(EpisodeStore.open(tmp_path), 8, 4, seed=0, tokenizer=tokenizer)
    add(store, 2)
    for _ in range(REFRESH_EVERY):
        replay.draw()
    batch = replay.sample()
    assert set(batch['action'][:, 0, 0]) == {1}
    assert batch['logits'].shape == (8, 4, 2, 3)


def follow(store: EpisodeStore, name: str) -> None:
    """Embeddings, logits and states that all say where they are from."""
    time = np.arange(10, dtype=np.float16)
    mark = np.stack([np.full(10, int(name), np.float16), time], 1)
    embed = mark.astype(np.float32)
    embed[:7] = 0
    write_tensors(store.embedding_path('e' * 64, name), {'video': embed})
    write_tensors(store.logits_path('t' * 64, name), {'logits': mark[:, None]})
    write_tensors(store.states_path('d' * 64, name), {'deter': mark})


def test_steps_come_with_the_action_after_them_and_a_clip_that_follows(path: Path) -> None:
    store = EpisodeStore.open(path)
    for name in store.training[:3]:
        follow(store, name)
    replay = StepReplay(store, 200, 6, 2, 0.6, 0, 'e' * 64, 't' * 64, 'd' * 64)
    batch = replay.sample()
    episode, now = batch['deter'][..., 0], batch['deter'][..., 1].astype(int)
    assert set(episode.flat) == {int(name) for name in store.training[:3]}
    np.testing.assert_array_equal(batch['logits'][..., 0, :], batch['deter'])
    np.testing.assert_array_equal(batch['action'][..., 0], episode)
    np.testing.assert_array_equal(batch['action'][..., 1], now + 1)
    np.testing.assert_array_equal(batch['embed'][..., 0], episode)
    ends = batch['embed'][..., 1].astype(int)
    first = np.maximum(now + 3, 7)
    assert set(now.flat) == set(range(7))
    assert ((first <= ends) & (ends <= 9)).all()
    assert {tuple(row) for row in np.stack([now, ends], -1).reshape(-1, 2)} == {
        (n, e) for n in range(7) for e in range(max(n + 3, 7), 10)
    }


def test_steps_need_all_that_they_come_with(path: Path, tmp_path: Path) -> None:
    store = EpisodeStore.create(tmp_path, SPEC, 'a command', 1)
    add(store, 1)
    follow(store, episode_name(1))

    def steps(delay: int, dynamics: str) -> StepReplay:
        return StepReplay(store, 2, 3, delay, 0.9, 0, 'e' * 64, 't' * 64, dynamics)

    assert steps(8, 'd' * 64).draw()[0].ends == (9, 9, 9)
    with pytest.raises(EpisodeError, match='11 frames or more'):
        steps(9, 'd' * 64)
    with pytest.raises(EpisodeError, match='no states of world model'):
        steps(8, '0' * 64)


def test_near_clips_are_more_likely() -> None:
    draw, choices = np.random.default_rng(0).random(20_000), np.array([40, 6, 2, 1])
    found = geometric(draw[:, None], choices, 0.8)
    assert (found >= 0).all() and (found < choices).all()
    for column, count in zip(found.T, choices, strict=True):
        chance = 0.8 ** np.arange(count)
        share = np.bincount(column, minlength=count) / len(found)
        np.testing.assert_allclose(share, chance / chance.sum(), atol=0.012)
