"""Learn the policy of one prompt in imagination and write it as a bundle that a robot can run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from genrl_ros.cli.options import DomainName
from genrl_ros.cli.progress import bar
from genrl_ros.config.learning import LearnConfig
from genrl_ros.config.presets import PresetName
from genrl_ros.config.training import Device
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.data.store.replay import Replay
from genrl_ros.system.locks import exclusive
from genrl_ros.system.share import shipped_model
from genrl_ros.training.behavior.ground import ground_prompt
from genrl_ros.training.behavior.learn import RECORD, Assignment, learn
from genrl_ros.training.engine.run import Progress, Run
from genrl_ros.world_model.checkpoint import read_card
from genrl_ros.world_model.ranks import ALONE, Ranks

WINDOW = 32
"""Frames of the recorded sequences whose states imagination may start from."""


@dataclass(frozen=True)
class Config:
    """Arguments of `genrl learn`."""

    domain: DomainName
    """Domain of the world model."""
    prompt: str = ''
    """The task in words."""
    video: Path | None = None
    """The task as a short video, in place of a prompt."""
    name: str = 'policy'
    """Name of the bundle's folder."""
    out: Path = Path('runs/policies')
    """Where the bundle goes."""
    model: Path | None = None
    """World model; the shipped one unless given."""
    data: Path | None = None
    """Start imagination from the posteriors of this dataset (offline); data-free without it."""
    force: bool = False
    """Learn a prompt even if it is not taken for one task that the embedder knows."""
    budget_s: float | None = None
    """Seconds after which to stop with everything saved; the same command goes on from there."""
    device: Device = 'cpu'
    """What to compute on."""
    preset: PresetName = 'small'
    """Defaults of the learning below."""
    learning: LearnConfig = field(default_factory=LearnConfig)
    """How to learn."""

    def __post_init__(self) -> None:
        if self.name in ('', '.', '..') or Path(self.name).name != self.name:
            raise ValueError(f'--name must be the name of a folder in --out, got {self.name!r}')


def learn_prompt(
    config: Config, ranks: Ranks = ALONE, should_stop: Callable[[], bool] = lambda: False
) -> Path:
    """Learn and export, with progress; returns the bundle's folder.

    Raises:
        OSError: if another process learns under the same name.
        StoppedError: if `should_stop` said so; everything is saved.
        ValueError: if the dataset is of another robot than the model, or the prompt is not
            taken for one task that the embedder knows.
    """
    folder = config.model or shipped_model(config.domain)
    _, card = read_card(folder)
    embedding, grounding = ground_prompt(card, config.prompt, config.video)
    if not grounding.known and not config.force:
        raise ValueError(f'{grounding.warning}; --force learns it all the same')
    if grounding.concept:
        print(
            f'the nearest concept is {grounding.concept}: cosine {grounding.score:.2f}, '
            f'{grounding.margin:.2f} ahead of the next'
        )
    if grounding.warning:
        print(grounding.warning)
    replay = None
    if config.data is not None:
        store, alone = EpisodeStore.open(config.data), ranks.world == 1
        store.check_robot(card.spec)
        store.check_episodes()
        windows = max(8, -(-config.learning.starts // WINDOW))
        replay = Replay(store, windows, WINDOW, config.learning.seed, growing=alone)
    with (
        exclusive(config.out, config.name) if ranks.first else contextlib.nullcontext(),
        bar(f'learn {config.name}', config.learning.updates) as show,
    ):

        def on_progress(progress: Progress) -> None:
            rate = f'{progress.updates_per_s:.1f}/s  ' if progress.stage == 'learning' else ''
            show(progress.update, f'{rate}reward {progress.metrics["reward"]:.2f}')

        run = Run(config.out, RECORD, on_progress, should_stop, ranks, config.device)
        asked = Assignment(folder, embedding, config.prompt or str(config.video), config.name)
        result = learn(asked, config.learning, run, replay)
    print(f'policy: {result.bundle_path}, imagined reward {result.imagined_reward:.2f}')
    return result.bundle_path
