"""Short videos as files: read with limits on time, bytes and frames; written whole or not at all.

The `ffmpeg` of imageio-ffmpeg does the work in a process of its own, so that a malformed or huge
file costs that process, and not the robot's.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

import imageio_ffmpeg  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt

from genrl_ros.system.arrays import Image
from genrl_ros.system.files import atomic_file, open_regular

END_S = 0.5
"""A video may end so much earlier than its file says: sound often lasts a little longer."""
_FORMATS = 'mov,mp4,matroska,webm,avi,gif,mpeg,mpegts,ogg'


class VideoError(ValueError):
    """A video cannot be used; the message says which file, and why."""


@dataclass(frozen=True)
class VideoLimits:
    """How much of a video is looked at.

    Attributes:
        bytes: largest file.
        seconds: longest time that is looked at; a longer video is told as such.
        rate_hz: most frames that are kept of a second.
        pixels: most pixels of a frame.
        timeout_s: longest that decoding may take.
    """

    bytes: int = 100_000_000
    seconds: float = 60.0
    rate_hz: float = 64.0
    pixels: int = 4096 * 4096
    timeout_s: float = 20.0


@dataclass(frozen=True)
class Video:
    """Frames, and when each of them is shown.

    Attributes:
        frames: `(T, 3, N, N)` uint8 RGB, T at least one.
        times_s: `(T,)` when each is shown, rising, in seconds since the first.
        missing: which part of the file is not among the frames, for people; '' if all of it is.
    """

    frames: Image
    times_s: npt.NDArray[np.float64]
    missing: str = ''

    def clip(self, count: int) -> Image:
        """The `count` frames that are shown at times evenly spread from the first to the last."""
        wanted_s = np.linspace(0, self.times_s[-1], count) + _period_s(self.times_s) / 2
        return self.frames[np.searchsorted(self.times_s, wanted_s, side='right') - 1]


def read_video(path: Path, size: int = 64, limits: VideoLimits | None = None) -> Video:
    """A video, cropped to its centred square of `size` pixels.

    Raises:
        VideoError: if the file cannot be read, is no video, has no frames or exceeds the limits.
    """
    try:
        with open_regular(path) as file:
            return decode_video(file, path, size, limits)
    except OSError as error:
        raise VideoError(f'{path} cannot be read: {error.strerror}') from None


def decode_video(
    file: BufferedReader, path: Path, size: int = 64, limits: VideoLimits | None = None
) -> Video:
    """A video whose file is open already; see `read_video`.

    Args:
        file: the open file.
        path: its name, for messages.
        size: height and width of the frames.
        limits: how much of it is looked at.

    Raises:
        VideoError: if it is no video, has no frames or exceeds the limits.
    """
    limits = limits or VideoLimits()
    n_bytes = os.fstat(file.fileno()).st_size
    if n_bytes == 0:
        raise VideoError(f'{path} is empty')
    if n_bytes > limits.bytes:
        raise VideoError(f'{path} has {n_bytes} bytes; at most {limits.bytes} are allowed')
    with open(os.memfd_create('times'), 'w+b') as times:
        command = _decoder(file.fileno(), times.fileno(), size, limits)
        try:
            decoded = subprocess.run(
                command,
                capture_output=True,
                timeout=limits.timeout_s,
                pass_fds=(file.fileno(), times.fileno()),
            )
        except subprocess.TimeoutExpired:
            raise VideoError(f'{path} takes longer than {limits.timeout_s} s to decode') from None
        log = decoded.stderr.decode(errors='replace')
        if decoded.returncode != 0:
            raise VideoError(f'{path} is not a video that can be read: {_reason(log)}')
        begins_s, lasts_s = _read_times(times)
    n_frames = min(len(decoded.stdout) // (size * size * 3), len(begins_s))
    if n_frames == 0:
        raise VideoError(f'{path} has no frames')
    times_s = begins_s[:n_frames] - begins_s[0]
    end_s = begins_s[n_frames - 1] + max(lasts_s[n_frames - 1], _period_s(times_s))
    times_s = times_s[times_s <= limits.seconds]
    frames = np.frombuffer(decoded.stdout, np.uint8, len(times_s) * size * size * 3)
    frames = frames.reshape(-1, size, size, 3).transpose(0, 3, 1, 2)
    return Video(np.ascontiguousarray(frames), times_s, _missing(log, end_s, limits))


def _decoder(file: int, times: int, size: int, limits: VideoLimits) -> list[str]:
    """The command that reads one file descriptor and writes frames to its standard output.

    To the other descriptor it writes a line a frame: `stream, dts, pts, duration, ...` in
    microseconds. It decodes a second more than the limit, so that a longer video is noticed.
    """
    graph = (
        f"[0:V:0]select='isnan(prev_selected_t)+gte(t-prev_selected_t,{1 / limits.rate_hz})',"
        f"crop='min(iw,ih)':'min(iw,ih)',scale={size}:{size}:flags=area,format=rgb24,"
        'split[frames][times]'
    )
    seconds = limits.seconds + 1
    output = [
        *('-frames:v', str(math.ceil(seconds * limits.rate_hz))),
        *('-fps_mode', 'passthrough', '-enc_time_base', '1:1000000'),
    ]
    return [
        *(imageio_ffmpeg.get_ffmpeg_exe(), '-nostdin', '-hide_banner', '-nostats'),
        *('-v', 'level+info', '-threads', '1', '-filter_complex_threads', '1'),
        *('-protocol_whitelist', 'file', '-format_whitelist', _FORMATS),
        *('-max_pixels', str(limits.pixels), '-t', str(seconds)),
        *('-i', f'file:/proc/self/fd/{file}', '-filter_complex', graph),
        *('-map', '[frames]', *output, '-f', 'rawvideo', 'pipe:1'),
        *('-map', '[times]', *output, '-f', 'framecrc', f'pipe:{times}'),
    ]


def _read_times(file: BinaryIO) -> npt.NDArray[np.float64]:
    """`(2, T)` seconds: when each frame is shown, and for how long."""
    file.seek(0)
    lines = [line.split(b',') for line in file if not line.startswith(b'#')]
    return np.array([line[2:4] for line in lines], np.float64).reshape(-1, 2).T / 1e6


def _period_s(times_s: npt.NDArray[np.float64]) -> float:
    """How long a frame is shown, typically."""
    return float(np.median(np.diff(times_s))) if len(times_s) > 1 else 0.0


def _missing(log: str, end_s: float, limits: VideoLimits) -> str:
    """What is not among the frames, by the decoder's log and where the last frame ends."""
    errors = _errors(log)
    declared = re.search(r'^\[info\] +Duration: (\d+):(\d+):([\d.]+),', log, re.MULTILINE)
    hours, minutes, seconds = map(float, declared.groups()) if declared else (0, 0, 0)
    length_s = 3600 * hours + 60 * minutes + seconds
    if end_s > limits.seconds + END_S:
        return f'only the first {limits.seconds:g} s of the video are looked at'
    if length_s > end_s + END_S:
        return f'only {end_s:.1f} of the {length_s:.1f} s of the video can be read'
    return f'parts of the video cannot be read ({errors[0][:200]})' if errors else ''


