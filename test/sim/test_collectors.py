"""Policies that learn from the simulator's state, their snapshots, and the data they make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genrl_ros.cli.commands import collect, train_collector
from genrl_ros.config.collectors import CollectorConfig
from genrl_ros.config.training import RecordConfig
from genrl_ros.data.agents.script import Agents
from genrl_ros.domains import registry
from genrl_ros.domains.snapshots import SnapshotError, read_snapshots
from genrl_ros.domains.walker.physics import Walker, observe
from genrl_ros.training.collectors.train import train_collector as train
from genrl_ros.training.engine.run import Run, StoppedError

TINY = CollectorConfig(
    task_steps=150, last_task_steps=200, explorer_steps=300, random_steps=64, snapshots=2,
    units=16, batch=32,
)  # fmt: skip


@pytest.fixture(scope='module')
def snapshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp('collectors')
    asked = train_collector.Config(
        'walker', ('tasks-0', 'poses-1', 'motions-2'), out / 'run', out / 'snapshots',
        collector=TINY,
    )  # fmt: skip
    assert train_collector.main(asked) == 0
    return out / 'snapshots'


def test_snapshots_say_what_they_learned(snapshots: Path) -> None:
    actors = read_snapshots(snapshots / 'tasks-0.safetensors')
    learned = [(actor.label.learns, actor.label.steps) for actor in actors]
    assert learned == [
        ('stand', 75), ('stand', 150), ('walk', 225), ('walk', 300), ('run', 400), ('run', 500),
    ]  # fmt: skip
    assert set(actors[0].label.score) == {'stand', 'walk', 'run'}
    (first, last) = read_snapshots(snapshots / 'poses-1.safetensors')
    assert first.label.learns == last.label.learns == 'poses'
    seen = np.zeros(24, np.float32)
    assert np.abs(first.act(seen) - last.act(seen)).max() > 1e-3
    assert (snapshots / 'tasks-0.safetensors').stat().st_size < 100_000


def test_a_snapshot_acts_as_the_network_that_it_was(tmp_path: Path) -> None:
    import torch

    from genrl_ros.domains.snapshots import Label, write_snapshots
    from genrl_ros.training.collectors.soft_actor_critic import Actor

    torch.manual_seed(0)
    actor = Actor(5, 2, 16)
    for parameter in actor.parameters():
        parameter.data = parameter.data.half().float()  # as it is stored
    mean, scale = torch.randn(5), torch.rand(5) + 0.5
    arrays = {'mean': mean, 'scale': scale} | actor.state_dict()
    stacked = {name: value.numpy()[None] for name, value in arrays.items()}
    path = tmp_path / 'one.safetensors'
    write_snapshots(path, [Label('stand', 1, {})], stacked, {})
    (read,) = read_snapshots(path)
    seen = torch.randn(20, 5)
    with torch.no_grad():
        raw, std = actor.distribution((seen - mean) * scale)
    for observation, expected in zip(seen.numpy(), raw.tanh().numpy(), strict=True):
        np.testing.assert_allclose(read.act(observation), expected, atol=1e-5)
    rng, draws = np.random.default_rng(0), []
    draws = np.arctanh([read.act(seen[0].numpy(), rng) for _ in range(4000)])
    np.testing.assert_allclose(draws.std(0), std[0].numpy(), rtol=0.1)


def test_an_interrupted_collector_goes_on(tmp_path: Path) -> None:
    domain, left = registry.get('walker'), iter([False] * 100 + [True])
    stopping = Run(
        tmp_path / 'run', RecordConfig(report_every=10, save_every=50, keep=0, picture_every=0),
        should_stop=lambda: next(left),
    )  # fmt: skip
    path = tmp_path / 'snapshots.safetensors'
    with pytest.raises(StoppedError):
        train(domain, 'motions', 0, TINY, stopping, path)
    updates = []
    on = Run(stopping.folder, stopping.record, lambda told: updates.append(told.update))
    labels = train(domain, 'motions', 0, TINY, on, path)
    assert updates[0] == 110 and updates[-1] == 300
    assert [label.steps for label in labels] == [150, 300]


def test_same_seed_same_data_and_a_third_each_is_noisy_and_disturbed(snapshots: Path) -> None:
    agents = Agents(observe, tuple(sorted(snapshots.glob('*.safetensors'))))
    walker = Walker()
    kinds = [agents(walker, np.random.default_rng(seed)).kind for seed in range(600)]
    share = {kind: kinds.count(kind) / 600 for kind in set(kinds)}
    for task in ('stand', 'walk', 'run', 'poses', 'motions'):
        assert sum(share[f'{task}{way}'] for way in ('', ' noisy', ' bursts')) == pytest.approx(
            0.2, abs=0.05
        )
    for seed in range(6):
        drawn = []
        for _ in range(2):
            walker.reset(seed)
            script = agents(walker, np.random.default_rng(seed))
            actions = []
            for _ in range(80):
                action = np.clip(next(script.actions), -1, 1)
                walker.control(action * np.array(walker.robot.action_scale))
                actions.append(action)
            drawn.append(np.stack(actions))
        np.testing.assert_array_equal(*drawn)
    walker.close()


def test_collect_takes_the_snapshots(snapshots: Path, tmp_path: Path) -> None:
    store = collect.fill(
        collect.Config('walker', 501, tmp_path / 'data', 3, 1, collectors=snapshots)
    )
    (name,) = store.episode_ids
    assert store.image(name).shape == (501, 3, 64, 64)
    assert store.state(name).shape == (501, 24)
    assert np.abs(store.action(name)).max() <= 1
    torso, speed = store.state(name)[:, 18], store.state(name)[:, 20]
    assert torso.min() > 0 and np.abs(speed).max() > 0.05


def test_wrong_snapshots_are_told(snapshots: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='genrl train-collector walker'):
        collect.fill(collect.Config('walker', 501, tmp_path, collectors=tmp_path))
    (tmp_path / 'torn.safetensors').write_bytes(
        (snapshots / 'tasks-0.safetensors').read_bytes()[:2000]
    )
    with pytest.raises(SnapshotError, match='torn'):
        collect.fill(collect.Config('walker', 501, tmp_path / 'data', collectors=tmp_path))
    with pytest.raises(ValueError, match='made by scripts'):
        collect.fill(collect.Config('kitchen', 141, tmp_path / 'k', collectors=snapshots))
    with pytest.raises(ValueError, match='tasks-0'):
        train_collector.Config('walker', ('speed',))
    with pytest.raises(ValueError, match='not made by agents'):
        train_collector.main(train_collector.Config('kitchen', run=tmp_path / 'run'))
