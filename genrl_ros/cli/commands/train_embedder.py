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
from genrl_ros.training.embedder.source import ConceptSource
from genrl_ros.training.embedder.takes import TrainConfig
from genrl_ros.training.engine.run import Run


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

    def __post_init__(self) -> None:
        if not registry.get(self.domain).concepts:
            raise ValueError(f'{self.domain} has no concepts that an embedder could learn')


def main(config: Config) -> int:
    """Make the clips unless they exist, train, measure and write the model.

    Raises:
        FileExistsError: if there is an embedder already, or something else in the clips' place.
    """
    from genrl_ros.training.embedder.make import train_and_measure

    out = config.out or config.run / 'model'
    if (out / 'embedder.json').exists():
        raise FileExistsError(f'{out} holds an embedder: choose another --out, or move it away')
    record = RecordConfig(report_every=10, keep=2, picture_every=0)
    with training_session(
        config.run, record, 'cpu', config.train.precision, config.budget_s
    ) as run:
        source: ConceptSource = registry.load(registry.get(config.domain).concepts)
        clips = _clips(config, source, run)
        with stage('video tower', config.train.steps, run) as watched:
            scores = train_and_measure(
                source, clips, out, config.train, watched, f'genrl train-embedder {config.domain}'
            )
        for cameras in ('held_out_clips', 'published_camera'):
            found = ', '.join(f'{name} {value}' for name, value in scores[cameras]['mean'].items())
            print(f'{cameras}: {found}')
        print(f'embedder: {out}, all scores in embedder.json')
    return 0


def _clips(config: Config, source: ConceptSource, run: Run) -> Clips:
    if (config.clips / 'clips.json').is_file():
        return Clips.open(config.clips, source.concepts)
    work = config.make.rehearsals + sum(config.make.split_takes)
    with contextlib.closing(source.make_studio()) as studio, bar('clips', work) as show:
        return make_clips(
            studio, source.concepts, config.clips, config.make, show, run.should_stop
        )
