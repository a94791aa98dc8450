from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from genrl_ros.data.video import (
    VideoError,
    VideoLimits,
    read_video,
    sample_frames,
    write_strip,
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
    read = read_video(path, size=64)
    assert read.shape == frames.shape
    assert np.abs(read.astype(int) - frames).max() < 12
    assert [file.name for file in tmp_path.iterdir()] == ['red.mp4']


def test_gifs_and_odd_shapes_are_read(tmp_path) -> None:
    images = [Image.new('RGB', (31, 50), (0, 255, 0)) for _ in range(2)]
    images[1].putpixel((0, 0), (255, 0, 0))
    images[0].save(tmp_path / 'green.gif', save_all=True, append_images=images[1:])
    assert read_video(tmp_path / 'green.gif', size=64).shape[1:] == (3, 64, 64)


def test_decoding_ends_at_the_limit(tmp_path, frames) -> None:
    write_video(tmp_path / 'v.mp4', frames, fps=6.25)
    assert len(read_video(tmp_path / 'v.mp4', limits=VideoLimits(frames=5))) == 5
    assert len(read_video(tmp_path / 'v.mp4', limits=VideoLimits(seconds=0.4))) <= 4


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


def test_sampling_takes_first_and_last(frames) -> None:
    chosen = sample_frames(frames, 8)
    assert len(chosen) == 8
    assert (chosen[0] == frames[0]).all() and (chosen[-1] == frames[-1]).all()
    assert len(sample_frames(frames[:1], 8)) == 8


def test_a_strip_shows_the_frames_side_by_side(tmp_path, frames) -> None:
    write_strip(tmp_path / 'strip.png', frames, count=4, scale=1)
    strip = np.asarray(Image.open(tmp_path / 'strip.png'))
    assert strip.shape == (64, 4 * 64, 3)
    assert strip[0, 0, 0] == 0 and strip[0, -1, 0] == 255
