from __future__ import annotations

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image

from genrl_interfaces.msg import LatentTokens
from genrl_ros.nodes import qos
from genrl_ros.nodes.conversions import to_image
from genrl_ros.nodes.encoder_node import EncoderNode
from genrl_ros.nodes.params import ParameterError
from genrl_ros.serving.bundle import BundleError
from genrl_ros.serving.policy import Encoder


@pytest.fixture
def model(tmp_path, encoder_bytes) -> str:
    (tmp_path / 'encoder.onnx').write_bytes(encoder_bytes)
    return str(tmp_path)


def test_an_image_becomes_its_tokens_under_its_own_header(bench, model, encoder_bytes) -> None:
    bench.start(EncoderNode, model=model)
    latents = bench.record(LatentTokens, 'latent', qos.SENSOR)
    images = bench.observer.create_publisher(Image, 'camera/image_raw', qos.SENSOR)
    bench.connected(images)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 64), np.uint8)
    message = to_image(pixels, Time(sec=4, nanosec=5), 'eye')
    bench.until(lambda: images.publish(message) or latents, 'a latent')
    encoder = Encoder(encoder_bytes)
    assert latents[0].header == message.header
    assert list(latents[0].tokens) == encoder.encode(pixels).tolist()
    assert (latents[0].classes, latents[0].encoder_sha256) == (5, encoder.sha256)


def test_images_that_it_does_not_understand_are_refused_and_it_lives(bench, model) -> None:
    bench.start(EncoderNode, model=model)
    latents = bench.record(LatentTokens, 'latent', qos.SENSOR)
    images = bench.observer.create_publisher(Image, 'camera/image_raw', qos.SENSOR)
    bench.connected(images)
    good = to_image(np.zeros((3, 64, 64), np.uint8), Time(sec=1), 'eye')
    for changes in (
        {'encoding': 'mono8'},
        {'encoding': '32FC3'},
        {'width': 0, 'height': 0},
        {'width': 640},
        {'step': 0},
        {'step': 64},
        {'data': [0] * 100},
        {'data': []},
    ):
        bad = to_image(np.zeros((3, 64, 64), np.uint8), Time(sec=2), 'eye')
        for name, value in changes.items():
            setattr(bad, name, value)
        images.publish(bad)
    bench.until(lambda: images.publish(good) or latents, 'a latent after all')
    assert {latent.header.stamp.sec for latent in latents} == {1}


def test_a_missing_or_foreign_model_is_named(bench, tmp_path) -> None:
    with pytest.raises(ParameterError, match='no such folder'):
        bench.start(EncoderNode, model=str(tmp_path / 'nothing'))
    with pytest.raises(BundleError, match='encoder.onnx cannot be read'):
        bench.start(EncoderNode, model=str(tmp_path))
    (tmp_path / 'encoder.onnx').write_bytes(b'foreign')
    with pytest.raises(BundleError, match='encoder.onnx is not a graph'):
        bench.start(EncoderNode, model=str(tmp_path))
