"""From a compressed image to its pixels: of a whole file, 8 bits a channel, colours in order."""

from __future__ import annotations

import re
import zlib
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from genrl_ros.serving.robot.jpeg import JpegError, check_whole, read_jpeg

PNG = b'\x89PNG\r\n\x1a\n'
NOT_8_BITS = re.compile(r'^((mono|rgba?|bgra?)16|(16|32|64)[usf]c\d*|bayer_.*)$')
"""Encodings of ROS images that are no picture of 8 bits a channel: depth, infrared, mosaics."""


class ImageError(ValueError):
    """An image that must not be used; the text says what is wrong with it."""


class CompressedImage(Protocol):
    """The fields of a sensor_msgs/msg/CompressedImage, live or read from a bag."""

    format: Any
    data: Any


def decode(data: bytes, coded: str) -> npt.NDArray[np.uint8]:
    """Pixels `(H, W, 3)` uint8 RGB of a JPEG or PNG.

    Args:
        data: the file.
        coded: the `format` of its message, as image_transport writes it: the encoding of the
            camera, the kind of file, and the order of colours that the file was given.

    Raises:
        ImageError: if it is damaged, or has not 8 bits a channel.
    """
    if data.startswith(PNG):
        _check_png(data)
    else:
        try:
            check_whole(data)
        except JpegError as error:
            raise ImageError(f'compressed image is {error}') from None
    pixels = _decode(data)
    # OpenCV gives blue first. A file that was given red first has the two exchanged.
    return pixels if has_colours_exchanged(coded) else pixels[:, :, ::-1]


def has_colours_exchanged(coded: str) -> bool:
    """Whether red and blue of the file are exchanged, as `format` says it.

    The compressed_image_transport gives its encoder, which takes blue for the first colour, the
    image as it is, and says its order: in `rgb8; jpeg compressed rgb8`, the colours of the file
    are exchanged, in `rgb8; jpeg compressed bgr8` they are not.
    """
    return _target(coded).startswith('rgb')


def compressed_size(data: bytes) -> tuple[str, int, int]:
    """Kind, width and height of a JPEG or PNG, from its header alone.

    Raises:
        ImageError: if it is neither, or cut off before its size.
    """
    if data[:8] == PNG and data[12:16] == b'IHDR' and len(data) >= 26:
        return 'png', int.from_bytes(data[16:20], 'big'), int.from_bytes(data[20:24], 'big')
    if data[:2] == b'\xff\xd8':
        try:
            jpeg = read_jpeg(data)
        except JpegError as error:
            raise ImageError(f'compressed image is {error}') from None
        return 'jpeg', jpeg.width, jpeg.height
    raise ImageError('compressed image is neither JPEG nor PNG')


def _target(coded: str) -> str:
    """The encoding that the file was given, such as `bgr8`; empty if `format` does not say."""
    return coded.lower().partition('compressed')[2].strip()


def check_format(coded: str) -> None:
    """Check that the `format` of a message promises a picture of 8 bits a channel.

    Raises:
        ImageError: if it says that it is none.
    """
    if 'compresseddepth' in coded.lower():
        raise ImageError(f'compressed image is a depth image: its format is {coded[:60]!r}')
    source, separator, _ = coded.lower().partition(';')
    given = _target(coded) or (source.strip() if separator else '')
    if NOT_8_BITS.match(given):
        raise ImageError(
            f'compressed image holds {given[:20]}, as its format {coded[:60]!r} says; a picture '
            'of 8 bits a channel is expected'
        )


def _check_png(data: bytes) -> None:
    if data[24] == 16:
        raise ImageError(
            'compressed image is a PNG of 16 bits a channel, as for depth or infrared; 8 are '
            'expected'
        )
    position, kind = len(PNG), b''
    while kind != b'IEND':
        length = int.from_bytes(data[position : position + 4], 'big')
        end = position + 8 + length
        kind = data[position + 4 : position + 8]
        if end + 4 > len(data) or zlib.crc32(data[position + 4 : end]) != int.from_bytes(
            data[end : end + 4], 'big'
        ):
            raise ImageError('compressed image is damaged: a part of the PNG is lost')
        position = end + 4


def _decode(data: bytes) -> npt.NDArray[np.uint8]:
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ImageError(f'compressed image cannot be decoded: {error.err}') from None
    if pixels is None:
        raise ImageError('compressed image is damaged')
    return np.asarray(pixels, np.uint8)
