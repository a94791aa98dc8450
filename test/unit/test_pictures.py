"""Pictures hold what they were given, and other programs can read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genrl_ros.cli.demo_report import write_curve
from genrl_ros.data.pictures import CAPTION, GAP, SCALE, Strip, grid, side_by_side, write_png


@pytest.fixture
def frames() -> np.ndarray:
    """Twenty frames that grow brighter, in red alone."""
    frames = np.zeros((20, 3, 64, 64), np.uint8)
    frames[:, 0] = np.linspace(0, 255, 20).astype(np.uint8)[:, None, None]
    return frames


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert (picture.format, picture.mode) == ('PNG', 'RGB')
        return np.asarray(picture)


def test_a_picture_survives_the_disk(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    write_png(tmp_path / 'new' / 'picture.png', picture)
    assert np.array_equal(read(tmp_path / 'new' / 'picture.png'), picture)
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['picture.png']


def test_frames_lie_side_by_side_from_the_first_to_the_last(frames: np.ndarray) -> None:
    row = side_by_side(frames, count=4, scale=1)
    assert row.shape == (64, 4 * 64, 3)
    assert (row[0, 0].tolist(), row[0, -1].tolist()) == ([0, 0, 0], [255, 0, 0])
    assert side_by_side(frames, count=4, scale=2).shape == (128, 8 * 64, 3)


def test_strips_lie_under_their_captions(frames: np.ndarray) -> None:
    picture = grid([Strip('four', frames[:4]), Strip('two', frames[-2:])])
    row = CAPTION + SCALE * (64 + GAP)
    assert picture.shape == (2 * row, 4 * SCALE * (64 + GAP), 3)
    assert picture[row + CAPTION, 0].tolist() == frames[-2, :, 0, 0].tolist()
    assert (picture[row:, 2 * SCALE * (64 + GAP) :][CAPTION:] == 255).all()
    assert (picture[:CAPTION] < 128).any(), 'there is a caption'


def test_a_curve_is_drawn(tmp_path: Path) -> None:
    drawn = []
    for name, curve in (('none', []), ('rising', [(0, 0.0), (10, 1.0)])):
        write_curve(tmp_path / f'{name}.png', curve, 'open it')
        drawn.append(read(tmp_path / f'{name}.png'))
    assert drawn[0].shape == drawn[1].shape == (420, 720, 3)
    assert not np.array_equal(drawn[0], drawn[1])
