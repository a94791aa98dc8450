"""What a robot's camera sends, and how it becomes the square image that a world model sees.

The one way from an image message to pixels, for a live robot and for a recorded run alike, so that
a policy sees what it was trained on. Every size is checked before anything is allocated for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from genrl_ros.domains.base import IMAGE_SIZE
from genrl_ros.serving.robot.compressed import (
    CompressedImage,
    check_format,
    compressed_size,
    decode,
    has_colours_exchanged,
)
from genrl_ros.serving.robot.compressed import ImageError as ImageError
from genrl_ros.serving.robot.strict import STRICT, Finite, Positive
from genrl_ros.system.arrays import Image

RAW = {'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'mono8': 1}
"""Encodings of sensor_msgs/msg/Image that are read, with their bytes a pixel."""
COMPRESSED = ('jpeg', 'png')
"""Encodings of sensor_msgs/msg/CompressedImage that are read."""
MAX_PIXELS = 8192 * 8192
MAX_COMPRESSED_OVERHEAD = 1 << 16


class RawImage(Protocol):
    """The fields of a sensor_msgs/msg/Image, live or read from a bag."""

    height: Any
    width: Any
    encoding: Any
    step: Any
    data: Any


@dataclass(frozen=True)
class Camera:
    """A camera of a robot.

    Attributes:
        topic: where its images come, relative to the robot's namespace.
        encoding: `rgb8`, `bgr8`, `rgba8`, `bgra8` or `mono8`, or `jpeg` or `png` if compressed.
        width: pixels of a row, as sent.
        height: rows, as sent.
        frame_id: frame of the image's header; empty to take any.
        crop: left, top, width and height (pixels) of the square that is looked at; the largest
            one in the middle unless given.
        rate_hz: images a second; the command rate if 0.
        max_age_s: an older image must not be acted on.
    """

    __pydantic_config__ = STRICT

    topic: str
    encoding: str
    width: int
    height: int
    frame_id: str = ''
    crop: tuple[int, int, int, int] | None = None
    rate_hz: Finite = 0.0
    max_age_s: Positive = 0.2

    def __post_init__(self) -> None:
        problems = _problems(self)
        if problems:
            raise ValueError('\n'.join(problems))

    @property
    def is_compressed(self) -> bool:
        """Whether the topic carries CompressedImage."""
        return self.encoding in COMPRESSED

    @property
    def message_type(self) -> str:
        """ROS type of the topic."""
        return f'sensor_msgs/msg/{"CompressedImage" if self.is_compressed else "Image"}'

    @property
    def square(self) -> tuple[int, int, int]:
        """Left, top and side (pixels) of what is looked at."""
        if self.crop is not None:
            return self.crop[0], self.crop[1], self.crop[2]
        side = min(self.width, self.height)
        return (self.width - side) // 2, (self.height - side) // 2, side

    def pixels(self, message: RawImage | CompressedImage) -> Image:
        """The image `(3, 64, 64)` uint8 RGB of a message.

        Raises:
            ImageError: if it is not the image that this camera sends.
        """
        full = self._compressed(message) if self.is_compressed else self._raw(message)
        left, top, side = self.square
        part = full[top : top + side, left : left + side]
        if side != IMAGE_SIZE:
            how = cv2.INTER_AREA if side > IMAGE_SIZE else cv2.INTER_LINEAR
            part = cv2.resize(
                np.ascontiguousarray(part), (IMAGE_SIZE, IMAGE_SIZE), interpolation=how
            )
        return np.ascontiguousarray(part.transpose(2, 0, 1))

    def remark(self, message: Any) -> str:
        """What `pixels` puts right about a message; empty if nothing."""
        if not self.is_compressed or not has_colours_exchanged(coded := str(message.format)):
            return ''
        return f'red and blue were exchanged back, as the format {coded[:60]!r} says'

    def _raw(self, message: Any) -> npt.NDArray[np.uint8]:
        encoding, step = str(message.encoding), int(message.step)
        if encoding != self.encoding:
            raise ImageError(f'image encoding is {encoding[:20]!r}; {self.encoding} is expected')
        self._check_size(int(message.width), int(message.height))
        channels = RAW[encoding]
        row = self.width * channels
        if not row <= step <= 2 * row + 4096 or len(message.data) != step * self.height:
            raise ImageError(
                f'image has {len(message.data)} bytes in rows of {step}; '
                f'{self.width}x{self.height} {encoding} does not fit that'
            )
        rows = np.frombuffer(message.data, np.uint8).reshape(self.height, step)[:, :row]
        pixels = rows.reshape(self.height, self.width, channels)
        if encoding == 'mono8':
            return pixels.repeat(3, axis=2)
        return pixels[:, :, 2::-1] if encoding.startswith('bgr') else pixels[:, :, :3]

    def _compressed(self, message: Any) -> npt.NDArray[np.uint8]:
        data = message.data
        limit = self.width * self.height * 4 + MAX_COMPRESSED_OVERHEAD
        if len(data) > limit:
            raise ImageError(
                f'compressed image has {len(data)} bytes; {self.width}x{self.height} needs at '
                f'most {limit}'
            )
        coded = str(message.format)
        check_format(coded)
        raw = bytes(data)
        kind, width, height = compressed_size(raw)
        if kind != self.encoding:
            raise ImageError(f'compressed image is {kind}; {self.encoding} is expected')
        self._check_size(width, height)
        pixels = decode(raw, coded)
        if pixels.shape != (self.height, self.width, 3):
            raise ImageError('compressed image is damaged')
        return pixels

    def _check_size(self, width: int, height: int) -> None:
        if (width, height) != (self.width, self.height):
            raise ImageError(
                f'image is {width}x{height}; {self.width}x{self.height} is expected (width, '
                'height and crop of the camera in the embodiment file)'
            )


def _problems(camera: Camera) -> list[str]:
    problems = []
    if not camera.topic:
        problems.append('topic is empty')
    if camera.encoding not in (*RAW, *COMPRESSED):
        known = ', '.join((*RAW, *COMPRESSED))
        problems.append(f'encoding is {camera.encoding!r}; there are: {known}')
    for name in ('width', 'height'):
        if getattr(camera, name) < 1:
            problems.append(f'{name} must be at least 1 pixel, is {getattr(camera, name)}')
    if camera.width * camera.height > MAX_PIXELS:
        problems.append(f'{camera.width}x{camera.height} is more than {MAX_PIXELS} pixels')
    if camera.rate_hz < 0:
        problems.append(f'rate_hz must not be negative, is {camera.rate_hz}')
    if camera.max_age_s <= 0:
        problems.append(f'max_age_s must be positive, is {camera.max_age_s}')
    return problems + _crop_problems(camera)


def _crop_problems(camera: Camera) -> list[str]:
    crop = camera.crop
    if crop is None:
        return []
    left, top, width, height = crop
    if width != height or width < 1:
        return [f'crop must be a square, is {width}x{height}']
    if min(left, top) < 0 or left + width > camera.width or top + height > camera.height:
        return [f'crop {list(crop)} is not inside of {camera.width}x{camera.height}']
    return []
