"""Episodes from recorded runs of a robot: what `genrl collect` is for a simulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genrl_ros.data.bags.bag import bag_name, deserialize, read_bag
from genrl_ros.data.bags.cut import Cut, EpisodeCutter
from genrl_ros.data.bags.joint_track import JointTrack
from genrl_ros.data.bags.recipe import Recipe
from genrl_ros.data.bags.report import Report
from genrl_ros.data.bags.synchronise import Frame, Group, Pace, Synchroniser
from genrl_ros.data.store.episode_file import Episode

KIND = 'recorded'


def ingest(
    path: Path, recipe: Recipe, min_steps: int, report: Report
) -> Iterator[tuple[str, Episode]]:
    """Make episodes of a bag, one at a time.

    Args:
        path: a storage file or a rosbag2 folder.
        recipe: how to read it.
        min_steps: fewer agent steps are no episode.
        report: is filled in on the way.

    Yields:
        Name and episode. The same bag gives the same names.

    Raises:
        BagError: if nothing can be read.
    """
    name = bag_name(path)
    for number, cut in enumerate(_cuts(path, EpisodeCutter(recipe, min_steps, report))):
        yield f'{name}-{number:04d}', Episode(cut.image, cut.action, cut.state, KIND, name)


def _cuts(path: Path, cutter: EpisodeCutter) -> Iterator[Cut]:
    for frame in _frames(path, cutter.recipe, cutter.report):
        yield from cutter.add(frame)
    yield from cutter.finish()


def _frames(path: Path, recipe: Recipe, report: Report) -> Iterator[Frame]:
    by_topic = {stream.topic: stream for stream in recipe.streams}
    commands = {stream.topic: index for index, stream in enumerate(recipe.commands)}
    topics = zip(recipe.commands, recipe.holds, strict=True)
    period_s = recipe.commands_per_frame * recipe.spec.control_dt_s
    synchroniser = Synchroniser(
        pace=Pace(round(period_s * 1e9), round(1e9 / recipe.camera_rate_hz)),
        groups=[
            Group(stream.topic, holds, several=recipe.commands_per_frame > 1)
            for stream, holds in topics
        ],
        track=JointTrack(round(recipe.max_age_s * 1e9), recipe.joint_reach, period_s),
    )
    setbacks = 0
    for message in read_bag(path, by_topic, report.damage.append):
        if message.setbacks != setbacks:
            setbacks = message.setbacks
            synchroniser.set_clock_back()
        stream = by_topic[message.topic]
        report.messages[message.topic] += 1
        try:
            fields = deserialize(message, stream.type)
            values = stream.read(fields)
        except ValueError as error:
            report.refuse(message.topic, str(error))
            continue
        if remark := stream.remark(fields):
            report.remark(message.topic, remark)
        if stream is recipe.camera:
            yield from synchroniser.image(_stamp_ns(fields), values)
        elif stream is recipe.joint_states:
            stamp_ns = _stamp_ns(fields)
            report.unstamped += stamp_ns == 0
            synchroniser.joint_states(stamp_ns, values)
        else:
            synchroniser.command(commands[message.topic], values)
    yield from synchroniser.finish()
    report.skipped, report.repeated = synchroniser.skipped, synchroniser.repeated
    report.set_back = synchroniser.set_back
    if count := synchroniser.track.contradicting:
        report.refuse(
            recipe.joint_states.topic,
            'positions contradict the messages before and after; does another node publish there?',
            count,
        )


def _stamp_ns(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
