"""Make a world model from nothing: collect, embed, pretrain, evaluate, export.

Stages resume, and are skipped if finished with the same settings. So half an hour at a time is
enough: repeat `genrl train-all kitchen --budget-s 1700` until it says that it is finished. More
updates go on with the same model (more frames alone do not retrain); any other change begins a new
one, in a folder of its own. The defaults are the domain's training recipe in `config/train`.

On several processes: `torchrun --nproc-per-node N --no-python -- genrl train-all ...`; the first
one collects and evaluates.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genrl_ros.cli.commands import collect, pretrain
from genrl_ros.cli.evaluate_tasks import Trials, learn_and_run, show_scores
from genrl_ros.cli.learn_prompt import Config as Learn
from genrl_ros.cli.options import DomainName, TrainingOptions, at_least
from genrl_ros.cli.session import training_session, work_through
from genrl_ros.config.fingerprint import VERSION, explicit, fingerprint
from genrl_ros.config.learning import LearnConfig
from genrl_ros.config.presets import TRAINING
from genrl_ros.config.rounds import RoundsConfig
from genrl_ros.config.training import (
    DynamicsConfig,
    WorldModelConfig,
)
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.domains import registry
from genrl_ros.system.files import (
    atomic_folder,
    recover_folder,
    replace_folder,
    write_json,
)
from genrl_ros.training.engine.run import Run
from genrl_ros.training.engine.stages import Result, Stages
from genrl_ros.training.model.embeddings import embed_dataset
from genrl_ros.vlm import load_embedder
from genrl_ros.world_model.checkpoint import FORMAT_VERSION, read_card
from genrl_ros.world_model.ranks import ALONE

MODEL_FILES = ('mfwm.json', 'mfwm.safetensors', 'encoder.onnx')
SCORES, CARD = 'scores.json', 'CARD.md'
EVALUATION_SEED = 7
PICTURES = ('open_loop.png', 'goals.png', 'video_goals.png')
"""Those that there are: the first needs a held-out episode in which something moves, the second
tasks."""


@dataclass(frozen=True)
class Config(TrainingOptions):
    """Arguments of `genrl train-all`."""

    domain: DomainName
    """Domain of the world model."""
    frames: int = 120_000
    """Frames to collect."""
    data_seed: int = 1
    """Seed of the dataset."""
    run: Path | None = None
    """Folder of everything that is made on the way; `runs/train-all/DOMAIN` unless given."""
    out: Path | None = None
    """Where the model goes in the end, with scores and card; unless given, `export` beside what
    its training leaves, so that another model gets another folder."""
    episodes: int = 20
    """Episodes a task, to evaluate with."""
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Simulators that run in parallel."""
    world_model: WorldModelConfig = field(default_factory=WorldModelConfig)
    """Training of tokenizer and sequence model."""
    rounds: RoundsConfig = field(default_factory=RoundsConfig)
    """Rounds in which it is tried in the simulator, and trained on."""
    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    """Further training of the sequence model."""
    learning: LearnConfig = field(default_factory=LearnConfig)
    """How to learn the tasks that it is evaluated with."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, 'frames', 'episodes', 'workers')
        at_least(self, 0, 'data_seed')


def main(config: Config) -> int:
    """Do the stages that are not done yet, as far as the time goes."""
    folder = config.run or Path('runs/train-all') / config.domain
    with training_session(
        folder, config.record, config.device, config.precision, config.budget_s
    ) as run:
        Making(config, run).everything()
    return 0


def tell(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


class Making:
    """The making of one model.

    Args:
        config: what was asked for.
        run: where and how; the model's own folder is below its.
    """

    def __init__(self, config: Config, run: Run) -> None:
        self.config, self.stages = config, Stages(run.folder / 'stages', run.ranks, tell)
        self.data = config.data or Path('data') / config.domain
        self.run = replace(run, folder=run.folder / f'training-{self.lineage()}')
        self.out = config.out or self.run.folder / 'export'
        self.model = self.run.folder / 'model'

    def everything(self) -> None:
        """All stages; what one is asked for includes what those before it gave."""
        self.check_out()
        config = self.config
        data = self.stages.do(
            'collect',
            {
                'domain': config.domain,
                'frames': config.frames,
                'seed': config.data_seed,
                'data': self.data.resolve(),
            },
            self.collect,
            (self.data / 'manifest.json',),
        )
        self.stages.do('embed', {'data': data, 'embedder': config.embedder}, self.embed, ())
        model = self.stages.do(
            'pretrain',
            self.settings() | {'data': data, 'defaults': VERSION, 'format': FORMAT_VERSION},
            self.pretrain,
            (self.model / 'mfwm.json',),
        )
        if not self.run.ranks.first:
            return
        self.run = replace(self.run, ranks=ALONE)  # the others have left
        self.stages = self.stages.alone()
        asked = {
            'model': model,
            'episodes': config.episodes,
            'seed': EVALUATION_SEED,
            'preset': config.preset,
            'learning': self.learning(),
            'defaults': VERSION,
        }
        scores = self.stages.do('evaluate', asked, lambda: self.evaluate(model['sha256']), ())
        self.stages.do(
            'export',
            {'model': model, 'scores': scores, 'out': self.out.resolve()},
            lambda: self.export(model, scores),
            (self.out / 'mfwm.json',),
        )
        show_scores(config.domain, scores)
        print(f'Finished: {self.out}')

    def collect(self) -> Result:
        """Collect the dataset."""
        if self.run.ranks.first:
            config = self.config
            asked = collect.Config(
                config.domain, config.frames, self.data, config.data_seed, config.workers
            )
            collect.fill(asked, self.run.should_stop)
        self.run.ranks.wait()
        store = EpisodeStore.of(self.config.domain, self.data)
        return {'frames': store.num_frames, 'seed': store.manifest['seed']}

    def embed(self) -> Result:
        """Embed it."""
        store, ranks = EpisodeStore.of(self.config.domain, self.data), self.run.ranks
        embedder = load_embedder(self.config.embedder)
        steps = embed_dataset(store, embedder, ranks.deal(store.episode_ids))
        work_through('embed', store.num_frames, steps, self.run)
        return {'identity': embedder.identity}

    def training(self) -> pretrain.Config:
        """What `genrl pretrain` is asked for."""
        config = self.config
        return pretrain.Config(
            domain=config.domain,
            data=self.data,
            preset=config.preset,
            embedder=config.embedder,
            seed=config.seed,
            threads=config.threads,
            device=config.device,
            precision=config.precision,
            world_model=config.world_model,
            rounds=config.rounds,
            dynamics=config.dynamics,
            connect=config.connect,
            prior=config.prior,
            nearness=config.nearness,
        )

    def settings(self) -> dict[str, Any]:
        """What the trained model depends on, apart from the data, as far as it is no default."""
        config = self.config
        preset = TRAINING[config.preset]
        default = pretrain.Config(
            domain=config.domain,
            preset=config.preset,
            world_model=preset.world_model,
            dynamics=preset.dynamics,
            connect=preset.connect,
            prior=preset.prior,
            nearness=preset.nearness,
        )
        left_out = ('data', 'run', 'out', 'threads', 'device', 'precision', 'budget_s', 'record')
        asked = explicit(self.training(), default)
        asked = {name: value for name, value in asked.items() if name not in left_out}
        return {'domain': config.domain, 'preset': config.preset, **asked}

    def learning(self) -> dict[str, Any]:
        """How tasks are learned, as far as it is no default."""
        return explicit(self.config.learning, TRAINING[self.config.preset].learning)

    def lineage(self) -> str:
        """Names all models that come from each other by further training."""
        fixed: dict[str, Any] = {'data_seed': self.config.data_seed}
        for name, value in self.settings().items():
            if isinstance(value, dict):
                value = {key: each for key, each in value.items() if key != 'updates'}
            if value != {}:
                fixed[name] = value
        return fingerprint(fixed)

    def pretrain(self) -> Result:
        """Train the world model and connect it."""
        pretrain.pretrain(self.training(), self.run)
        self.run.ranks.wait()
        _, card = read_card(self.model)
        return {'sha256': card.sha256, 'scores': card.training['scores']}

    def evaluate(self, sha256: str) -> Result:
        """Learn every task, and run it."""
        config = self.config
        way = fingerprint({'model': sha256, 'learning': self.learning()})
        place = self.run.folder / 'evaluation' / way
        scores = {}
        for task in registry.get(config.domain).tasks:
            learning = Learn(
                domain=config.domain,
                prompt=task.prompt,
                name=task.name,
                out=place,
                model=self.model,
                force=True,
                device=config.device,
                learning=config.learning,
            )
            trials = Trials(config.episodes, EVALUATION_SEED, config.workers)
            scores[task.name] = learn_and_run(learning, task, trials, self.run.should_stop)
        return scores

    def check_out(self) -> None:
        """Check that nothing would be lost by putting the model into its folder.

        Raises:
            FileExistsError: if there is anything in that place but an earlier model.
        """
        if not self.out.exists():
            return
        if not (self.out / 'mfwm.json').is_file():
            raise FileExistsError(f'{self.out} exists and is no model: choose another --out')
        others = {path.name for path in self.out.iterdir()} - {
            *MODEL_FILES,
            *PICTURES,
            SCORES,
            CARD,
        }
        if others:
            raise FileExistsError(
                f'{self.out} holds more than a model ({", ".join(sorted(others)[:3])}), which '
                'would be lost: choose another --out'
            )

    def export(self, model: Mapping[str, Any], scores: Mapping[str, Any]) -> Result:
        """Put the model into one folder with its scores, its pictures and a card.

        A folder of an earlier model stays until this one is complete.

        Raises:
            FileExistsError: if there is something else in the folder's place.
        """
        recover_folder(self.out)
        self.check_out()
        new = self.out.with_name(f'.{self.out.name}.new')
        shutil.rmtree(new, ignore_errors=True)  # of a process that was killed
        with atomic_folder(new) as folder:
            for name in MODEL_FILES:
                shutil.copyfile(self.model / name, folder / name)
            for name in PICTURES:
                if (self.run.folder / name).is_file():
                    shutil.copyfile(self.run.folder / name, folder / name)
            write_json(folder / SCORES, {**model['scores'], 'success': scores})
            (folder / CARD).write_text(self.card(model, scores), encoding='utf-8')
        replace_folder(self.out, new)
        return {'folder': str(self.out)}

    def card(self, model: Mapping[str, Any], scores: Mapping[str, Any]) -> str:
        """What the folder says of itself."""
        config, (_, card) = self.config, read_card(self.model)
        frames = card.training['data']['frames']
        rows = [
            f'| {name} | {score["score"]:.2f} | {score["se"]:.2f} | {score["episodes"]} |'
            for name, score in scores.items()
        ]
        return '\n'.join(
            [
                f'# World model of the {config.domain}, preset {config.preset}',
                '',
                f'Made by `genrl train-all {config.domain}` on {datetime.now(UTC).date()}, from '
                f'{frames} frames (seed {config.data_seed}) with seed {config.seed}. All '
                'settings of the training are in `mfwm.json`.',
                '',
                f'sha256 of the weights: `{model["sha256"]}`',
                '',
                f'Success rates, learned data-free in {config.learning.updates} updates a task:',
                '',
                '| task | success | standard error | episodes |',
                '|---|---|---|---|',
                *rows,
                '',
            ]
        )
