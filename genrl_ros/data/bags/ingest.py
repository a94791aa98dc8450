"""Episodes from recorded runs of a robot: what `genrl collect` is for a simulator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genrl_ros.data.bags.bag import bag_name, deserialize, read_bag
from genrl_ros.data.bags.synchronise import Frame, Group, Pace, Synchroniser, Vector
from genrl_ros.data.store.episode_file import Episode
from genrl_ros.domains.base import RobotSpec
from genrl_ros.system.arrays import Image

KIND = 'recorded'
FULL_ACTION = 1.0 + 1e-6


@dataclass(frozen=True)
class Stream:
    """A topic of a bag, and what its messages say.

    Attributes:
        topic: absolute name.
        type: of its messages.
        read: makes an array of a message; raises ValueError if it does not fit the robot.
    """

    topic: str
    type: str
    read: Callable[[Any], npt.NDArray[Any]]


@dataclass(frozen=True)
class Recipe:
    """How the messages of a robot become episodes.

    Attributes:
        spec: the robot, as the dataset will name it.
        camera: gives images `(3, N, N)` uint8.
        camera_rate_hz: images a second.
        joint_states: gives positions `(joints,)`.
        joints: number of joints.
        commands: give values in SI units; together, in order, they are a command `(A,)`.
        holds: for each of `commands`, whether a command stays in force until the next one.
        to_action: the action `(A,)` of a command, given the command before it.
        episode_steps: agent steps after which a run is cut into episodes.
        takes_last: `(A,)` whether of several commands in an agent step the last one counts, as
            for positions; otherwise their mean does.
        commands_per_frame: commands between two images that are taken.
    """

    spec: RobotSpec
    camera: Stream
    camera_rate_hz: float
    joint_states: Stream
    joints: int
    commands: tuple[Stream, ...]
    holds: tuple[bool, ...]
    to_action: Callable[[Vector, Vector], Vector]
    takes_last: npt.NDArray[np.bool_]
    episode_steps: int
    commands_per_frame: int = 1

    @property
    def streams(self) -> tuple[Stream, ...]:
        """All topics."""
        return (self.camera, self.joint_states, *self.commands)


@dataclass
class Report:
    """What became of a bag.

    Attributes:
        messages: how many there were on each topic.
        refused: why messages were left out, and how often.
        damage: what could not be read of the files.
        images: images that are in episodes, at the control rate.
        skipped: images between two control steps, or out of order.
        undriven: images without commands.
        gaps: how often images were missing while the robot was driven.
        short: runs that were too short for an episode.
        clipped: share of the commands that were beyond an action of 1.0.
    """

    messages: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    damage: list[str] = field(default_factory=list)
    images: int = 0
    skipped: int = 0
    undriven: int = 0
    gaps: int = 0
    short: int = 0
    commands: int = 0
    beyond: int = 0

    @property
    def clipped(self) -> float:
        """Share of the commands that were beyond an action of 1.0."""
        return self.beyond / max(1, self.commands)


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
    number = 0
    for run in _runs(path, recipe, report):
        report.images += len(run)
        for image, action, state in _agent_steps(run, recipe, report):
            if len(image) <= min_steps:
                report.short += 1
                continue
            yield f'{name}-{number:04d}', Episode(image, action, state, KIND, name)
            number += 1


def _runs(path: Path, recipe: Recipe, report: Report) -> Iterator[list[Frame]]:
    by_topic = {stream.topic: stream for stream in recipe.streams}
    commands = {stream.topic: index for index, stream in enumerate(recipe.commands)}
    synchroniser = Synchroniser(
        pace=Pace(
            round(recipe.commands_per_frame * recipe.spec.control_dt_s * 1e9),
            round(1e9 / recipe.camera_rate_hz),
        ),
        groups=[Group(holds, recipe.commands_per_frame > 1) for holds in recipe.holds],
        joints=recipe.joints,
    )
    setbacks = 0
    for message in read_bag(path, by_topic, report.damage.append):
        if message.setbacks != setbacks:
            setbacks = message.setbacks
            yield from synchroniser.finish()
        stream = by_topic[message.topic]
        report.messages[message.topic] += 1
        try:
            fields = deserialize(message, stream.type)
            values = stream.read(fields)
        except ValueError as error:
            report.refused[f'{message.topic}: {str(error).splitlines()[0]}'] += 1
            continue
        if stream is recipe.camera:
            yield from synchroniser.image(_stamp_ns(fields), values)
        elif stream is recipe.joint_states:
            synchroniser.joint_states(_stamp_ns(fields), values)
        else:
            synchroniser.command(commands[message.topic], values)
    yield from synchroniser.finish()
    report.skipped, report.undriven = synchroniser.skipped, synchroniser.undriven
    report.gaps = synchroniser.gaps


def _stamp_ns(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def _agent_steps(
    run: Sequence[Frame], recipe: Recipe, report: Report
) -> Iterator[tuple[Image, npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """Images, actions and states of a run's episodes, in agent steps of `action_repeat`."""
    repeat = recipe.spec.action_repeat // recipe.commands_per_frame
    longest = recipe.episode_steps
    commands = np.stack([frame.command for frame in run[1:] if frame.command is not None])
    before = np.concatenate([commands[:1], commands[:-1]])
    actions = np.stack(
        [recipe.to_action(now, last) for now, last in zip(commands, before, strict=True)]
    )
    report.commands += len(actions)
    report.beyond += int((np.abs(actions) > FULL_ACTION).any(axis=1).sum())
    actions = np.clip(actions, -1.0, 1.0)
    phase = best_phase(actions, repeat)
    grouped = _grouped(actions, phase, repeat)
    steps = len(grouped)
    report.short += steps == 0
    led = np.where(recipe.takes_last, grouped[:, -1], grouped.mean(axis=1)).astype(np.float32)
    kept = run[phase : phase + steps * repeat + 1 : repeat]
    for start in range(0, steps, longest):
        part = kept[start : start + longest + 1]
        zero = np.zeros((1, led.shape[1]), np.float32)
        yield (
            np.stack([frame.image for frame in part]),
            np.concatenate([zero, led[start : start + longest]]),
            np.stack([frame.state for frame in part]).astype(np.float32),
        )


def _grouped(actions: Vector, phase: int, repeat: int) -> Vector:
    """Actions `(T, A)` by agent steps `(S, repeat, A)`."""
    steps = (len(actions) - phase) // repeat
    return actions[phase : phase + steps * repeat].reshape(steps, repeat, actions.shape[1])


def best_phase(actions: Vector, repeat: int) -> int:
    """Where agent steps begin, so that an action changes as little as can be within one.

    Args:
        actions: `(T, A)`, one a control step.
        repeat: control steps of an agent step.
    """
    changes = []
    for phase in range(min(repeat, len(actions))):
        grouped = _grouped(actions, phase, repeat)
        change = np.abs(grouped - grouped[:, :1]).sum()
        changes.append(change / len(grouped) if len(grouped) else np.inf)
    return int(np.argmin(changes))
