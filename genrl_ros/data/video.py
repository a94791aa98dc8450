"""Short videos as files: read with limits on time, bytes and frames; written whole or not at all.

The `ffmpeg` of imageio-ffmpeg does the work in a process of its own, so that a malformed or huge
file costs that process, and not the robot's.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
from PIL import Image

from genrl_ros.system.files import atomic_file

Frames = npt.NDArray[np.uint8]

_FORMATS = 'mov,mp4,matroska,webm,avi,gif,mpeg,mpegts,ogg'


class VideoError(ValueError):
    """A video cannot be used; the message says which file, and why."""


@dataclass(frozen=True)
class VideoLimits:
    """How much of a video is looked at.

    Attributes:
        bytes: largest file.
        seconds: longest time that is decoded; the rest is ignored.
        frames: most frames that are decoded; the rest is ignored.
        pixels: most pixels of a frame.
        timeout_s: longest that decoding may take.
    """

    bytes: int = 100_000_000
    seconds: float = 60.0
    frames: int = 1024
    pixels: int = 4096 * 4096
    timeout_s: float = 20.0


def read_video(path: Path, size: int = 64, limits: VideoLimits | None = None) -> Frames:
    """Frames `(T, 3, size, size)` uint8 RGB of a video, cropped to its centred square.

    Raises:
        VideoError: if the file cannot be read, is no video, has no frames or exceeds the limits.
    """
    limits = limits or VideoLimits()
    path = Path(path).resolve()
    try:
        with path.open('rb') as file:
            n_bytes = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise VideoError(f'{path} cannot be read: {error.strerror}') from None
    if n_bytes == 0:
        raise VideoError(f'{path} is empty')
    if n_bytes > limits.bytes:
        raise VideoError(f'{path} has {n_bytes} bytes; at most {limits.bytes} are allowed')
    command = [
        *(imageio_ffmpeg.get_ffmpeg_exe(), '-nostdin', '-v', 'error', '-threads', '1'),
        *('-protocol_whitelist', 'file', '-format_whitelist', _FORMATS),
        *('-max_pixels', str(limits.pixels), '-t', str(limits.seconds)),
        *('-i', f'file:{path}', '-an', '-sn', '-dn'),
        *('-vf', f"crop='min(iw,ih)':'min(iw,ih)',scale={size}:{size}:flags=area"),
        *('-frames:v', str(limits.frames), '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-'),
    ]
    try:
        decoded = subprocess.run(command, capture_output=True, timeout=limits.timeout_s)
    except subprocess.TimeoutExpired:
        raise VideoError(f'{path} takes longer than {limits.timeout_s} s to decode') from None
    if decoded.returncode != 0:
        raise VideoError(f'{path} is not a video that can be read: {_reason(decoded.stderr)}')
    n_frames = len(decoded.stdout) // (size * size * 3)
    if n_frames == 0:
        raise VideoError(f'{path} has no frames')
    pixels = np.frombuffer(decoded.stdout[: n_frames * size * size * 3], np.uint8)
    return np.ascontiguousarray(pixels.reshape(n_frames, size, size, 3).transpose(0, 3, 1, 2))


def sample_frames(frames: Frames, count: int) -> Frames:
    """`count` frames, evenly spread from the first to the last."""
    return frames[np.linspace(0, len(frames) - 1, count).round().astype(int)]


def write_video(path: Path, frames: Sequence[Frames] | Frames, fps: float, scale: int = 1) -> None:
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
            *(imageio_ffmpeg.get_ffmpeg_exe(), '-v', 'error', '-f', 'rawvideo'),
            *('-pix_fmt', 'rgb24', '-s', f'{width}x{height}', '-r', f'{fps:g}', '-i', '-'),
            *('-threads', '1', '-c:v', 'libx264', '-crf', '18', '-pix_fmt', 'yuv420p'),
            *('-movflags', '+faststart', '-f', 'mp4', '-y', str(unfinished)),
        ]
        encoded = subprocess.run(command, input=images.tobytes(), capture_output=True)
        if encoded.returncode != 0:
            raise VideoError(f'{path} could not be written: {_reason(encoded.stderr)}')


def write_strip(path: Path, frames: Frames, count: int = 8, scale: int = 2) -> None:
    """Write `count` of the frames side by side as a PNG file, which appears once complete."""
    images = sample_frames(frames, count).transpose(0, 2, 3, 1)
    strip = np.concatenate(list(images), axis=1).repeat(scale, axis=0).repeat(scale, axis=1)
    with atomic_file(path) as unfinished:
        Image.fromarray(strip).save(unfinished, format='png')


def _reason(stderr: bytes) -> str:
    lines = stderr.decode(errors='replace').strip().splitlines() or ['no reason given']
    return re.sub(r'^\[[^]]*\]\s*', '', lines[-1])[:200]
