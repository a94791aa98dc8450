"""Train the small video-language embedder: make its clips, learn, measure, write the model."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

from genrl_ros.cli.options import DomainName
from genrl_ros.cli.progress import bar
from genrl_ros.cli.session import stage, training_session
from genrl_ros.config.training import RecordConfig
from genrl_ros.domains import registry
from genrl_ros.training.embedder.clips import ClipConfig, Clips, make_clips
from genrl_ros.training.embedder.reader import ReaderTraining
from genrl_ros.training.embedder.source import ConceptSource
from genrl_ros.training.embedder.takes import TrainConfig
from genrl_ros.training.engine.run import Run

RECORD = RecordConfig(report_every=10, keep=2, picture_every=0)


@dataclass(frozen=True)
class Config:
    """What to make the embedder from, and where to put it."""

    domain: DomainName
    """Domain whose concepts are learned."""
    clips: Path = Path('data/embedder-clips')
    """Folder of the clips; they are made if it is new or empty."""
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
        if not registry.get(self.domain).concepts:
            raise ValueError(f'{self.domain} has no concepts that an embedder could learn')


def main(config: Config) -> int:
    """Make the clips unless they exist, train, measure and write the model.

    Raises:
        FileExistsError: if there is an embedder already, or something else in the clips' place.
    """
    from genrl_ros.training.embedder.make import train_and_measure

    source: ConceptSource = registry.load(registry.get(config.domain).concepts)
    if config.reader_of is not None:
        return _reader_alone(config, source, config.reader_of)
    out = config.out or config.run / 'model'
    if (out / 'embedder.json').exists():
        raise FileExistsError(
            f'{out} holds an embedder: choose another --out, or move it away; --reader-of {out} '
            'makes its reader alone'
        )
    with training_session(
        config.run, RECORD, 'cpu', config.train.precision, config.budget_s
    ) as run:
        clips = _clips(config, source, run)
        with stage('video tower', config.train.steps, run) as watched:
            scores = train_and_measure(
                source, clips, out, config.train, watched, f'genrl train-embedder {config.domain}'
            )
        _make_reader(config, source, out, run)
        for cameras in ('held_out_clips', 'published_camera'):
            found = ', '.join(f'{name} {value}' for name, value in scores[cameras]['mean'].items())
            print(f'{cameras}: {found}')
        print(f'embedder: {out}, all scores in embedder.json')
    return 0


def _reader_alone(config: Config, source: ConceptSource, folder: Path) -> int:
    with training_session(config.run, RECORD, 'cpu', 'float32', config.budget_s) as run:
        _make_reader(config, source, folder, run)
    return 0


def _make_reader(config: Config, source: ConceptSource, folder: Path, run: Run) -> None:
    from genrl_ros.training.embedder.make_reader import make_reader

    with stage('reader', config.reader.steps, run) as watched:
        scores = make_reader(
            source, folder, config.reader, watched,
            f'genrl train-embedder {config.domain} --reader-of {folder}',
        )  # fmt: skip
    for name, score in scores.items():
        print(f'{name}: {score["driven"]} of {score["sentences"]} would be driven')
    print(f'reader: {folder}, all scores in reader.json')


def _clips(config: Config, source: ConceptSource, run: Run) -> Clips:
    if (config.clips / 'clips.json').is_file():
        return Clips.open(config.clips, source.concepts)
    work = config.make.rehearsals + sum(config.make.split_takes)
    with contextlib.closing(source.make_studio()) as studio, bar('clips', work) as show:
        return make_clips(
            studio, source.concepts, config.clips, config.make, show, run.should_stop
        )