def write_video(path: Path, frames: Sequence[Image] | Image, fps: float, scale: int = 1) -> None:
    """Write an H.264 video in an MP4 file, which appears when it is complete.

    Args:
        path: the file.
        frames: T images `(3, H, W)` uint8 RGB, H and W times `scale` even.
        fps: frames a second.
        scale: each pixel becomes a square of so many.

    Raises:
        VideoError: if it could not be written.
    """
    images = np.stack(list(frames)).transpose(0, 2, 3, 1)
    images = images.repeat(scale, axis=1).repeat(scale, axis=2)
    _, height, width, _ = images.shape
    with atomic_file(path) as unfinished:
        command = [
            *(imageio_ffmpeg.get_ffmpeg_exe(), '-v', 'level+error', '-f', 'rawvideo'),
            *('-pix_fmt', 'rgb24', '-s', f'{width}x{height}', '-r', f'{fps:g}', '-i', '-'),
            *('-threads', '1', '-c:v', 'libx264', '-crf', '18', '-pix_fmt', 'yuv420p'),
            *('-movflags', '+faststart', '-f', 'mp4', '-y', str(unfinished)),
        ]
        encoded = subprocess.run(command, input=images.tobytes(), capture_output=True)
        if encoded.returncode != 0:
            reason = _reason(encoded.stderr.decode(errors='replace'))
            raise VideoError(f'{path} could not be written: {reason}')


def _errors(log: str) -> list[str]:
    """What the decoder calls errors, without the names of its parts."""
    return re.findall(r'^(?:\[[^]]*\] )*\[(?:error|fatal)\] (.*)', log, re.MULTILINE)


def _reason(log: str) -> str:
    return (_errors(log) or ['no reason given'])[-1][:200]
