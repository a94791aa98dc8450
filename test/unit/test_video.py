from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from genrl_ros.data.video import (
    Video,
    VideoError,
    VideoLimits,
    read_video,
    write_video,
)


@pytest.fixture
def frames() -> np.ndarray:
    """Twelve frames that turn from black to red."""
    frames = np.zeros((12, 3, 64, 64), np.uint8)
    frames[:, 0] = np.linspace(0, 255, 12).astype(np.uint8)[:, None, None]
    return frames


def test_a_video_survives_its_file(tmp_path, frames) -> None:
    path = tmp_path / 'red.mp4'
    write_video(path, frames, fps=6.25, scale=2)
    video = read_video(path, size=64)
    assert video.frames.shape == frames.shape
    assert np.abs(video.frames.astype(int) - frames).max() < 12
    np.testing.assert_allclose(video.times_s, np.arange(12) / 6.25, atol=1e-4)
    assert video.missing == ''
    assert [file.name for file in tmp_path.iterdir()] == ['red.mp4']


def test_gifs_and_odd_shapes_are_read(tmp_path) -> None:
    images = [Image.new('RGB', (31, 50), (0, 255, 0)) for _ in range(2)]
    images[1].putpixel((0, 0), (255, 0, 0))
    images[0].save(tmp_path / 'green.gif', save_all=True, append_images=images[1:])
    assert read_video(tmp_path / 'green.gif', size=64).frames.shape[1:] == (3, 64, 64)


def film(path: Path, times_s: np.ndarray, *options: str) -> Path:
    """A video that turns from black to white in its time, with frames at those times only."""
    levels = (255 * times_s / times_s[-1]).round().astype(np.uint8)
    images = np.repeat(levels, 32 * 32 * 3).tobytes()
    shown = '+'.join(f'eq(N,{i})*{time}' for i, time in enumerate(times_s))
    command = [
        *(imageio_ffmpeg.get_ffmpeg_exe(), '-v', 'error', '-f', 'rawvideo', '-pix_fmt', 'rgb24'),
        *('-s', '32x32', '-r', '1000', '-i', '-', '-vf', f"setpts='({shown})/TB'"),
        *('-fps_mode', 'passthrough', '-enc_time_base', '1:1000', *options, str(path)),
    ]
    subprocess.run(command, input=images, check=True)
    return path


EVEN = np.arange(0, 3, 0.05)
UNEVEN = 3 * np.linspace(0, 1, 60) ** 2
PAUSE = np.r_[np.arange(0, 0.5, 0.05), np.arange(2.5, 3, 0.05)]
WEBM = ('-c:v', 'libvpx', '-f', 'webm')


@pytest.mark.parametrize(
    ('name', 'options'),
    [('v.webm', WEBM), ('live.webm', (*WEBM, '-live', '1')), ('v.mp4', ()), ('v.gif', ())],
)
@pytest.mark.parametrize('times_s', [EVEN, UNEVEN], ids=['even', 'uneven'])
def test_frames_are_chosen_by_time_over_the_whole_film(tmp_path, name, options, times_s) -> None:
    video = read_video(film(tmp_path / name, times_s, *options))
    assert video.missing == ''
    levels = video.clip(8).mean((1, 2, 3))
    np.testing.assert_allclose(levels, np.linspace(0, 255, 8), atol=16)


def test_a_picture_is_shown_until_the_next_one(tmp_path) -> None:
    video = read_video(film(tmp_path / 'pause.webm', PAUSE, *WEBM))
    shown_s = video.clip(8).mean((1, 2, 3)) / 255 * PAUSE[-1]
    np.testing.assert_allclose(shown_s, [0, 0.42, 0.45, 0.45, 0.45, 0.45, 2.53, 2.95], atol=0.06)


def test_a_fast_camera_s_film_is_read_to_its_end(tmp_path) -> None:
    write_video(tmp_path / 'v.mp4', np.zeros((2400, 3, 16, 16), np.uint8), fps=240)
    video = read_video(tmp_path / 'v.mp4', size=8)
    assert video.missing == ''
    assert video.times_s[-1] == pytest.approx(10, abs=0.02)
    assert len(video.frames) <= 64 * 10


