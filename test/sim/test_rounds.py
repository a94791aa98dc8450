"""Rounds: policies of an untrained model, tried on the walker, and its dynamics trained on."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from genrl_ros.bench import rounds as bench_rounds
from genrl_ros.bench.ladder import __main__ as ladder
from genrl_ros.cli.commands import collect, pretrain
from genrl_ros.config.learning import LearnConfig
from genrl_ros.config.rounds import RoundsConfig
from genrl_ros.config.training import (
    ConnectConfig,
    DynamicsConfig,
    NearnessConfig,
    OptimConfig,
    PriorConfig,
    RecordConfig,
    WorldModelConfig,
)
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.domains.walker import DOMAIN
from genrl_ros.serving.policy.bundle import load_bundle
from genrl_ros.training.engine.run import Run, StoppedError
from genrl_ros.training.rounds.goals import far_apart, goals_of
from genrl_ros.vlm import load_embedder


@dataclass(frozen=True)
class Wordless:
    """An embedder that carries no concepts."""

    identity: str


LEARNING = LearnConfig(updates=2, starts=8, prior=0.0, critic_first=0, actor_lr=3e-4)
ROUNDS = RoundsConfig(count=2, frames_each=200, windows=16, updates=2, learning=LEARNING)


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('rounds') / 'data'
    collect.fill(collect.Config('walker', 1002, folder, 1, 2))
    return folder


def asked(data: Path, run: Path) -> pretrain.Config:
    optim = OptimConfig(lr=1e-3)
    return pretrain.Config(
        domain='walker', data=data, run=run, stage='world-model', rounds=ROUNDS, threads=1,
        record=RecordConfig(report_every=1, save_every=2, picture_every=0),
        world_model=WorldModelConfig(updates=2, batch=2, length=8, optim=optim),
        dynamics=DynamicsConfig(updates=2, batch=2, length=8, optim=optim),
    )  # fmt: skip


def test_rounds_add_what_policies_did_and_are_made_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = asked(data, tmp_path / 'run')
    assert pretrain.main(config) == 0
    store = EpisodeStore.open(data)
    tried = [name for name in store.episode_ids if name.startswith('round')]
    assert tried == [f'round{number}-00000{i}' for number in (1, 2) for i in (0, 1)]
    assert {store.kind(name) for name in tried} <= {
        f'imagined {name}' for name in ('stand', 'walk', 'run')
    }
    assert len({store.image(name).tobytes() for name in tried}) == 4
    rows = (tmp_path / 'run' / 'dynamics.csv').read_text().splitlines()
    assert rows[-1].split(',')[0] == '6'
    for number in (1, 2):
        bundle = load_bundle(tmp_path / 'run' / 'rounds' / str(number) / 'walk')
        assert bundle.description.updates == 2

    told = tmp_path / 'rounds.json'
    bench_rounds.main(
        bench_rounds.Config(
            'walker',
            config.run,
            config.run / 'rounds' / '1' / 'model',
            data,
            episodes=1,
            json=told,
        )
    )
    rows = json.loads(told.read_text())['rounds']
    assert {number: set(row) for number, row in rows.items()} == {
        number: {'stand', 'walk', 'run'} for number in ('1', '2')
    }
    for row in (row for by_task in rows.values() for row in by_task.values()):
        assert 0 <= row['dreamt'] <= 1 and 0 <= row['real'] <= 1
        assert row['gap'] == pytest.approx(row['dreamt'] - row['real'], abs=2e-3)
        assert row['kl'] > 0 and row['kl_after'] > 0 and row['kl'] != row['kl_after']

    made = {path: path.stat().st_mtime_ns for path in (tmp_path / 'run').rglob('actor.onnx')}
    assert pretrain.main(config) == 0
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / 'run').rglob('actor.onnx')} == made
    assert EpisodeStore.open(data).episode_ids == store.episode_ids

    longer = replace(config, rounds=replace(ROUNDS, frames_each=400))
    pretrain.main(longer)
    assert len(EpisodeStore.open(data).episode_ids) == len(store.episode_ids) + 2
    np.testing.assert_array_equal(EpisodeStore.open(data).action(tried[0]), store.action(tried[0]))


def test_policies_of_later_rounds_are_learned_for_goals_that_nobody_asked_for(
    data: Path, tmp_path: Path
) -> None:
    config = asked(data, tmp_path / 'run')
    with pytest.raises(ValueError, match='without the embedder'):
        replace(config, rounds=replace(ROUNDS, goals=2))
    optim = OptimConfig(lr=1e-3)
    config = replace(
        config, stage='all', rounds=replace(ROUNDS, goals=2, seen_first=1),
        connect=ConnectConfig(updates=2, batch=2, length=8, optim=optim),
        nearness=NearnessConfig(updates=2, batch=2, goals=4, optim=optim),
        prior=PriorConfig(updates=0),
    )  # fmt: skip
    with pytest.raises(ValueError, match='need the nearness'):
        replace(config, nearness=NearnessConfig(updates=0))
    with pytest.raises(ValueError, match='leave a round'):
        replace(config.rounds, seen_first=2)
    assert pretrain.main(config) == 0
    made = {path.parent.name + path.name for path in (config.run / 'rounds').glob('*/goal*')}
    assert made == {'2goal0', '2goal1'}
    assert (config.run / 'nearness_round2.safetensors').is_file()
    assert not (config.run / 'nearness_round1.safetensors').exists()
    store = EpisodeStore.open(data)
    assert sum(name.startswith('round2') for name in store.episode_ids) >= 2
    embedder = load_embedder(config.embedder)
    drawn = goals_of(store, embedder, config.rounds, 2)
    bundle = load_bundle(config.run / 'rounds' / '2' / 'goal1').description
    assert bundle.updates == 2 and bundle.prompt == f'{drawn[1].words}, of round2'
    assert pretrain.main(config) == 0  # goes on from the end, and learns no goal again
    assert EpisodeStore.open(data).episode_ids == store.episode_ids

    longer = replace(config.rounds, count=4, goals=10)  # more than half of what is known, twice
    known = set(embedder.bank.known_to('walker')[0])
    first, second = (goals_of(store, embedder, longer, number) for number in (2, 3))
    assert len({goal.words for goal in (*first, *second)}) == min(len(known), 20)
    assert {goal.words for goal in (*first, *second)} <= known

    clips = far_apart(store, embedder.identity, 3, seed=0)
    np.testing.assert_allclose(np.linalg.norm(clips, axis=1), 1.0, atol=1e-2)
    rest = far_apart(store, embedder.identity, 40, seed=0)[3:]
    apart, alike = (clips @ clips.T)[np.triu_indices(3, 1)].max(), rest @ clips.T
    assert apart < alike.max(1).mean()
    wordless = goals_of(store, Wordless(embedder.identity), config.rounds, 2)
    assert [goal.words for goal in wordless] == ['clip 0', 'clip 1']


def test_a_round_that_is_stopped_goes_on(data: Path, tmp_path: Path) -> None:
    config = asked(data, tmp_path / 'run')
    config = replace(config, rounds=replace(ROUNDS, count=1))
    begun = config.run / 'rounds' / '1' / 'model'
    run = Run(config.run, config.record, should_stop=begun.exists)
    with pytest.raises(StoppedError, match='round1 stand after 1 of 2 updates'):
        pretrain.pretrain(config, run)
    pretrain.pretrain(config, Run(config.run, config.record))
    assert (config.run / 'rounds' / '1' / 'run' / 'policy.json').is_file()


def test_the_ladder_compares_dreams_with_reality(data: Path, tmp_path: Path) -> None:
    config = replace(asked(data, tmp_path / 'run'), rounds=RoundsConfig())
    assert pretrain.main(config) == 0
    found = tmp_path / 'ladder.json'
    climbed = ladder.Config(
        domain='walker', run=config.run, data=data, preset='small', tasks=('walk',), windows=64,
        episodes=1, json=found, pictures=tmp_path / 'pictures',
        learning=replace(LEARNING, prior=0.1),
    )  # fmt: skip
    ladder.main(climbed)
    held = json.loads(found.read_text())
    assert len(held['open_loop']['predicted']) == 16
    assert held['open_loop']['repeated'][-1] > 0
    assert set(held['probes']) == {reading.name for reading in DOMAIN.readings}
    assert held['updates'] == 2 and held['frames'] >= 1002
    (row,) = held['policies']['walk']
    assert 0 <= row['dreamt'] <= 1 and row['kl'] > 0
    assert len(row['ahead']['dreamt']) == len(row['ahead']['real']) == 16
    assert row['ahead']['states'] > 50
    assert set(row['score']) == {task.name for task in DOMAIN.tasks}
    # Untrained, it lies about: some reward for lying, and none for walking.
    assert row['score']['walk'] < 0.2
    assert (tmp_path / 'pictures' / 'walk-0.png').stat().st_size > 1000
