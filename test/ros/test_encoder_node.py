from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import Image

from genrl_interfaces.msg import LatentGoal, LatentTokens
from genrl_ros.nodes.encoder_node import EncoderNode
from genrl_ros.nodes.ros import qos
from genrl_ros.nodes.ros.conversions import to_image
from genrl_ros.serving.policy.runner import Encoder


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


def test_a_missing_or_foreign_model_fails_to_configure_with_the_reason(bench, tmp_path) -> None:
    told = bench.record(DiagnosticArray, '/diagnostics', qos.DIAGNOSTICS)

    def why(model) -> str:
        told.clear()
        node = bench.make(EncoderNode, model=str(model))
        assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
        assert node.state_name == 'unconfigured'
        bench.until(lambda: told and told[-1].status[0].level == DiagnosticStatus.ERROR, 'why')
        bench.executor.remove_node(node)
        return told[-1].status[0].message

    assert 'no such folder' in why(tmp_path / 'nothing')
    assert 'encoder.onnx cannot be read' in why(tmp_path)
    (tmp_path / 'encoder.onnx').write_bytes(b'foreign')
    assert 'encoder.onnx is not a graph' in why(tmp_path)


def test_a_failed_configuration_can_be_tried_again(bench, tmp_path, encoder_bytes) -> None:
    node = bench.make(EncoderNode, model=str(tmp_path))
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    (tmp_path / 'encoder.onnx').write_bytes(encoder_bytes)
    for _ in range(2):
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert len([s for s in node.subscriptions if 'camera' in s.topic_name]) == 1
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
        assert not [s for s in node.subscriptions if 'camera' in s.topic_name]


def test_the_same_pixels_for_long_are_a_stuck_camera(bench, model) -> None:
    bench.start(EncoderNode, model=model, stuck_after_s=0.2)
    latents = bench.record(LatentTokens, 'latent', qos.SENSOR)
    told = bench.record(DiagnosticArray, '/diagnostics', qos.DIAGNOSTICS)
    images = bench.observer.create_publisher(Image, 'camera/image_raw', qos.SENSOR)
    bench.connected(images)
    pixels = np.zeros((3, 64, 64), np.uint8)

    def show() -> None:
        images.publish(to_image(pixels, bench.observer.get_clock().now().to_msg(), 'eye'))

    bench.until(lambda: show() or latents, 'a latent')
    bench.until(
        lambda: show() or (told and 'stuck' in told[-1].status[0].message), 'it to be noticed'
    )
    latents.clear()
    for _ in range(10):
        show()
        bench.executor.spin_once(timeout_sec=0.02)
    assert not latents
    pixels[0, 0, 0] = 1
    bench.until(lambda: show() or latents, 'a latent after all')


def test_a_goal_of_another_world_model_is_told_and_images_are_encoded(bench, model) -> None:
    (Path(model) / 'mfwm.safetensors').write_bytes(b'weights')
    ours = hashlib.sha256(b'weights').hexdigest()
    bench.start(EncoderNode, model=model)
    told = bench.record(DiagnosticArray, '/diagnostics', qos.DIAGNOSTICS)
    images = bench.observer.create_publisher(Image, 'camera/image_raw', qos.SENSOR)
    goals = bench.observer.create_publisher(LatentGoal, 'goal', qos.LATCHED)
    bench.connected(images)
    bench.connected(goals)
    rng = np.random.default_rng(0)

    def says(level: bytes, text: str) -> bool:
        pixels = rng.integers(0, 256, (3, 64, 64), np.uint8)
        images.publish(to_image(pixels, Time(sec=1), 'eye'))
        status = told[-1].status[0] if told else DiagnosticStatus()
        return (status.level, status.message) == (level, text)

    bench.until(lambda: says(DiagnosticStatus.OK, 'encodes'), 'the first image')
    goals.publish(LatentGoal(mfwm_sha256='abcdef' + 58 * '0'))
    warning = (
        "a goal does not fit the latents: it was grounded with the world model 'abcdef000000', "
        f'but {model} holds {ours[:12]!r}: start prompt_node and encoder_node with the same model'
    )
    bench.until(lambda: says(DiagnosticStatus.WARN, warning), 'a warning')
    goals.publish(LatentGoal(mfwm_sha256=ours))
    bench.until(lambda: says(DiagnosticStatus.OK, 'encodes'), 'its end')