def test_of_a_long_film_the_beginning_is_read_and_the_rest_is_told(tmp_path, frames) -> None:
    write_video(tmp_path / 'v.mp4', frames, fps=6.25)
    live = film(tmp_path / 'live.webm', EVEN, *WEBM, '-live', '1')  # does not say how long it is
    for path in (tmp_path / 'v.mp4', live):
        video = read_video(path, limits=VideoLimits(seconds=0.4))
        assert video.missing == 'only the first 0.4 s of the video are looked at'
        assert 0.3 < video.times_s[-1] <= 0.4


@pytest.mark.parametrize(
    ('name', 'options', 'missing'),
    [
        ('v.mp4', ('-movflags', '+faststart'), r'only \d\.\d of the 3\.0 s of the video can be'),
        ('v.webm', WEBM, r'only \d\.\d of the 3\.0 s of the video can be read'),
        ('live.webm', (*WEBM, '-live', '1'), r'parts of the video cannot be read \(File ended'),
    ],
)
def test_what_is_missing_of_a_film_that_was_cut_off_is_told(
    tmp_path, name, options, missing
) -> None:
    path = film(tmp_path / name, EVEN, *options, '-g', '10')
    os.truncate(path, path.stat().st_size * 2 // 3)
    video = read_video(path)
    assert len(video.frames) > 1
    assert re.match(missing, video.missing), video.missing


def test_sound_that_lasts_a_little_longer_is_not_missed(tmp_path) -> None:
    sound = ('-f', 'lavfi', '-i', 'sine=duration=3.3', '-map', '0:v', '-map', '1:a')
    silent = film(tmp_path / 'silent.mp4', EVEN)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), '-v', 'error', '-i', str(silent), *sound]
    subprocess.run([*command, str(tmp_path / 'sound.mp4')], check=True)
    assert read_video(tmp_path / 'sound.mp4').missing == ''


def test_a_file_that_is_too_large_is_not_opened(tmp_path, frames) -> None:
    write_video(tmp_path / 'v.mp4', frames, fps=6.25)
    with pytest.raises(VideoError, match='at most 100 are allowed'):
        read_video(tmp_path / 'v.mp4', limits=VideoLimits(bytes=100))


@pytest.mark.parametrize(
    ('content', 'message'),
    [(b'', 'is empty'), (b'not a video at all', 'not a video'), (bytes(5000), 'not a video')],
)
def test_what_is_no_video_is_refused(tmp_path, content, message) -> None:
    (tmp_path / 'v.mp4').write_bytes(content)
    with pytest.raises(VideoError, match=message):
        read_video(tmp_path / 'v.mp4')


def test_a_playlist_cannot_make_it_read_other_files(tmp_path, frames) -> None:
    write_video(tmp_path / 'secret.mp4', frames, fps=6.25)
    for name, text in (
        ('list.ffconcat', f"ffconcat version 1.0\nfile '{tmp_path / 'secret.mp4'}'\n"),
        ('list.m3u8', f'#EXTM3U\n#EXTINF:1,\n{tmp_path / "secret.mp4"}\n#EXT-X-ENDLIST\n'),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(VideoError):
            read_video(tmp_path / name)


def test_a_missing_file_and_a_folder_are_refused(tmp_path) -> None:
    with pytest.raises(VideoError, match='cannot be read'):
        read_video(tmp_path / 'nothing.mp4')
    with pytest.raises(VideoError, match='cannot be read'):
        read_video(tmp_path)


@pytest.mark.parametrize('count', [2, 8, 12, 41, 154])
def test_frames_at_a_constant_rate_are_chosen_evenly(count) -> None:
    frames = np.zeros((count, 3, 1, 1), np.uint8)
    frames[:, 0, 0, 0] = np.arange(count)
    video = Video(frames, np.arange(count) / 30)
    chosen = video.clip(8)[:, 0, 0, 0].tolist()
    assert chosen == np.linspace(0, count - 1, 8).round().tolist()


def test_one_frame_makes_a_clip_too(frames) -> None:
    assert len(Video(frames[:1], np.zeros(1)).clip(8)) == 8
