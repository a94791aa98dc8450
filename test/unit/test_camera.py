from __future__ import annotations

import struct
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from genrl_ros.serving.robot.camera import RAW, Camera, ImageError
from genrl_ros.serving.robot.compressed import compressed_size

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (64, 80, 3), np.uint8)


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
    camera = Camera('image', encoding, 80, 64, crop=(10, 0, 64, 64))
    wanted = PICTURE if encoding != 'mono8' else PICTURE[:, :, :1].repeat(3, axis=2)
    pixels = camera.pixels(raw(encoding, encoded(encoding), padding))
    np.testing.assert_array_equal(pixels, wanted[:, 10:74].transpose(2, 0, 1))
    assert pixels.flags.c_contiguous


def test_the_middle_is_taken_and_averaged() -> None:
    picture = RNG.integers(0, 256, (256, 320, 3), np.uint8)
    pixels = Camera('image', 'rgb8', 320, 256).pixels(raw('rgb8', picture))
    mean = picture[:, 32:288].reshape(64, 4, 64, 4, 3).mean((1, 3)).transpose(2, 0, 1)
    assert np.abs(pixels - mean).max() <= 0.5


def test_compressed_images_are_read() -> None:
    png = Camera('image', 'png', 80, 64)
    np.testing.assert_array_equal(
        png.pixels(compressed('.png')), PICTURE[:, 8:72].transpose(2, 0, 1)
    )
    smooth = cv2.resize(PICTURE[:6, :8], (80, 64), interpolation=cv2.INTER_CUBIC)
    jpeg = Camera('image', 'jpeg', 80, 64)
    error = jpeg.pixels(compressed('.jpg', smooth)) - smooth[:, 8:72].transpose(2, 0, 1).astype(
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
        {'step': 79 * 3},
        {'step': 2**32 - 1},
        {'data': b''},
        {'data': PICTURE.tobytes()[:-1]},
        {'data': PICTURE.tobytes() + b'x'},
    ],
)
def test_an_image_that_lies_is_refused(changes) -> None:
    with pytest.raises(ImageError, match='image'):
        Camera('image', 'rgb8', 80, 64).pixels(raw('rgb8', PICTURE, **changes))


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
    assert compressed_size(compressed('.jpg').data) == ('jpeg', 80, 64)
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('was decoded'))
    for kind, data in (
        ('png', png_bomb(60_000, 60_000)),
        ('png', compressed('.jpg').data),
        ('jpeg', compressed('.png').data),
        ('jpeg', compressed('.jpg', PICTURE[:56]).data),
        ('jpeg', b'\xff\xd8\xff\xe0\x00'),
        ('jpeg', b'\xff\xd8' + b'\xff\xe0\x00\x02' * 10),
        ('png', b'GIF89a'),
        ('png', b''),
        ('png', compressed('.png').data + b'\0' * 100_000),
    ):
        with pytest.raises(ImageError, match='image'):
            Camera('image', kind, 80, 64).pixels(SimpleNamespace(format=kind, data=data))


def test_a_damaged_compressed_image_is_refused() -> None:
    for data in (png_bomb(80, 64), compressed('.png').data[:40]):
        with pytest.raises(ImageError, match='compressed image'):
            Camera('image', 'png', 80, 64).pixels(SimpleNamespace(format='', data=data))


COLOURED = cv2.resize(PICTURE[:6, :8], (80, 64), interpolation=cv2.INTER_CUBIC)
JPEG = Camera('image', 'jpeg', 80, 64)


def jpeg(pixels: np.ndarray = COLOURED, **options: int) -> bytes:
    flags = [x for k, v in options.items() for x in (getattr(cv2, f'IMWRITE_JPEG_{k}'), v)]
    return cv2.imencode('.jpg', pixels[:, :, ::-1], flags)[1].tobytes()


def seen(camera: Camera, data: bytes, coded: str = '') -> np.ndarray:
    return camera.pixels(SimpleNamespace(format=coded, data=data))


@pytest.mark.parametrize(
    ('pixels', 'coded'),
    [
        (PICTURE[:, :, 0].astype(np.uint16) * 4, 'mono16; png compressed '),
        (np.full((64, 80), 900, np.uint16), '16UC1; png compressed '),
        (PICTURE.astype(np.uint16) * 257, 'png'),
        (PICTURE[:, :, 0], '16UC1; compressedDepth png'),
        (PICTURE[:, :, 0], '32FC1; compressedDepth png'),
        (PICTURE[:, :, 0], '16UC1; png compressed '),
        (PICTURE[:, :, 0], 'bayer_rggb8; png compressed '),
    ],
)
def test_what_is_no_picture_of_8_bits_is_refused(pixels, coded) -> None:
    data = cv2.imencode('.png', pixels)[1].tobytes()
    with pytest.raises(ImageError, match=r'8 are expected|8 bits a channel|depth image'):
        seen(Camera('image', 'png', 80, 64), data, coded)


