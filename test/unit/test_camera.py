from __future__ import annotations

import struct
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from genrl_ros.serving.robot.camera import RAW, Camera, ImageError, compressed_size

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (48, 64, 3), np.uint8)


def raw(encoding: str, pixels: np.ndarray, /, padding: int = 0, **changes) -> SimpleNamespace:
    height, width = pixels.shape[:2]
    rows = np.pad(pixels.reshape(height, -1), ((0, 0), (0, padding)))
    fields = {
        'encoding': encoding,
        'height': height,
        'width': width,
        'step': rows.shape[1],
        'data': rows.tobytes(),
    }
    return SimpleNamespace(**(fields | changes))


def compressed(suffix: str, pixels: np.ndarray = PICTURE) -> SimpleNamespace:
    _, data = cv2.imencode(suffix, pixels[:, :, ::-1])
    return SimpleNamespace(format='', data=data.tobytes())


def encoded(encoding: str) -> np.ndarray:
    if encoding == 'mono8':
        return PICTURE[:, :, :1]
    pixels = PICTURE[:, :, ::-1] if encoding.startswith('bgr') else PICTURE
    if encoding.endswith('a8'):
        pixels = np.concatenate([pixels, np.zeros_like(pixels[:, :, :1])], axis=2)
    return np.ascontiguousarray(pixels)


@pytest.mark.parametrize('encoding', RAW)
@pytest.mark.parametrize('padding', [0, 7])
def test_every_encoding_gives_rgb(encoding, padding) -> None:
    camera = Camera('image', encoding, 64, 48, crop=(10, 4, 32, 32), size=32)
    wanted = PICTURE if encoding != 'mono8' else PICTURE[:, :, :1].repeat(3, axis=2)
    pixels = camera.pixels(raw(encoding, encoded(encoding), padding))
    np.testing.assert_array_equal(pixels, wanted[4:36, 10:42].transpose(2, 0, 1))
    assert pixels.flags.c_contiguous


def test_the_middle_is_taken_and_averaged() -> None:
    camera = Camera('image', 'rgb8', 64, 48, size=12)
    pixels = camera.pixels(raw('rgb8', PICTURE))
    mean = PICTURE[:, 8:56].reshape(12, 4, 12, 4, 3).mean((1, 3)).transpose(2, 0, 1)
    assert np.abs(pixels - mean).max() <= 0.5


def test_compressed_images_are_read() -> None:
    png = Camera('image', 'png', 64, 48, size=48)
    np.testing.assert_array_equal(
        png.pixels(compressed('.png')), PICTURE[:, 8:56].transpose(2, 0, 1)
    )
    smooth = cv2.resize(PICTURE[:6, :8], (64, 48), interpolation=cv2.INTER_CUBIC)
    jpeg = Camera('image', 'jpeg', 64, 48, size=48)
    error = jpeg.pixels(compressed('.jpg', smooth)) - smooth[:, 8:56].transpose(2, 0, 1).astype(
        int
    )
    assert np.abs(error).mean() < 5


@pytest.mark.parametrize(
    'changes',
    [
        {'encoding': 'bgr8'},
        {'encoding': '16UC1'},
        {'width': 0, 'height': 0},
        {'width': 10_000, 'height': 10_000},
        {'width': -64},
        {'step': 0},
        {'step': 63 * 3},
        {'step': 2**32 - 1},
        {'data': b''},
        {'data': PICTURE.tobytes()[:-1]},
        {'data': PICTURE.tobytes() + b'x'},
    ],
)
def test_an_image_that_lies_is_refused(changes) -> None:
    with pytest.raises(ImageError, match='image'):
        Camera('image', 'rgb8', 64, 48).pixels(raw('rgb8', PICTURE, **changes))


def png_bomb(width: int, height: int) -> bytes:
    """A PNG that says it is huge, and has next to nothing in it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))
        )

    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    return (
        b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(b'\0' * 10))
        + chunk(b'IEND', b'')
    )  # fmt: skip


def test_the_size_of_a_compressed_image_is_known_before_it_is_decoded(monkeypatch) -> None:
    assert compressed_size(png_bomb(60_000, 60_000)) == ('png', 60_000, 60_000)
    assert compressed_size(compressed('.jpg').data) == ('jpeg', 64, 48)
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('was decoded'))
    for kind, data in (
        ('png', png_bomb(60_000, 60_000)),
        ('png', compressed('.jpg').data),
        ('jpeg', compressed('.png').data),
        ('jpeg', compressed('.jpg', PICTURE[:40]).data),
        ('jpeg', b'\xff\xd8\xff\xe0\x00'),
        ('jpeg', b'\xff\xd8' + b'\xff\xe0\x00\x02' * 10),
        ('png', b'GIF89a'),
        ('png', b''),
        ('png', compressed('.png').data + b'\0' * 100_000),
    ):
        with pytest.raises(ImageError, match='image'):
            Camera('image', kind, 64, 48).pixels(SimpleNamespace(data=data))


def test_a_damaged_compressed_image_is_refused() -> None:
    for data in (png_bomb(64, 48), compressed('.png').data[:40]):
        with pytest.raises(ImageError, match='compressed image'):
            Camera('image', 'png', 64, 48).pixels(SimpleNamespace(data=data))
