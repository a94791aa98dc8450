"""Make a dataset of recorded runs: rosbag2 recordings of a robot, MCAP or sqlite3.

Images and commands are synchronised to the command rate, gaps split episodes, and torn bags are
read as far as they go. A report says for each bag what is left out, how often, and why. A
recording that the dataset holds already is not added again; an unfinished one is replaced by its
finished form. A dataset belongs to one embodiment file: if that changes, make the dataset again.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from genrl_ros.cli.options import at_least
from genrl_ros.data.bags.bag import bag_name, find_bags
from genrl_ros.data.bags.ingest import ingest
from genrl_ros.data.bags.recipe import Recipe, Stream
from genrl_ros.data.bags.recordings import Recordings, read_recording
from genrl_ros.data.bags.report import Report
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
    """Bags: rosbag2 folders, `.mcap` or `.db3` files, or folders that hold these."""
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

    fastest = {channel.joint: channel.limits.velocity for channel in robot.channels}
    return Recipe(
        spec=robot.spec(),
        episode_steps=robot.episode_steps,
        camera=replace(
            stream(robot.camera.topic, robot.camera.pixels), remark=robot.camera.remark
        ),
        camera_rate_hz=robot.camera_rate_hz,
        joint_states=stream(robot.joint_states.topic, positions),
        joint_reach=np.array([fastest.get(joint) or np.inf for joint in robot.joints]),
        max_age_s=robot.joint_states.max_age_s,
        commands=tuple(command(group) for group in robot.commands),
        holds=tuple(group.quantity == 'position' for group in robot.commands),
        to_action=to_action,
        is_relative=relative,
        takes_last=np.array(
            [c.quantity == 'position' and c.mode == 'absolute' for c in robot.channels]
        ),
        commands_per_frame=robot.commands_per_answer,
    )


def what_matters(robot: Embodiment, config: Config) -> dict[str, Any]:
    """All that makes a difference to the episodes of a bag."""
    values = asdict(robot)
    del values['use_sim_time']
    for name in ('frame_id', 'max_age_s'):
        del values['camera'][name]
    del values['joint_states']['rate_hz']
    for group in values['commands']:
        del group['horizon_s']
        for channel in group['channels']:
            for name in ('limits', 'reaction'):
                del channel[name]
    return {**values, 'namespace': config.namespace, 'min_steps': config.min_steps}


def main(config: Config) -> int:
    """Ingest what is not in the dataset yet; status 1 if no bag had an episode."""
    robot = load_robot(config.robot)
    out = config.out or Path('data') / robot.name
    bags = [bag for path in config.bags for bag in find_bags(path)]
    with exclusive(out):
        return _fill(out, config, bags, robot)


def _fill(out: Path, config: Config, bags: list[Path], robot: Embodiment) -> int:
    recipe = make_recipe(robot, config.namespace)
    command = f'genrl ingest {" ".join(map(str, config.bags))} --robot {config.robot} --out {out}'
    manifest = out / 'manifest.json'
    if manifest.exists() and not EpisodeStore.open(out).episode_ids:
        manifest.unlink()  # of a robot that is to be described in another way now, maybe
    store = EpisodeStore.create(out, recipe.spec, command, seed=0)
    if differences := store.spec.differences(recipe.spec):
        raise EpisodeError(
            f'{store.path} holds episodes of another robot: {"; ".join(differences)} in '
            f'{config.robot}. Choose another folder with --out'
        )
    recordings = Recordings(store, what_matters(robot, config))
    total, empty = Report(), []
    for bag in bags:
        report = Report()
        if not _add(bag, config.min_steps, recipe, recordings, report):
            empty.append(bag)
        total.add(report)
    store.seal()
    if len(bags) > 1:
        _say(f'all {len(bags)} bags: {len(store.episode_ids)} episodes', total.lines(recipe))
    print(f'{store.num_frames} frames in {len(store.episode_ids)} episodes at {store.path}')
    if len(empty) == len(bags):
        print('genrl ingest: no bag had an episode; see above', file=sys.stderr)
        return 1
    if empty:
        text = f'{len(empty)} of {len(bags)} bags had no episode: {", ".join(map(str, empty))}'
        print(f'genrl ingest: {text}', file=sys.stderr)
    return 0


def _add(bag: Path, min_steps: int, recipe: Recipe, recordings: Recordings, report: Report) -> int:
    """Put the episodes of a bag into the dataset; gives how many of it are there."""
    store, name, replaced = recordings.store, '', []
    try:
        name, recording = bag_name(bag), read_recording(bag, recipe)
        if held := recordings.known(recording):
            episodes = len(store.made_from(held))
            _say(f'{bag}: {episodes} episodes were in already, from {recordings.path(held)}', [])
            return episodes
        replaced = recordings.begin(name, recording)
        for episode_name, episode in ingest(bag, recipe, min_steps, report):
            if not store.has(episode_name):
                store.append(episode_name, episode)
        if store.made_from(name):
            recordings.complete(name)
    except BagError as error:
        report.damage.append(str(error))
    episodes = len(store.made_from(name))
    instead = f', in place of those from {", ".join(replaced)}' if replaced else ''
    _say(f'{bag}: {episodes} episodes{instead}', report.lines(recipe))
    return episodes


def _say(what: str, lines: Iterable[str]) -> None:
    print('\n'.join([what, *(textwrap.indent(line, '  ') for line in lines)]))
