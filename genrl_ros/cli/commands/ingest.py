"""Make a dataset of recorded runs: rosbag2 recordings of a robot, MCAP or sqlite3.

Images and commands are put in step with the control rate, gaps split episodes, and torn bags are
read as far as they go. What becomes of each bag is reported. Episodes that are in already stay.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from genrl_ros.cli.options import at_least
from genrl_ros.data.bags.bag import find_bags
from genrl_ros.data.bags.ingest import Recipe, Report, Stream, ingest
from genrl_ros.data.bags.storage import BagError
from genrl_ros.data.store.episode_file import EpisodeError
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.deploy.robot import load_robot
from genrl_ros.serving.robot.command_values import values_of
from genrl_ros.serving.robot.embodiment import (
    CommandGroup,
    Embodiment,
    Vector,
    absolute,
)
from genrl_ros.system.locks import exclusive


@dataclass(frozen=True)
class Config:
    """Arguments of `genrl ingest`."""

    bags: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar='BAG [BAG ...]')]
    """Bags: rosbag2 folders, `.mcap` or `.db3` files, or folders with such in them."""
    robot: str
    """Embodiment file of the robot, or the name of a shipped one, such as `kitchen`."""
    out: Path | None = None
    """Folder of the dataset; `data/NAME` of the robot unless given."""
    namespace: str = ''
    """ROS namespace of the robot's topics in the bags."""
    min_steps: int = 8
    """Agent steps that an episode must have."""

    def __post_init__(self) -> None:
        if not self.bags:
            raise ValueError('name at least one bag')
        at_least(self, 1, 'min_steps')


def make_recipe(robot: Embodiment, namespace: str = '') -> Recipe:
    """How the messages of a robot become episodes."""
    types = robot.topics

    def stream(topic: str, read: Any) -> Stream:
        return Stream(absolute(topic, namespace), types[topic], read)

    def positions(message: Any) -> Vector:
        return robot.joint_positions(list(message.name), message.position)

    def command(group: CommandGroup) -> Stream:
        return stream(group.topic, lambda message: values_of(group, message))

    relative = np.array([channel.mode == 'relative' for channel in robot.channels])
    steps = np.where(relative, robot.commands_per_answer, 1)

    def to_action(values: Vector, before: Vector) -> Vector:
        return robot.to_action(values, before) / steps

    return Recipe(
        spec=robot.spec(),
        episode_steps=robot.episode_steps,
        camera=stream(robot.camera.topic, robot.camera.pixels),
        camera_rate_hz=robot.camera_rate_hz,
        joint_states=stream(robot.joint_states.topic, positions),
        joints=len(robot.joints),
        commands=tuple(command(group) for group in robot.commands),
        holds=tuple(group.quantity == 'position' for group in robot.commands),
        to_action=to_action,
        takes_last=np.array(
            [c.quantity == 'position' and c.mode == 'absolute' for c in robot.channels]
        ),
        commands_per_frame=robot.commands_per_answer,
    )


def main(config: Config) -> int:
    """Ingest what is not in the dataset yet; status 1 if it has no episode then."""
    robot = load_robot(config.robot)
    recipe = make_recipe(robot, config.namespace)
    out = config.out or Path('data') / robot.name
    bags = [bag for path in config.bags for bag in find_bags(path)]
    with exclusive(out):
        return _fill(out, config, bags, recipe)


def _fill(out: Path, config: Config, bags: list[Path], recipe: Recipe) -> int:
    command = f'genrl ingest {" ".join(map(str, config.bags))} --robot {config.robot} --out {out}'
    store = EpisodeStore.create(out, recipe.spec, command, seed=0)
    if differences := store.spec.differences(recipe.spec):
        raise EpisodeError(
            f'{store.path} holds episodes of another robot: {"; ".join(differences)} in '
            f'{config.robot}. Choose another folder with --out'
        )
    for bag in bags:
        report = Report()
        added = known = 0
        try:
            for name, episode in ingest(bag, recipe, config.min_steps, report):
                if store.has(name):
                    known += 1
                    continue
                store.append(name, episode)
                added += 1
        except BagError as error:
            report.damage.append(str(error))
        print('\n'.join([f'{bag}: {added} episodes', *_lines(report, recipe, known)]))
    store.seal()
    print(f'{store.num_frames} frames in {len(store.episode_ids)} episodes at {store.path}')
    if not store.episode_ids:
        print('genrl ingest: no bag had an episode; see above', file=sys.stderr)
        return 1
    return 0


def _lines(report: Report, recipe: Recipe, known: int) -> list[str]:
    lines = list(report.damage)
    for stream in recipe.streams:
        if not report.messages[stream.topic]:
            lines.append(f'no messages on {stream.topic} ({stream.type})')
    lines += [f'refused {count} messages on {why}' for why, count in report.refused.items()]
    for count, text in (
        (known, 'episodes were in already'),
        (report.gaps, 'times images were missing, which split a run'),
        (report.short, 'runs were too short'),
        (report.undriven, 'images without commands'),
        (report.skipped, 'images between two control steps or out of order'),
    ):
        if count:
            lines.append(f'{count} {text}')
    if report.beyond:
        lines.append(
            f'{report.clipped:.1%} of the commands were beyond an action of 1.0 and were clipped: '
            'is `scale` right?'
        )
    return [f'  {line}' for line in lines]
