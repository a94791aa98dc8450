"""Training goes on with the settings it was begun with, and refuses others by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from toy_training import TINY, Toy, make_store, stop_after

from genrl_ros.cli.commands.pretrain import Config
from genrl_ros.config.training import ConnectConfig, RecordConfig, WorldModelConfig
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.data.store.replay import Replay
from genrl_ros.system.files import write_json
from genrl_ros.training.engine.run import Run, StoppedError
from genrl_ros.training.model import pretrain
from genrl_ros.training.model.pretrain import train_world_model
from genrl_ros.world_model.checkpoint import CheckpointError
from genrl_ros.world_model.mfwm import MFWM


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(make_store(tmp_path / 'data'), tmp_path / 'run')


def test_a_connector_does_not_go_on_with_another_embedder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Mapping[str, Any]] = []
    monkeypatch.setattr(pretrain, 'NetworkTraining', lambda *args: args[-1])
    monkeypatch.setattr(pretrain, 'fit', asked.append)
    replay = SimpleNamespace(embedder='e' * 64)
    pretrain.train_connector(MFWM(TINY), replay, ConnectConfig(), Run(tmp_path))  # type: ignore[arg-type]
    assert asked[0]['embedder'] == 'e' * 64


@pytest.mark.parametrize(('threads', 'seed', 'option'), [(0, 0, '--threads'), (1, -1, '--seed')])
def test_numbers_that_cannot_be_are_named(threads: int, seed: int, option: str) -> None:
    with pytest.raises(ValueError, match=option):
        Config('toy', threads=threads, seed=seed)


def test_a_checkpoint_of_another_model_is_refused(toy: Toy) -> None:
    toy.train()
    with pytest.raises(CheckpointError, match='another model or preset; choose another folder'):
        replace(toy, width=3).train()


def test_a_training_with_other_settings_is_refused(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        toy.train(should_stop=stop_after(4), settings={'batch': 4, 'optim': {'lr': 0.01}})
    with pytest.raises(
        CheckpointError, match=r'settings \(optim.lr was 0.01, not 0.02\): .*--run'
    ):
        toy.train(settings={'batch': 4, 'optim': {'lr': 0.02}})
    toy.train(settings={'batch': 4, 'added in a later release': 1})
    with pytest.raises(CheckpointError, match='batch was 4, not 5'):
        toy.train(settings={'batch': 5})
    elsewhere = tmp_path / 'elsewhere'
    store = EpisodeStore.open(make_store(elsewhere, 7))
    replace(toy, data=elsewhere).train()  # the same, grown
    store.manifest['seed'] = 3
    write_json(elsewhere / 'manifest.json', store.manifest)
    with pytest.raises(CheckpointError, match='data.seed was 0, not 3'):
        replace(toy, data=elsewhere).train()


def test_the_stages_of_a_world_model_remember_their_settings(tmp_path: Path) -> None:
    data, model = make_store(tmp_path / 'data', side=64), MFWM(TINY)

    def train(updates: int, free_nats: float, seed: int = 0) -> None:
        config = WorldModelConfig(updates=updates, batch=4, length=8, free_nats=free_nats)
        run = Run(tmp_path / 'run', RecordConfig(picture_every=0))
        train_world_model(model, Replay(EpisodeStore.open(data), 4, 8, seed), config, run)

    train(1, 1.0)
    train(2, 1.0)
    with pytest.raises(CheckpointError, match='free_nats was 1.0, not 2.0'):
        train(2, 2.0)
    with pytest.raises(CheckpointError, match='seed was 0, not 1'):
        train(2, 1.0, seed=1)
