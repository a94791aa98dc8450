"""Recorded runs of a tiny robot, every number of which says where it is from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import yaml
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.storage_mcap import McapWriter
from rosbags.typesys import Stores, get_typestore

from genrl_ros.cli.commands.ingest import make_recipe
from genrl_ros.data.bags.ingest import ingest
from genrl_ros.data.bags.report import Report
from genrl_ros.serving.robot.embodiment_file import load_embodiment

STORE = get_typestore(Stores.ROS2_JAZZY)
KINDS = STORE.types
MS = 1_000_000
PERIOD = 80 * MS
LATENCY = 7 * MS
RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (200, 3, 64, 64), np.uint8)

ROBOT = {
    'name': 'tiny',
    'command_rate_hz': 12.5,
    'action_repeat': 2,
    'episode_steps': 20,
    'camera': {'topic': 'image', 'encoding': 'rgb8', 'width': 64, 'height': 64},
    'commands': [
        {
            'topic': 'commands',
            'interface': 'velocity_group',
            'channels': [
                {
                    'joint': name,
                    'unit': 'rad/s',
                    'scale': 2.0,
                    'reaction': 'zero',
                    'limits': {'velocity': 2.0},
                }
                for name in 'ab'
            ],
        }
    ],
}


def write_robot(path: Path, camera: dict | None = None, **changes: object) -> Path:
    """Writes an embodiment file; `camera` changes its camera."""
    values = ROBOT | changes
    values['camera'] = ROBOT['camera'] | (camera or {})
    path.write_text(yaml.safe_dump(values))
    return path


def header(stamp_ns: int) -> object:
    time = KINDS['builtin_interfaces/msg/Time'](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return KINDS['std_msgs/msg/Header'](stamp=time, frame_id='')


def image(stamp_ns: int, pixels: np.ndarray, **changes: object) -> tuple[str, object]:
    kind = 'sensor_msgs/msg/Image'
    height, width = pixels.shape[1:]
    fields = {
        'header': header(stamp_ns),
        'height': height,
        'width': width,
        'encoding': 'rgb8',
        'is_bigendian': 0,
        'step': width * 3,
        'data': pixels.transpose(1, 2, 0).reshape(-1),
    }
    return kind, KINDS[kind](**(fields | changes))


def compressed(stamp_ns: int, pixels: np.ndarray, suffix: str) -> tuple[str, object]:
    kind = 'sensor_msgs/msg/CompressedImage'
    _, data = cv2.imencode(suffix, pixels.transpose(1, 2, 0)[:, :, ::-1])
    return kind, KINDS[kind](header=header(stamp_ns), format=suffix, data=data.reshape(-1))


def command(values: list[float]) -> tuple[str, object]:
    kind = 'std_msgs/msg/Float64MultiArray'
    layout = KINDS['std_msgs/msg/MultiArrayLayout'](dim=[], data_offset=0)
    return kind, KINDS[kind](layout=layout, data=np.array(values))


def joints(stamp_ns: int, names: list[str], positions: list[float]) -> tuple[str, object]:
    kind = 'sensor_msgs/msg/JointState'
    empty = np.zeros(0)
    message = KINDS[kind](
        header=header(stamp_ns), name=names, position=np.array(positions), velocity=empty,
        effort=empty,
    )  # fmt: skip
    return kind, message


Message = tuple[int, str, tuple[str, object]]


def drive(steps: int, start_ns: int = 10**18, first: int = 0, picture=image) -> list[Message]:
    """A run of so many control steps: an image, joint states and the command that answers it."""
    messages: list[Message] = []
    for i in range(first, first + steps + 1):
        stamp = start_ns + i * PERIOD
        messages.append((stamp + LATENCY, '/image', picture(stamp, PICTURES[i])))
        names, where = ['b', 'x', 'a'], [i + 0.5, 0.0, float(i)]
        messages.append((stamp + LATENCY + MS, '/joint_states', joints(stamp, names, where)))
        if i < first + steps:
            answer = stamp + LATENCY + 4 * MS
            messages.append((answer, '/commands', command(list(answer_to(i)))))
    return messages


def answer_to(i: int) -> np.ndarray:
    """The command after image i: the same for both control steps of an agent step."""
    return np.array([0.01, -0.02]) * (i // 2)


def write(
    path: Path, messages: list[Message], storage: StoragePlugin = StoragePlugin.MCAP, **options
) -> Path:
    data = [
        (arrived, topic, kind, bytes(STORE.serialize_cdr(message, kind)))
        for arrived, topic, (kind, message) in messages
    ]
    return write_data(path, data, storage, **options)


def write_data(
    path: Path,
    messages: Iterable[tuple[int, str, str, bytes]],
    storage: StoragePlugin = StoragePlugin.MCAP,
    **options,
) -> Path:
    """A bag of messages in the order in which they are given: arrival (ns), topic, type, data."""
    writer = Writer(path, version=8, storage_plugin=storage)
    if options:
        writer.set_compression(**options)
    with writer:
        connections = {}
        for arrived, topic, kind, data in messages:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(connections[topic], arrived, data)
    return path


def episodes(bag: Path, robot: Path, min_steps: int = 4) -> tuple[list, Report]:
    report = Report()
    recipe = make_recipe(load_embodiment(robot))
    return list(ingest(bag, recipe, min_steps, report)), report


def check(episode, first: int, steps: int) -> None:
    """Whether an episode is what was driven from image `first` on, in agent steps."""
    index = first + 2 * np.arange(steps + 1)
    np.testing.assert_array_equal(episode.image, PICTURES[index])
    wanted = np.stack([np.zeros(2), *(answer_to(i) / 2.0 for i in index[:-1])])
    np.testing.assert_array_equal(episode.action, wanted.astype(np.float32))


_write = McapWriter.write


def small_chunks(self, connection, timestamp, data) -> None:
    """In place of `McapWriter.write`: as a recorder writes that has a small cache."""
    _write(self, connection, timestamp, data)
    if self.chunk.bio.tell() > 4000:
        self.close_chunk()
