"""Whether a JPEG is whole: decoders paint over lost bytes without a word.

A baseline JPEG is read in units of a few blocks, and its data say nowhere how many bytes a unit
takes. So the decoder is asked: bytes that are added at the end must change nothing, since all
units were there; and the last bytes must count for something, since none was left over. Both hold
for each of the intervals between restart markers, where a camera writes such.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import PIL.Image

Pixels = npt.NDArray[np.uint8]

BASELINE = (0xC0, 0xC1)
PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
NO_FRAME = (0xC4, 0xC8, 0xCC)
"""Markers between those of frames that begin none."""
RESTARTS = range(0xD0, 0xD8)
END = 0xD9
MARKER = re.compile(rb'\xff+([^\x00\xff])')
PROBE = bytes((37 * i * i + 91 * i + 54) % 253 + 1 for i in range(64))
"""Bytes without a marker that decode to anything but a plain area."""
SPOILT = tuple(bytes(min(value ^ mask, 0xFE) for value in range(256)) for mask in (0xA5, 0x5B))
"""What takes the place of each byte that must count; none becomes a marker."""
SPARE_BYTES = 16
"""Cameras leave a few bytes at the end of an interval; more are damage."""
HOLE = bytes(16)
"""Zeros as a file has them where a part was lost."""


class JpegError(ValueError):
    """A JPEG that must not be used; the text says what is wrong with it."""


@dataclass(frozen=True)
class Jpeg:
    """What a JPEG says of itself, up to its data.

    Attributes:
        width: pixels of a row.
        height: rows.
        frame: marker of the frame: how it is coded.
        precision: bits a channel.
        unit: width and height (pixels) of what is coded at a time.
        channels: number of colour channels.
        interval: units between two restart markers; 0 if there are none.
        plain_zeros: whether zeros in the data may be a plain area.
        channels_in_scan: number of channels in the first scan; 0 if no scan was reached.
        start: place of the data.
    """

    width: int
    height: int
    frame: int
    precision: int
    unit: tuple[int, int]
    channels: int
    interval: int = 0
    plain_zeros: bool = False
    channels_in_scan: int = 0
    start: int = 0


def read_jpeg(data: bytes) -> Jpeg:
    """What a JPEG says of itself.

    Raises:
        JpegError: if it is cut off before its size.
    """
    position, interval, plain_zeros = 2, 0, False
    frame: Jpeg | None = None
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # padding
            position += 1
            continue
        length = int.from_bytes(data[position + 2 : position + 4], 'big')
        body = data[position + 4 : position + 2 + length]
        position += 2 + length
        if 0xC0 <= marker <= 0xCF and marker not in NO_FRAME:
            frame = _frame(marker, body)
        elif marker == 0xC4:
            plain_zeros = plain_zeros or _has_plain_zeros(body)
        elif marker == 0xDD and len(body) >= 2:
            interval = int.from_bytes(body[:2], 'big')
        elif marker == 0xDA and frame is not None and body:
            return replace(
                frame, interval=interval, plain_zeros=plain_zeros, channels_in_scan=body[0],
                start=position,
            )  # fmt: skip
    if frame is None:
        raise JpegError('a JPEG without a size')
    return frame


def _frame(marker: int, body: bytes) -> Jpeg:
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        raise JpegError('a JPEG without a size')
    height, width = int.from_bytes(body[1:3], 'big'), int.from_bytes(body[3:5], 'big')
    channels = body[5]
    sampling = [(body[7 + 3 * i] >> 4, body[7 + 3 * i] & 15) for i in range(channels)]
    if not sampling or not all(0 < x <= 4 and 0 < y <= 4 for x, y in sampling):
        raise JpegError('damaged: its channels have no size')
    across, down = (max(each) if channels > 1 else 1 for each in zip(*sampling, strict=True))
    return Jpeg(width, height, marker, body[0], (8 * across, 8 * down), channels)


def _has_plain_zeros(tables: bytes) -> bool:
    """Whether zero bits are the end of a block, or a run of zeros, for the first channel."""
    position = 0
    while position + 17 <= len(tables):
        kind, counts = tables[position], tables[position + 1 : position + 17]
        symbols = tables[position + 17 : position + 17 + sum(counts)]
        if kind == 0x10 and symbols:  # AC coefficients of brightness
            return symbols[0] & 15 == 0
        position += 17 + len(symbols)
    return False


def check_whole(data: bytes) -> None:
    """Check that no bytes of a JPEG were lost, as far as it can be told.

    It is told by the number of units. A loss that leaves this as it was, of fewer bytes than a
    unit has, cannot be told.

    Raises:
        JpegError: if bytes are missing, or cannot be told to be there.
    """
    jpeg = read_jpeg(data)
    if jpeg.frame in PROGRESSIVE or jpeg.channels_in_scan not in (0, jpeg.channels):
        raise JpegError(
            'a progressive JPEG, of which lost bytes cannot be told; set the camera to baseline'
        )
    if jpeg.frame not in BASELINE or jpeg.precision != 8:
        raise JpegError('a JPEG of a kind that cameras do not send')
    if not jpeg.start:
        raise JpegError('damaged: the JPEG is cut off')
    parts, ends = _intervals(data, jpeg)
    if not jpeg.plain_zeros and any(HOLE in part for part in parts):
        raise JpegError('damaged: a part of the JPEG is zeros')

    before = functools.cache(lambda small: _decode(data, small))

    def changed(change: Callable[[bytes], bytes], small: bool) -> npt.NDArray[np.bool_]:
        """Which intervals a change of their bytes is seen in."""
        other = b''.join(
            part for i, end in zip(parts, ends, strict=True) for part in (change(i), end)
        )
        small = small and min(jpeg.width, jpeg.height) >= 8
        after = _decode(data[: jpeg.start] + other, small)
        return _by_interval((before(small) != after).any(axis=2), jpeg, 8 if small else 1)

    if changed(lambda part: part + PROBE, small=True).any():
        raise JpegError('damaged: bytes of the JPEG are missing')
    counts = np.array([len(part) <= SPARE_BYTES for part in parts])
    for spoilt, small in ((SPOILT[0], True), (SPOILT[0], False), (SPOILT[1], False)):
        if not counts.all():
            counts |= changed(functools.partial(_spoil, spoilt=spoilt), small)
    if not counts.all():
        raise JpegError('damaged: the JPEG has more bytes than its picture')


def _decode(data: bytes, small: bool) -> Pixels:
    """Pixels `(H, W, C)`, or one for eight by eight, which is faster.

    Pillow is asked, since OpenCV writes what it finds wrong to standard error.
    """
    try:
        with PIL.Image.open(io.BytesIO(data), formats=['JPEG']) as image:
            if small:
                image.draft(None, (1, 1))
            pixels = np.asarray(image)
    except Exception as error:  # whatever the data make the decoder do
        raise JpegError(f'damaged: {error}') from None
    return pixels.reshape(*pixels.shape[:2], -1)


def _intervals(data: bytes, jpeg: Jpeg) -> tuple[Sequence[bytes], Sequence[bytes]]:
    """The data between restart markers, and the marker behind each; the last one is the end."""
    intervals, ends, position = [], [], jpeg.start
    for found in MARKER.finditer(data, jpeg.start):
        marker = found[1][0]
        intervals.append(data[position : found.start()])
        ends.append(found[0])
        position = found.end()
        if marker == END:
            break
        if marker != RESTARTS[(len(ends) - 1) % 8]:
            raise JpegError('damaged: a marker of the JPEG is out of place')
    else:
        raise JpegError('damaged: the JPEG is cut off')
    columns, rows = _units(jpeg)
    expected = -(-columns * rows // jpeg.interval) if jpeg.interval else 1
    if len(intervals) != expected:
        raise JpegError(
            f'damaged: the JPEG has {len(intervals)} of {expected} parts between restart markers'
        )
    return intervals, ends


def _spoil(part: bytes, spoilt: bytes) -> bytes:
    keep = max(0, len(part) - SPARE_BYTES)
    if part[keep - 1 : keep] == b'\xff':  # its zero must stay beside it
        keep -= 1
    return part[:keep] + part[keep:].translate(spoilt)


def _units(jpeg: Jpeg) -> tuple[int, int]:
    """Columns and rows of units."""
    return -(-jpeg.width // jpeg.unit[0]), -(-jpeg.height // jpeg.unit[1])


def _by_interval(changed: npt.NDArray[np.bool_], jpeg: Jpeg, shrink: int) -> npt.NDArray[np.bool_]:
    """Whether any pixel of each interval has changed, of a picture that may have been shrunk."""
    columns, rows = _units(jpeg)
    wide, high = jpeg.unit[0] // shrink, jpeg.unit[1] // shrink
    missing = rows * high - changed.shape[0], columns * wide - changed.shape[1]
    padded = np.pad(changed, [(0, each) for each in missing])
    pixels = padded.reshape(rows, high, columns, wide)
    if shrink == 1 and min((jpeg.width - 1) % wide, (jpeg.height - 1) % high) > 1:
        pixels = pixels[:, 1:-1, :, 1:-1]  # colours run over the border by a pixel
    units = pixels.any(axis=(1, 3)).reshape(-1)
    return np.logical_or.reduceat(units, np.arange(0, len(units), jpeg.interval or len(units)))
