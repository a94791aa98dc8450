"""Film a task as an expert does it, from another side than the robot's camera: a video prompt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from genrl_ros.cli.options import DomainName, at_least
from genrl_ros.data.video import write_video
from genrl_ros.domains import registry


@dataclass(frozen=True)
class Config:
    """Arguments of `genrl film`."""

    domain: DomainName
    """Domain of the task."""
    task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar='TASK')]
    """Task to film."""
    out: Path | None = None
    """The film, an MP4 file; `runs/TASK.mp4` unless given."""
    distance_m: float = 2.35
    """Distance of the camera; the robot's is at 2.2 m."""
    azimuth_deg: float = 79.0
    """Azimuth of the camera; the robot's is at 70 degrees."""
    elevation_deg: float = -30.0
    """Elevation of the camera, negative when it looks down; the robot's is at -35 degrees."""
    seed: int = 4242
    """Seed of the episode."""

    def __post_init__(self) -> None:
        at_least(self, 0, 'seed')
        if not 0.5 <= self.distance_m <= 10:
            raise ValueError(f'--distance-m must be in [0.5, 10], got {self.distance_m}')
        if not -90 <= self.elevation_deg <= 90:
            raise ValueError(f'--elevation-deg must be in [-90, 90], got {self.elevation_deg}')
        if self.out is not None and self.out.suffix.lower() != '.mp4':
            raise ValueError(f'--out must end in .mp4, got {self.out}')


def main(config: Config) -> int:
    """Film and write."""
    domain = registry.get(config.domain)
    frames = registry.film(
        domain, config.task, config.distance_m, config.azimuth_deg, config.elevation_deg,
        config.seed,
    )  # fmt: skip
    out = config.out or Path('runs') / f'{config.task}.mp4'
    out.parent.mkdir(parents=True, exist_ok=True)
    write_video(out, frames, 1 / domain.robot.step_s, scale=4)
    print(f'film: {out}, {len(frames)} frames')
    return 0
