"""Does the reward know success when it sees it? Recorded clips by rewards, and by the true one.

Each clip of the dataset is rewarded as a dream would be, for the sentence of each task, and also
frozen: its first frame again and again. A reward that is of use ranks clips as the true one does,
likes those best that are best, and does not take a frozen clip for a motion.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from rich.console import Console
from rich.table import Table

from genrl_ros.cli.options import DomainName, at_least
from genrl_ros.cli.progress import bar
from genrl_ros.config.learning import LearnConfig, RewardKind
from genrl_ros.config.mapping import from_mapping
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.domains import registry
from genrl_ros.evaluation.audit import draw_clips, judge, reward_clips
from genrl_ros.system.files import check_writable, write_json
from genrl_ros.system.share import shipped_model
from genrl_ros.training.behavior.ground import matching_embedder
from genrl_ros.training.behavior.learn import lacks
from genrl_ros.training.engine.speed import inspect
from genrl_ros.world_model.checkpoint import load_mfwm

COLUMNS = {
    'rank_correlation': 'rank correlation',
    'regret': 'regret',
    'precision': 'precision',
    'recall': 'recall',
    'reward_of_best': 'reward of the best',
    'reward_of_best_frozen': 'of the best frozen',
}


@dataclass(frozen=True)
class Config:
    """Arguments of `genrl audit`."""

    domain: DomainName
    """Domain of the model."""
    model: Path | None = None
    """World model; the shipped one unless given."""
    data: Path | None = None
    """Dataset with states of the simulator; `data/DOMAIN` unless given."""
    clips: int = 2_500
    """Clips, drawn at random."""
    rewards: tuple[RewardKind, ...] = ()
    """Rewards to audit; all that the model has unless given."""
    threads: int = 2
    """CPU threads."""
    json: Path | None = None
    """File to write the tables to."""

    def __post_init__(self) -> None:
        at_least(self, 1, 'threads')
        at_least(self, 2, 'clips')


def main(config: Config) -> int:
    """Print a table for each reward.

    Raises:
        ValueError: if the model lacks what a reward that is asked for needs.
    """
    torch.set_num_threads(config.threads)
    torch.manual_seed(0)
    domain = registry.get(config.domain)
    folder = config.model or shipped_model(config.domain)
    model, card = load_mfwm(folder)
    how = from_mapping(LearnConfig, card.training.get('learning', {}), f'{folder}: learning')
    kinds: list[RewardKind] = []
    for kind in config.rewards or get_args(RewardKind):
        problem = lacks(card, kind)
        if problem and config.rewards:
            raise ValueError(f'{folder} {problem}')
        kinds += [] if problem else [kind]
    if config.json is not None:
        config.json.parent.mkdir(parents=True, exist_ok=True)
        check_writable(config.json.parent)
    embedder = matching_embedder(card)
    store = EpisodeStore.of(config.domain, config.data)
    with bar('clips', config.clips) as show:
        clips = draw_clips(model, domain, store, config.clips, how.horizon + 1, show)
    found: dict[str, Any] = {
        'date': time.strftime('%Y-%m-%d'),
        'machine': asdict(inspect('cpu')),
        'model': card.sha256,
        'clips': config.clips,
    }
    for kind in kinds:
        rows = found[kind] = {}
        for index, task in enumerate(domain.tasks):
            prompt = embedder.embed_text([task.prompt])[0]
            moving, frozen = reward_clips(model, prompt, clips, kind, how)
            rows[task.name] = judge(moving, frozen, clips.true[:, index])
        _show(f'{config.domain}, reward {kind}', rows)
    if config.json is not None:
        write_json(config.json, found)
    return 0


def _show(title: str, rows: dict[str, dict[str, float | None]]) -> None:
    table = Table(title=title)
    table.add_column('task', no_wrap=True)
    for column in COLUMNS.values():
        table.add_column(column, justify='right')
    for task, row in rows.items():
        values = [row[name] for name in COLUMNS]
        table.add_row(task, *('-' if value is None else f'{value:.2f}' for value in values))
    Console().print(table)
