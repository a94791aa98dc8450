"""Messages to numpy and back; every doubt about a message is raised as a `MessageError`."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Vector3
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from genrl_interfaces.msg import LatentGoal, LatentTokens, TaskState

NANOSECONDS = 1_000_000_000


class MessageError(ValueError):
    """A message that must not be used; the text says what is wrong with it."""


def to_stamp(nanoseconds: int) -> Time:
    """A time of so many nanoseconds."""
    return Time(sec=nanoseconds // NANOSECONDS, nanosec=nanoseconds % NANOSECONDS)


def from_stamp(stamp: Time) -> int:
    """Nanoseconds of a time."""
    return int(stamp.sec * NANOSECONDS + stamp.nanosec)


def to_image(pixels: npt.NDArray[np.uint8], stamp: Time, frame_id: str) -> Image:
    """An `rgb8` image from `(3, H, W)` uint8."""
    _, height, width = pixels.shape
    return Image(
        header=Header(stamp=stamp, frame_id=frame_id),
        height=height,
        width=width,
        encoding='rgb8',
        step=width * 3,
        data=array('B', pixels.transpose(1, 2, 0).tobytes()),
    )


def from_image(message: Image, size: int) -> npt.NDArray[np.uint8]:
    """Pixels `(3, size, size)` uint8 RGB of an image in `rgb8` or `bgr8`.

    Raises:
        MessageError: if it has another encoding or size, or not as many bytes as it says.
    """
    if message.encoding not in ('rgb8', 'bgr8'):
        raise MessageError(f'image encoding is {message.encoding[:20]!r}; rgb8 or bgr8 is needed')
    if (message.height, message.width) != (size, size):
        raise MessageError(
            f'image is {message.width}x{message.height}; {size}x{size} is needed '
            '(crop and resize it before this node)'
        )
    if message.step < size * 3 or len(message.data) != message.step * size:
        raise MessageError(
            f'image has {len(message.data)} bytes in rows of {message.step}; '
            f'{size}x{size} {message.encoding} does not fit that'
        )
    rows = np.frombuffer(message.data, np.uint8).reshape(size, message.step)[:, : size * 3]
    pixels = rows.reshape(size, size, 3)
    if message.encoding == 'bgr8':
        pixels = pixels[:, :, ::-1]
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def to_camera_info(size: int, vertical_fov_deg: float, stamp: Time, frame_id: str) -> CameraInfo:
    """Calibration of an ideal square pinhole camera."""
    focal = size / 2 / np.tan(np.radians(vertical_fov_deg) / 2)
    centre = size / 2
    return CameraInfo(
        header=Header(stamp=stamp, frame_id=frame_id),
        height=size,
        width=size,
        distortion_model='plumb_bob',
        d=[0.0] * 5,
        k=[focal, 0.0, centre, 0.0, focal, centre, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[focal, 0.0, centre, 0.0, 0.0, focal, centre, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def to_joint_state(
    names: Sequence[str],
    positions: npt.NDArray[np.floating],
    velocities: npt.NDArray[np.floating],
    stamp: Time,
) -> JointState:
    """Joint states in the order of `names`; rad or m, and the same a second."""
    return JointState(
        header=Header(stamp=stamp),
        name=list(names),
        position=positions.astype(float).tolist(),
        velocity=velocities.astype(float).tolist(),
    )


def to_task_state(
    tasks: Mapping[str, tuple[float, bool]],
    readings: Mapping[str, float],
    units: Mapping[str, str],
    stamp: Time,
) -> TaskState:
    """What the simulator knows.

    Args:
        tasks: reward in [0, 1] of each task, and whether it is done.
        readings: value of each reading.
        units: of each.
        stamp: simulation time.
    """
    return TaskState(
        header=Header(stamp=stamp),
        tasks=list(tasks),
        rewards=[reward for reward, _ in tasks.values()],
        success=[done for _, done in tasks.values()],
        readings=list(readings),
        values=list(readings.values()),
        units=[units[name] for name in readings],
    )


def to_task_markers(state: TaskState) -> MarkerArray:
    """Tasks and readings as lines of text for RViz, in the frame `map`."""
    grey, green = ColorRGBA(r=0.8, g=0.8, b=0.8, a=1.0), ColorRGBA(r=0.2, g=0.9, b=0.3, a=1.0)
    texts = [
        (f'{task}: {"done" if done else f"reward {reward:.2f}"}', green if done else grey)
        for task, reward, done in zip(state.tasks, state.rewards, state.success, strict=True)
    ]
    texts += [
        (f'{name} {value:.2f} {unit}'.rstrip(), grey)
        for name, value, unit in zip(state.readings, state.values, state.units, strict=True)
    ]
    lines = [
        Marker(
            header=Header(stamp=state.header.stamp, frame_id='map'),
            ns='task_state',
            id=number,
            type=Marker.TEXT_VIEW_FACING,
            scale=Vector3(z=0.1),
            color=colour,
            text=text,
        )
        for number, (text, colour) in enumerate(texts)
    ]
    for number, line in enumerate(lines):
        line.pose.position.z = 1.0 - 0.12 * number
    return MarkerArray(markers=lines)


def to_latent(
    tokens: npt.NDArray[np.integer], classes: int, encoder_sha256: str, header: Header
) -> LatentTokens:
    """Latent tokens `(S,)` of the image that has this header."""
    return LatentTokens(
        header=header,
        tokens=array('B', tokens.astype(np.uint8).tobytes()),
        classes=classes,
        encoder_sha256=encoder_sha256,
    )


def from_latent(message: LatentTokens, stoch: int, classes: int) -> npt.NDArray[np.int64]:
    """Latent tokens `(stoch,)`.

    Raises:
        MessageError: if there are more or fewer, or if one is no class.
    """
    tokens = np.frombuffer(message.tokens, np.uint8).astype(np.int64)
    if tokens.shape != (stoch,) or message.classes != classes:
        raise MessageError(
            f'latent has {tokens.size} categoricals of {message.classes} classes; '
            f'the policy needs {stoch} of {classes}'
        )
    if tokens.max() >= classes:
        raise MessageError(f'latent has a token {tokens.max()} where classes end at {classes - 1}')
    return tokens


@dataclass(frozen=True)
class Goal:
    """What a prompt asks for.

    Attributes:
        task_id: names the task.
        prompt: the sentence, or the name of the video.
        source: `text` or `video`.
        embedding: `(D,)` float32 of unit length.
        mfwm_sha256: world model that drew the goal that was shown.
        learn: whether learning is wanted.
        from_here: whether to begin where the robot is, without going home first.
    """

    task_id: str
    prompt: str
    source: str
    embedding: npt.NDArray[np.float32]
    mfwm_sha256: str
    learn: bool
    from_here: bool = False


def to_goal(goal: Goal, stamp: Time) -> LatentGoal:
    """The message for a goal."""
    return LatentGoal(
        header=Header(stamp=stamp),
        task_id=goal.task_id,
        prompt=goal.prompt,
        source=goal.source,
        embedding=array('f', goal.embedding.astype(np.float32).tobytes()),
        mfwm_sha256=goal.mfwm_sha256,
        learn=goal.learn,
        from_here=goal.from_here,
    )


def from_goal(message: LatentGoal) -> Goal:
    """The goal in a message.

    Raises:
        MessageError: if its embedding is empty or not finite.
    """
    embedding = np.array(message.embedding, np.float32)
    if embedding.size == 0 or not np.isfinite(embedding).all():
        raise MessageError('goal has an embedding that is empty or not finite')
    return Goal(
        task_id=message.task_id,
        prompt=message.prompt,
        source=message.source,
        embedding=embedding,
        mfwm_sha256=message.mfwm_sha256,
        learn=message.learn,
        from_here=message.from_here,
    )
