from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from genrl_ros.nodes.ros import conversions
from genrl_ros.nodes.ros.conversions import MessageError

STAMP = Time(sec=3, nanosec=250_000_000)


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 64, 64), np.uint8)


def over_the_wire(message: object) -> object:
    return deserialize_message(serialize_message(message), type(message))


def test_times_keep_their_nanoseconds() -> None:
    assert conversions.from_stamp(STAMP) == 3_250_000_000
    assert conversions.to_stamp(3_250_000_000) == STAMP


def test_an_image_survives(pixels) -> None:
    message = over_the_wire(conversions.to_image(pixels, STAMP, 'eye'))
    assert (message.encoding, message.step) == ('rgb8', 192)
    assert (conversions.from_image(message, 64) == pixels).all()


def test_bgr_and_padded_rows_are_understood(pixels) -> None:
    padded = np.zeros((64, 256), np.uint8)
    padded[:, :192] = pixels[::-1].transpose(1, 2, 0).reshape(64, 192)
    message = Image(height=64, width=64, encoding='bgr8', step=256, data=padded.tobytes())
    assert (conversions.from_image(message, 64) == pixels).all()


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'encoding': 'rgba8'}, "encoding is 'rgba8'"),
        ({'encoding': 'x' * 10_000}, "encoding is 'xxxxxxxxxxxxxxxxxxxx'"),
        ({'height': 480, 'width': 640}, 'image is 640x480; 64x64 is needed'),
        ({'height': 0, 'width': 0}, 'image is 0x0'),
        ({'step': 191}, 'does not fit'),
        ({'step': 2**32 - 1}, 'does not fit'),
        ({'data': b'123'}, 'image has 3 bytes'),
    ],
)
def test_an_image_of_another_form_is_refused(pixels, changes, message) -> None:
    image = conversions.to_image(pixels, STAMP, 'eye')
    for name, value in changes.items():
        setattr(image, name, value)
    with pytest.raises(MessageError, match=message):
        conversions.from_image(image, 64)


def test_latents_survive() -> None:
    tokens = np.array([0, 15, 7, 3])
    message = over_the_wire(conversions.to_latent(tokens, 16, 'abc', Header(stamp=STAMP)))
    assert (conversions.from_latent(message, 4, 16) == tokens).all()
    with pytest.raises(MessageError, match='4 categoricals of 16 classes'):
        conversions.from_latent(message, 4, 8)
    message.tokens[1] = 16
    with pytest.raises(MessageError, match='a token 16'):
        conversions.from_latent(message, 4, 16)


def test_goals_survive() -> None:
    goal = conversions.Goal(
        task_id='a-task',
        prompt='open it',
        source='text',
        embedding=np.linspace(-1, 1, 5, dtype=np.float32),
        mfwm_sha256='f' * 64,
        learn=True,
        from_here=True,
    )
    message = over_the_wire(conversions.to_goal(goal, STAMP))
    back = conversions.from_goal(message)
    assert (back.embedding == goal.embedding).all()
    back = replace(back, embedding=goal.embedding)
    assert back == goal
    message.embedding[2] = math.nan
    with pytest.raises(MessageError, match='empty or not finite'):
        conversions.from_goal(message)


def test_task_state_and_markers_tell_what_is_done() -> None:
    tasks = {'microwave': (1.0, True), 'light': (0.25, False)}
    readings, units = {'microwave': -0.7, 'slide': 0.0}, {'microwave': 'rad', 'slide': 'm'}
    state = over_the_wire(conversions.to_task_state(tasks, readings, units, STAMP))
    assert (state.tasks, list(state.success)) == (['microwave', 'light'], [True, False])
    assert (state.readings, state.units) == (['microwave', 'slide'], ['rad', 'm'])
    assert (list(state.rewards), list(state.values)) == ([1.0, 0.25], [-0.7, 0.0])
    markers = over_the_wire(conversions.to_task_markers(state)).markers
    assert [marker.text for marker in markers] == [
        'microwave: done', 'light: reward 0.25', 'microwave -0.70 rad', 'slide 0.00 m'
    ]  # fmt: skip
