"""A world model of a robot that has no simulator: its dataset says what it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from genrl_ros.cli.commands import pretrain
from genrl_ros.config.training import DynamicsConfig, RecordConfig, WorldModelConfig
from genrl_ros.data.store.episode_file import Episode, EpisodeError
from genrl_ros.data.store.episode_store import EpisodeStore, is_held_out
from genrl_ros.serving.robot.embodiment_file import find_embodiment, load_embodiment

ROBOT = load_embodiment(find_embodiment('fr3_velocity'))
LENGTH = 30


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    """As `genrl ingest` leaves it: no tasks, joints for a state."""
    rng = np.random.default_rng(0)
    store = EpisodeStore.create(tmp_path / 'data', ROBOT.spec(), 'genrl ingest', 0)
    held_out = next(f'run-{i}' for i in range(1000) if is_held_out(f'run-{i}'))
    training = [f'run-{i}' for i in range(1000) if not is_held_out(f'run-{i}')]
    for name in (held_out, *training[:2]):
        image = rng.integers(0, 256, (LENGTH, 3, 64, 64), np.uint8)
        action = rng.uniform(-1, 1, (LENGTH, 8)).astype(np.float32)
        state = np.cumsum(action, 0).astype(np.float32)
        store.append(name, Episode(image, action, state, 'recorded', name))
    return store


def test_the_dataset_says_what_the_robot_is(store) -> None:
    assert EpisodeStore.open(store.path).spec == ROBOT.spec()
    manifest = json.loads((store.path / 'manifest.json').read_text())
    del manifest['robot']['action_names']
    (store.path / 'manifest.json').write_text(json.dumps(manifest))
    with pytest.raises(EpisodeError, match='names no robot'):
        _ = EpisodeStore.open(store.path).spec


@pytest.mark.parametrize('joints_known', [True, False])
def test_a_world_model_is_trained_on_recorded_runs(tmp_path, store, joints_known) -> None:
    if not joints_known:
        for name in store.episode_ids:
            image, action = np.array(store.image(name)), np.array(store.action(name))
            state = np.full((LENGTH, 8), np.nan, np.float32)
            store.append(name, Episode(image, action, state, 'recorded', name))
    config = pretrain.Config(
        domain=ROBOT.name,
        data=store.path,
        run=tmp_path / 'run',
        world_model=WorldModelConfig(updates=1, batch=2, length=8),
        dynamics=DynamicsConfig(updates=1, batch=2, length=8),
        record=RecordConfig(),
        stage='world-model',
        threads=1,
    )
    assert pretrain.main(config) == 0
    assert (tmp_path / 'run' / 'open_loop.png').exists() == joints_known
