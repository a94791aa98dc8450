"""A film shows the task being done, from the side that was asked for, and can be a prompt."""

import subprocess
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest

from genrl_ros.cli.commands.film import Config, main
from genrl_ros.data.video import read_video
from genrl_ros.domains import registry
from genrl_ros.training.behavior.ground import ground_video
from genrl_ros.vlm import load_embedder


def test_a_film_is_a_video_prompt(tmp_path: Path) -> None:
    path = tmp_path / 'slide.mp4'
    assert main(Config('kitchen', 'slide', path)) == 0
    clip = read_video(path).clip(8)
    assert clip.shape == (8, 3, 64, 64)
    change = np.abs(clip[-1].astype(int) - clip[0]).max(0)
    assert (change > 40).sum() > 50


def test_a_film_means_the_same_at_any_frame_rate_and_none(tmp_path: Path) -> None:
    """As a camera films it, slowly, and as a browser records it: with neither rate nor length."""
    film = tmp_path / 'film.mp4'
    assert main(Config('kitchen', 'microwave', film)) == 0
    slow, browser = tmp_path / 'slow.mp4', tmp_path / 'browser.webm'
    uneven = "setpts='(N/30+0.003*mod(N*N,7))/TB'"
    live = ('-c:v', 'libvpx', '-f', 'webm', '-live', '1', '-fps_mode', 'passthrough')
    for words in (
        ('-i', film, '-vf', 'setpts=4*PTS,fps=30', slow),
        ('-r', '1000', '-i', slow, '-vf', uneven, '-enc_time_base', '1:1000', *live, browser),
    ):
        subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), '-v', 'error', *words], check=True)
    embedder = load_embedder('embedded')
    meanings = [ground_video(embedder, read_video(path))[1] for path in (film, slow, browser)]
    assert [meaning.concept for meaning in meanings] == 3 * ['opening the microwave']
    assert [meaning.warning for meaning in meanings] == 3 * ['']


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'out': Path('film.gif')}, r'--out must end in \.mp4'),
        ({'distance_m': -1.0}, '--distance-m must be in'),
        ({'elevation_deg': 100.0}, '--elevation-deg must be in'),
        ({'seed': -1}, '--seed must be at least 0'),
    ],
)
def test_a_film_that_cannot_be_is_told(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config('kitchen', 'slide', **wrong)


def test_the_camera_stands_where_it_is_asked_to() -> None:
    kitchen = registry.get('kitchen')
    near = registry.film(kitchen, 'light', 2.2, 70.0, -35.0, 1)
    turned = registry.film(kitchen, 'light', 2.2, 85.0, -35.0, 1)
    assert near.shape == turned.shape == (8, 3, 64, 64)
    assert (np.abs(near[0].astype(int) - turned[0]).max(0) > 40).mean() > 0.1
