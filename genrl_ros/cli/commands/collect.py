"""Make a dataset: images and actions only, of scripts or agents of every quality."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from genrl_ros.cli.options import DomainName, at_least
from genrl_ros.cli.progress import bar
from genrl_ros.cli.session import Deadline, saying_stopped
from genrl_ros.data.agents.script import Agents
from genrl_ros.data.collect import Draw, EpisodeRecipe, collect
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.domains import registry
from genrl_ros.domains.base import Domain, Scripted
from genrl_ros.domains.snapshots import read_snapshots
from genrl_ros.system.locks import exclusive
from genrl_ros.system.share import share_path
from genrl_ros.training.engine.run import StoppedError


@dataclass(frozen=True)
class Config:
    """Arguments of `genrl collect`."""

    domain: DomainName
    """Domain to collect in."""
    frames: int = 120_000
    """Frames wanted; whole episodes are collected until there are as many."""
    out: Path | None = None
    """Folder of the dataset; `data/DOMAIN` unless given. An interrupted one is resumed."""
    seed: int = 1
    """Seed of the dataset; the same data come from the same seed, whatever the workers."""
    workers: int = 2
    """Processes to use."""
    collectors: Path | None = None
    """Folder of the snapshots that act, where agents do; `models/DOMAIN/collectors` of the package
    unless given."""

    def __post_init__(self) -> None:
        at_least(self, 1, 'frames', 'workers')
        at_least(self, 0, 'seed')


def main(config: Config) -> int:
    """Collect what is not collected yet."""
    with Deadline(None) as deadline, saying_stopped():
        store = fill(config, deadline.passed)
        print(f'{store.num_frames} frames in {len(store.episode_ids)} episodes at {store.path}')
    return 0


def fill(config: Config, should_stop: Callable[[], bool] = lambda: False) -> EpisodeStore:
    """Collect what is not collected yet.

    Raises:
        StoppedError: if there was no time to finish.
        OSError: if another process collects into the same folder.
    """
    domain = registry.get(config.domain)
    out = config.out or Path('data') / config.domain
    command = (
        f'genrl collect {config.domain} --frames {config.frames} --seed {config.seed} --out {out}'
    )
    recipe = EpisodeRecipe(
        make_environment=partial(registry.make_environment, domain),
        draw=_draw(domain, config.collectors),
        episode_steps=domain.episode_steps,
    )
    if config.collectors is not None:
        command += f' --collectors {config.collectors}'
    with exclusive(out), bar('collect', config.frames) as show:
        store = EpisodeStore.create(out, domain.robot, command, config.seed)
        episodes = collect(store, recipe, config.frames, config.seed, config.workers)
        with contextlib.ExitStack() as ending:
            ending.callback(store.seal)
            ending.enter_context(contextlib.closing(episodes))
            done = 0
            for name in episodes:
                done += store.length(name)
                show(done, store.kind(name))
                if should_stop() and done < config.frames:
                    raise StoppedError(f'{done} of {config.frames} frames are collected')
    return store


def _draw(domain: Domain, collectors: Path | None) -> Draw:
    """What draws the scripts of a domain's episodes.

    Raises:
        ValueError: if collectors are given where scripts act.
        FileNotFoundError: if there are no collectors.
    """
    if isinstance(domain.data, Scripted):
        if collectors is not None:
            raise ValueError(f'--collectors: the data of {domain.name} are made by scripts')
        script: Draw = registry.load(domain.data.draw)
        return script
    folder = collectors or share_path('models', domain.name, 'collectors')
    files = tuple(sorted(folder.glob('*.safetensors')))
    if not files:
        raise FileNotFoundError(
            f'{folder} holds no snapshots: `genrl train-collector {domain.name}` makes them'
        )
    for file in files:
        read_snapshots(file)  # what is wrong with them is said here, and not by a worker
    return Agents(registry.load(domain.data.observe), files)
