from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from genrl_ros.serving.robot.embodiment import absolute
from genrl_ros.serving.robot.embodiment_file import find_embodiment, load_embodiment
from genrl_ros.serving.robot.preflight import Endpoint, Seen, check
from genrl_ros.serving.robot.urdf import JointLimits

ROBOT = load_embodiment(find_embodiment('fr3_velocity'))
CAMERA, STATES, ARM, HAND = (absolute(topic) for topic in ROBOT.topics)
GROUPS = '/joint_group_velocity_controller/commands', '/hand_position_controller/commands'
ARRAY = 'std_msgs/msg/Float64MultiArray'
JOINTS = list(reversed(ROBOT.joints))


def image(**changes: object) -> SimpleNamespace:
    fields = {
        'header': SimpleNamespace(frame_id='camera_color_optical_frame'),
        'encoding': 'rgb8',
        'width': 640,
        'height': 480,
        'step': 1920,
        'data': bytes(1920 * 480),
    }
    return SimpleNamespace(**(fields | changes))


def joint_states(**changes: object) -> SimpleNamespace:
    where = dict.fromkeys(ROBOT.joints, 0.0) | {
        'fr3_joint4': -1.5, 'fr3_joint6': 1.5, 'fr3_finger_joint1': 0.02,
    }  # fmt: skip
    fields = {'name': JOINTS, 'position': [where[j] for j in JOINTS], 'velocity': []}
    return SimpleNamespace(**(fields | changes))


def good() -> Seen:
    return Seen(
        seconds=2.0,
        publishers={
            CAMERA: [Endpoint('camera', 'sensor_msgs/msg/Image')],
            STATES: [Endpoint('broadcaster', 'sensor_msgs/msg/JointState')],
            ARM: [Endpoint('command_gate', ARRAY)],
        },
        subscriptions={
            ARM: [
                Endpoint('joint_group_velocity_controller', ARRAY, joints=ROBOT.joints[:7]),
                Endpoint('recorder_node', ARRAY),
            ],
            HAND: [Endpoint('hand_position_controller', ARRAY, joints=ROBOT.joints[7:])],
        },
        counts={CAMERA: 60, STATES: 59},
        ages_s={CAMERA: 0.04, STATES: 0.002},
        image=image(),
        joint_states=joint_states(),
    )


def wrong(seen: Seen) -> list[str]:
    return [finding.what for finding in check(ROBOT, seen) if not finding.is_good]


def test_a_graph_as_promised_is_ready() -> None:
    findings = check(ROBOT, good())
    assert wrong(good()) == []
    assert any('640x480 rgb8' in finding.what for finding in findings)
    assert any('all 8 joints' in finding.what for finding in findings)


def changed(**changes: object) -> Seen:
    return dataclasses.replace(good(), **changes)


def subscribed(*takers: Endpoint) -> Seen:
    return changed(subscriptions={**good().subscriptions, ARM: takers})


def published(topic: str, *publishers: Endpoint) -> Seen:
    return changed(publishers={**good().publishers, topic: publishers})


SWAPPED = (*ROBOT.joints[1::-1], *ROBOT.joints[2:7])
FRAME = SimpleNamespace(frame_id='map')
MAKE = {
    'no camera': (published(CAMERA), f'{CAMERA}: nobody publishes it'),
    'compressed camera': (
        published(CAMERA, Endpoint('camera', 'sensor_msgs/msg/CompressedImage')),
        f'{CAMERA}: camera publishes sensor_msgs/msg/CompressedImage',
    ),
    'two cameras': (published(CAMERA, *good().publishers[CAMERA] * 2), '2 publish it'),
    'a quality of service': (
        published(STATES, Endpoint('b', 'sensor_msgs/msg/JointState', 'deadline')),
        'nothing would come from b: deadline',
    ),
    'silent camera': (changed(counts={STATES: 59}), f'{CAMERA}: no message in 2.0 s'),
    'slow camera': (changed(counts={CAMERA: 40, STATES: 59}), '20.0 messages a second'),
    'old stamps': (changed(ages_s={CAMERA: 3.0}), 'stamps are 3.000 s old'),
    'stamps of the future': (changed(ages_s={STATES: -9.0}), 'stamps are -9.000 s old'),
    'encoding': (changed(image=image(encoding='bgr8')), "encoding is 'bgr8'"),
    'size': (changed(image=image(width=320)), 'image is 320x480'),
    'frame': (changed(image=image(header=FRAME)), "frame is 'map'"),
    'renamed joint': (
        changed(joint_states=joint_states(name=['fr3_finger_1', *JOINTS[1:]])),
        "joint 'fr3_finger_joint1' is missing; is it 'fr3_finger_1' now?",
    ),
    'outside of limits': (
        changed(joint_states=joint_states(position=[0.02, 0.0, 0.1, 0.0, -1.5, 0.0, 0.0, 0.0])),
        'fr3_joint6 is at 0.100, outside of its limits',
    ),
    'not finite': (
        changed(joint_states=joint_states(position=[np.nan] * 8)),
        'the position of fr3_joint1 is not finite',
    ),
    'no controller': (subscribed(Endpoint('recorder_node', ARRAY)), 'nobody takes commands'),
    'controller of another kind': (
        subscribed(Endpoint('jtc', 'trajectory_msgs/msg/JointTrajectory')),
        'jtc takes trajectory_msgs',
    ),
    'latched controller': (
        subscribed(Endpoint('c', ARRAY, 'durability')), 'c would get no commands: durability',
    ),
    'other order': (
        subscribed(Endpoint('c', ARRAY, joints=SWAPPED)),
        'it has its joints in the order fr3_joint2',
    ),
    'other joints': (
        subscribed(Endpoint('c', ARRAY, joints=('x', *ROBOT.joints[1:7]))),
        "joint 'fr3_joint1' is missing",
    ),
    'a second commander': (
        published(ARM, Endpoint('teleop', ARRAY)), 'teleop publishes commands, too',
    ),
    'a clock': (changed(has_clock=True), 'somebody publishes /clock'),
    'narrower limits': (
        changed(urdf={'fr3_joint1': JointLimits((-1.0, 1.0), 1.0)}),
        'fr3_joint1: limits of position (-2.74, 2.74) contradict the URDF',
    ),
}  # fmt: skip


@pytest.mark.parametrize('name', MAKE)
def test_each_fault_is_found_and_has_a_remedy(name) -> None:
    seen, words = MAKE[name]
    found = [finding for finding in check(ROBOT, seen) if not finding.is_good]
    assert any(words in finding.what for finding in found), [f.what for f in found]
    assert all(finding.mend for finding in found)


def test_all_faults_are_found_at_once() -> None:
    seen = Seen(seconds=1.0, publishers={}, subscriptions={}, counts={}, ages_s={})
    assert len(wrong(seen)) == 4


def test_a_namespace_goes_before_every_topic() -> None:
    def moved(by_topic: dict) -> dict:
        return {f'/left{topic}': value for topic, value in by_topic.items()}

    seen = changed(
        publishers=moved(good().publishers),
        subscriptions=moved(good().subscriptions),
        counts=moved(good().counts),
        ages_s=moved(good().ages_s),
    )
    assert all(finding.is_good for finding in check(ROBOT, seen, 'left'))
    assert wrong(seen)
