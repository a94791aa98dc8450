"""Train the small video-language embedder: make its clips, learn, measure, write the model."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from genrl_ros.cli.progress import bar
from genrl_ros.cli.session import stage, training_session
from genrl_ros.config.training import RecordConfig
from genrl_ros.domains import registry
from genrl_ros.training.embedder.clips import ClipConfig, Clips, make_clips
from genrl_ros.training.embedder.reader import ReaderTraining
from genrl_ros.training.embedder.source import Concepts
from genrl_ros.training.embedder.takes import TrainConfig
from genrl_ros.training.engine.run import Run

RECORD = RecordConfig(report_every=10, keep=2, picture_every=0)


@dataclass(frozen=True)
class Config:
    """What to make the embedder from, and where to put it."""

    domains: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar='DOMAIN [DOMAIN ...]')
    ]
    """Domains whose concepts are learned; what two of them call the same is one concept."""
    clips: Path = Path('data/embedder-clips')
    """Folder of the clips, one inside it a domain; they are made if that is new or empty."""
    out: Path | None = None
    """Folder that the model is written to; `model` in the folder of the run unless given. An
    embedder that is there already is not replaced."""
    run: Path = Path('runs/embedder')
    """Folder of the checkpoints; the same command goes on from there."""
    budget_s: float | None = None
    """Seconds after which to stop with everything saved; the same command goes on from there."""
    make: ClipConfig = field(default_factory=ClipConfig)
    """How the clips are made."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """How the embedder is trained."""
    reader_of: Path | None = None
    """Folder of an embedder whose reader alone is made anew, which says what prompts are not to be
    acted on. The embeddings, and what world models know the embedder by, stay as they are."""
    reader: ReaderTraining = field(default_factory=ReaderTraining)
    """How the reader is trained."""

    def __post_init__(self) -> None:
        if not self.domains:
            raise ValueError('name a domain whose concepts are learned')
        for name in self.domains:
            if not registry.get(name).concepts:
                raise ValueError(f'{name} has no concepts that an embedder could learn')


def main(config: Config) -> int:
    """Make the clips unless they exist, train, measure and write the model.

    Raises:
        FileExistsError: if there is an embedder already, or something else in the clips' place.
    """
    from genrl_ros.training.embedder.make import train_and_measure

    concepts = Concepts(
        {name: registry.load(registry.get(name).concepts) for name in config.domains}
    )
    if config.reader_of is not None:
        return _reader_alone(config, concepts, config.reader_of)
    out = config.out or config.run / 'model'
    if (out / 'embedder.json').exists():
        raise FileExistsError(
            f'{out} holds an embedder: choose another --out, or move it away; --reader-of {out} '
            'makes its reader alone'
        )
    with training_session(
        config.run, RECORD, 'cpu', config.train.precision, config.budget_s
    ) as run:
        clips = {name: _clips(config, concepts, name, run) for name in concepts.sources}
        with stage('video tower', config.train.steps, run) as watched:
            scores = train_and_measure(
                concepts, clips, out, config.train, watched, _command(config)
            )
        _make_reader(config, concepts, out, run)
        for cameras in ('held_out_clips', 'published_camera'):
            for name, means in scores[cameras]['mean'].items():
                found = ', '.join(f'{what} {value}' for what, value in means.items())
                print(f'{cameras}, {name}: {found}')
        print(f'embedder: {out}, all scores in embedder.json')
    return 0


def _command(config: Config) -> str:
    return f'genrl train-embedder {" ".join(config.domains)}'


def _reader_alone(config: Config, concepts: Concepts, folder: Path) -> int:
    with training_session(config.run, RECORD, 'cpu', 'float32', config.budget_s) as run:
        _make_reader(config, concepts, folder, run)
    return 0


def _make_reader(config: Config, concepts: Concepts, folder: Path, run: Run) -> None:
    from genrl_ros.training.embedder.make_reader import make_reader

    with stage('reader', config.reader.steps, run) as watched:
        command = f'{_command(config)} --reader-of {folder}'
        scores = make_reader(concepts, folder, config.reader, watched, command)
    for domain, sets in scores.items():
        for name, score in sets.items():
            print(f'{domain}, {name}: {score["driven"]} of {score["sentences"]} would be driven')
    print(f'reader: {folder}, all scores in reader.json')


def _clips(config: Config, concepts: Concepts, domain: str, run: Run) -> Clips:
    folder, source = config.clips / domain, concepts.sources[domain]
    if (folder / 'clips.json').is_file():
        return Clips.open(folder, source.concepts)
    make = config.make.asked(source)
    work = make.rehearsals + sum(make.split_takes)
    with (
        contextlib.closing(source.make_studio()) as studio,
        bar(f'clips, {domain}', work) as show,
    ):
        return make_clips(studio, source.concepts, folder, make, show, run.should_stop)