def test_pngs_of_fewer_bits_and_other_colours_are_read() -> None:
    camera = Camera('image', 'png', 80, 64)
    wanted = PICTURE[:, 8:72].transpose(2, 0, 1)
    with_alpha = np.dstack([PICTURE[:, :, ::-1], np.full((64, 80), 40, np.uint8)])
    data = cv2.imencode('.png', with_alpha)[1].tobytes()
    np.testing.assert_array_equal(seen(camera, data, 'rgba8; png compressed bgra8'), wanted)
    black_and_white = (PICTURE[:, :, 0] > 127).astype(np.uint8) * 255
    data = cv2.imencode('.png', black_and_white, [cv2.IMWRITE_PNG_BILEVEL, 1])[1].tobytes()
    assert data[24] == 1
    np.testing.assert_array_equal(seen(camera, data)[0], black_and_white[:, 8:72])


@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
def test_the_order_of_colours_is_the_one_that_the_format_says(suffix) -> None:
    """As compressed_image_transport does: it encodes an image as it is, and says what it was."""
    kind = {'.png': 'png', '.jpg': 'jpeg'}[suffix]
    camera = Camera('image', kind, 80, 64)
    right = cv2.imencode(suffix, COLOURED[:, :, ::-1])[1].tobytes()
    wanted = seen(camera, right, kind)
    exchanged = cv2.imencode(suffix, COLOURED)[1].tobytes()
    coded = f'rgb8; {kind} compressed rgb8'
    np.testing.assert_allclose(seen(camera, exchanged, coded), wanted, atol=12)
    assert 'red and blue' in camera.remark(SimpleNamespace(format=coded, data=exchanged))
    for usual in (f'rgb8; {kind} compressed bgr8', f'bgr8; {kind} compressed bgr8', kind, ''):
        np.testing.assert_array_equal(seen(camera, right, usual), wanted)
        assert not camera.remark(SimpleNamespace(format=usual, data=right))


@pytest.mark.parametrize('restarts', [0, 1, 4])
@pytest.mark.parametrize('quality', [30, 90])
def test_a_jpeg_that_lost_bytes_is_refused(restarts, quality, capfd) -> None:
    data = jpeg(QUALITY=quality, RST_INTERVAL=restarts)
    seen(JPEG, data)
    start = data.index(b'\xff\xda') + 14
    middle, length = (start + len(data)) // 2, (len(data) - start) // 3
    for lost in (
        data[: middle - length // 2] + data[middle + length // 2 :],
        data[: middle - length // 2] + bytes(length) + data[middle + length // 2 :],
        data[:middle],
        data[:middle] + b'\xff\xd9',
        data[:start] + b'\xff\xd9',
        data[:start],
        data[:-2] + data[middle:-2] + b'\xff\xd9',
    ):
        with pytest.raises(ImageError, match='damaged'):
            seen(JPEG, lost)
    assert not capfd.readouterr().err  # a decoder that complains would fill the log of a node


def test_whole_jpegs_of_every_make_are_taken() -> None:
    plain = np.full((64, 80, 3), 90, np.uint8)
    for pixels in (PICTURE, COLOURED, plain, np.where(PICTURE > 250, PICTURE, plain)):
        for options in (
            {},
            {'RST_INTERVAL': 2},
            {'OPTIMIZE': 1},
            {'QUALITY': 100, 'SAMPLING_FACTOR': cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444},
            {'QUALITY': 5, 'SAMPLING_FACTOR': cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422},
            {'RST_INTERVAL': 1, 'OPTIMIZE': 1, 'QUALITY': 1},
        ):
            data = jpeg(pixels, **options)
            direct = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, 8:72, ::-1]
            for file in (data, data + bytes(5000), data[:-2] + b'\xff\xff\xd9'):
                np.testing.assert_array_equal(seen(JPEG, file), direct.transpose(2, 0, 1))
            grey = cv2.imencode('.jpg', pixels[:, :, 0])[1].tobytes()
            assert (seen(JPEG, grey)[0] == seen(JPEG, grey)[2]).all()


def test_a_jpeg_whose_loss_could_not_be_told_is_refused() -> None:
    with pytest.raises(ImageError, match='progressive'):
        seen(JPEG, jpeg(PROGRESSIVE=1))


def test_a_png_with_a_wrong_byte_is_refused() -> None:
    data = bytearray(compressed('.png').data)
    data[len(data) // 2] ^= 1
    with pytest.raises(ImageError, match='damaged'):
        seen(Camera('image', 'png', 80, 64), bytes(data))
