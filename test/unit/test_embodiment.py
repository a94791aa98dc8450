from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from genrl_ros.serving.robot.command_values import values_of
from genrl_ros.serving.robot.embodiment import EmbodimentError
from genrl_ros.serving.robot.embodiment_checks import MAX_AGE_PERIODS
from genrl_ros.serving.robot.embodiment_file import (
    find_embodiment,
    load_embodiment,
    parse_embodiment,
)
from genrl_ros.serving.safety.filter import OLD
from genrl_ros.serving.safety.gate import Gate
from genrl_ros.system.share import share_path

SHIPPED = sorted(share_path('config', 'embodiments').glob('*.yaml'))
ROBOTS = [load_embodiment(path) for path in SHIPPED]
HERE = Path('robot.yaml')

ARM = {
    'name': 'arm',
    'control_rate_hz': 10,
    'camera': {'topic': 'image', 'encoding': 'rgb8', 'width': 64, 'height': 64},
    'joint_states': {'topic': 'joints', 'joints': ['extra']},
    'commands': [
        {
            'topic': 'velocity/commands',
            'interface': 'velocity_group',
            'channels': [
                {
                    'joint': name,
                    'unit': 'rad/s',
                    'scale': 1.0,
                    'reaction': 'zero',
                    'limits': {'position': [-2.0, 2.0], 'velocity': 1.5, 'acceleration': 5.0},
                }
                for name in ('shoulder', 'elbow')
            ],
        },
        {
            'topic': 'gripper/commands',
            'interface': 'position_group',
            'channels': [
                {
                    'joint': 'finger',
                    'unit': 'm',
                    'scale': 0.02,
                    'centre': 0.02,
                    'reaction': 'hold',
                    'limits': {'position': [0.0, 0.04], 'velocity': 0.1},
                }
            ],
        },
    ],
}


def arm() -> dict:
    return copy.deepcopy(ARM)


def channel(values: dict, index: int = 0, group: int = 0) -> dict:
    return values['commands'][group]['channels'][index]


def problems(values: dict) -> tuple[str, ...]:
    with pytest.raises(EmbodimentError) as caught:
        parse_embodiment(values, HERE)
    return caught.value.problems


@pytest.mark.parametrize('path', SHIPPED, ids=lambda path: path.stem)
def test_shipped_files_are_valid_and_named_after_their_robot(path) -> None:
    assert load_embodiment(path).name == path.stem
    assert find_embodiment(path.stem) == path


def test_there_is_an_example_of_every_interface() -> None:
    groups = [group for path in SHIPPED for group in load_embodiment(path).commands]
    assert {group.interface for group in groups} == {
        *('velocity_group', 'position_group', 'joint_trajectory', 'twist')
    }


def test_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(FileNotFoundError, match='shipped are: fr3_velocity, kitchen'):
        find_embodiment('r2d2')
    with pytest.raises(FileNotFoundError, match='is not a file'):
        find_embodiment('./r2d2.yaml')


def test_everything_wrong_is_reported_at_once(tmp_path) -> None:
    values = arm()
    values['control_rate_hz'] = 0
    values['camera']['encoding'] = 'yuv'
    values['camera']['crop'] = [0, 0, 10, 20]
    values['typo'] = 1
    channel(values)['unit'] = 'deg/s'
    channel(values)['scale'] = 9.0
    channel(values, 1)['limits']['position'] = [2.0, -2.0]
    channel(values, 0, 1)['reaction'] = 'zero'
    file = tmp_path / 'arm.yaml'
    file.write_text(yaml.safe_dump(values))
    with pytest.raises(EmbodimentError, match=f'^{file} cannot be used:') as caught:
        load_embodiment(file)
    text = str(caught.value)
    for part in (
        *('control_rate_hz must be', "camera: encoding is 'yuv'", 'camera: crop must be a square'),
        "unknown key 'typo'",
    ):
        assert part in text
    del values['typo']
    values['camera'] = ARM['camera']
    text = '\n'.join(problems(values))
    for part in (
        'control_rate_hz must be',
        'convert deg/s to rad/s',
        'shoulder: scale and limits contradict each other',
        'elbow: limits of position contradict each other',
        'finger: reaction `zero` would send the joint to position 0',
    ):
        assert part in text


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda v: v.pop('camera'), 'camera is missing'),
        (lambda v: v.pop('name'), 'name'),
        (lambda v: v.update(name='a/b'), 'name must be letters'),
        (lambda v: v.update(commands=[]), 'commands must be a list'),
        (lambda v: v.update(action_repeat=0), 'action_repeat must be at least 1'),
        (lambda v: v.update(action_repeat='2'), 'action_repeat must be int'),
        (lambda v: v['camera'].update(max_age_s=0.05), 'everything would be too old'),
        (lambda v: v['camera'].update(max_age_s=0.31), 'must be at most 0.3 (3 control periods)'),
        (lambda v: v['camera'].update(max_age_s=float('nan')), 'must be at most 0.3'),
        (lambda v: v.update(control_rate_hz=50), 'max_age_s is 0.2; at 50 commands a second'),
        (lambda v: v['camera'].update(crop='all'), 'crop must be four whole numbers'),
        (lambda v: v['camera'].update(crop=[0, 0, 65, 65]), 'is not inside of 64x64'),
        (lambda v: v['camera'].update(width=10**6, height=10**6), 'more than'),
        (lambda v: v['joint_states'].update(joints='extra'), 'must be a list of names'),
        (lambda v: v['commands'][0].update(interface='effort'), 'interface is'),
        (lambda v: v['commands'][0].update(interface='joint_trajectory'), 'needs a positive'),
        (lambda v: v['commands'][0].update(interface='twist'), 'a twist has an axis'),
        (lambda v: v['commands'][0].update(frame_id='base'), 'has no frame_id'),
        (lambda v: v['commands'][0].update(topic='image'), "topic 'image' is there 2 times"),
        (lambda v: v['commands'][0].update(channels=[]), 'has no channels'),
        (lambda v: channel(v).update(joint='elbow'), "joint 'elbow' is there 2 times"),
        (lambda v: channel(v).update(axis='linear.x'), 'has a joint for a channel'),
        (lambda v: channel(v).update(reaction='hold'), 'would let the joint run on'),
        (lambda v: channel(v).update(reaction='stop'), "reaction is 'stop'"),
        (lambda v: channel(v).update(mode='relative'), 'for positions only'),
        (lambda v: channel(v).update(scale=-1.0), 'scale must be positive'),
        (lambda v: channel(v).update(quantity='position'), "unknown key 'quantity'"),
        (lambda v: channel(v).pop('limits'), 'limits.velocity is missing'),
        (lambda v: channel(v)['limits'].update(velocity=0), 'velocity must be positive'),
        (lambda v: channel(v)['limits'].update(velocity='fast'), 'velocity must be a number'),
        (lambda v: channel(v)['limits'].update(jerk=float('nan')), 'jerk must be positive'),
        (lambda v: channel(v)['limits'].update(acceleration=0.2), 'to stop from velocity 1.5'),
        (lambda v: channel(v)['limits'].update(position=[1]), 'must be two numbers'),
        (lambda v: channel(v)['limits'].update(speed=1), "unknown key 'speed'"),
        (lambda v: channel(v, 0, 1)['limits'].pop('position'), 'limits.position is missing'),
        (lambda v: channel(v, 0, 1).update(centre=0.03), 'outside of 0 to 0.04'),
        (lambda v: channel(v, 0, 1).update(mode='relative'), 'above the limit of velocity'),
    ],
)
def test_each_mistake_is_named(change, words) -> None:
    values = arm()
    change(values)
    assert any(words in problem for problem in problems(values)), problems(values)


@pytest.mark.parametrize('robot', ROBOTS, ids=lambda robot: robot.name)
def test_the_gate_forwards_what_answers_the_oldest_image_that_may_be(robot) -> None:
    values = arm() | {'control_rate_hz': robot.control_rate_hz}
    values['camera']['max_age_s'] = MAX_AGE_PERIODS * robot.control_dt_s
    oldest_s = parse_embodiment(values, HERE).camera.max_age_s
    for age_s, verdict in (
        (robot.camera.max_age_s, 'forwarded'),
        (oldest_s, 'forwarded'),
        (oldest_s + 1e-3, OLD),
    ):
        gate = Gate(robot.channels, robot.control_dt_s)
        gate.release()
        gate.measure(np.zeros(len(robot.channels)), 0.0)
        gate.offer(np.zeros(len(robot.channels)), 0, round(age_s * 1e9), 0.0)
        assert gate.counts[verdict] == 1


def test_files_that_are_no_embodiments_are_refused(tmp_path) -> None:
    file = tmp_path / 'robot.yaml'
    for content, words in (
        (b'[1, 2]', 'must hold keys and values'),
        (b'a: [', 'is not YAML'),
        (b'a: 1\na: 2', "key 'a' is there twice"),
        (b'!!python/object/apply:os.system ["true"]', 'is not YAML'),
        (b'\xff\xfe\x00', 'is not YAML'),
        (b'#' * 300_000, 'are allowed'),
    ):
        file.write_bytes(content)
        with pytest.raises(EmbodimentError, match=words):
            load_embodiment(file)
    with pytest.raises(EmbodimentError, match='cannot be read'):
        load_embodiment(tmp_path / 'none.yaml')


URDF = """<robot name="arm">
  <joint name="shoulder" type="revolute"><limit lower="-1.5" upper="1.5" velocity="1.2"/></joint>
  <joint name="elbow" type="continuous"><limit effort="1" velocity="2"/></joint>
  <joint name="finger" type="prismatic"><limit lower="0" upper="0.04" velocity="0.1"/></joint>
  <joint name="base" type="fixed"/>
</robot>"""


def test_limits_come_from_a_urdf_where_the_file_has_none(tmp_path) -> None:
    (tmp_path / 'arm.urdf').write_text(URDF)
    values = arm() | {'urdf': 'arm.urdf'}
    del channel(values)['limits']
    shoulder, elbow, _ = parse_embodiment(values, tmp_path / 'arm.yaml').channels
    assert (shoulder.limits.position, shoulder.limits.velocity) == ((-1.5, 1.5), 1.2)
    assert (elbow.limits.position, elbow.limits.velocity) == ((-2.0, 2.0), 1.5)


def test_a_limit_of_zero_is_not_one_that_is_missing(tmp_path) -> None:
    (tmp_path / 'arm.urdf').write_text(URDF)
    values = arm() | {'urdf': 'arm.urdf'}
    channel(values)['limits'] = {'position': [-1.5, 1.5], 'velocity': 0}
    with pytest.raises(EmbodimentError, match='shoulder: limit of velocity must be positive'):
        parse_embodiment(values, tmp_path / 'arm.yaml')
    (tmp_path / 'arm.urdf').write_text(URDF.replace('velocity="1.2"', 'velocity="0"'))
    channel(values)['limits']['velocity'] = 1.2
    with pytest.raises(EmbodimentError, match='1.2 is above the 0 of the URDF'):
        parse_embodiment(values, tmp_path / 'arm.yaml')


def test_limits_that_contradict_the_urdf_are_reported(tmp_path) -> None:
    (tmp_path / 'arm.urdf').write_text(URDF)
    values = arm() | {'urdf': 'arm.urdf'}
    channel(values, 1)['joint'] = 'elbow_2'
    with pytest.raises(EmbodimentError) as caught:
        parse_embodiment(values, tmp_path / 'arm.yaml')
    assert [problem.split(':')[0] for problem in caught.value.problems] == [
        *('shoulder', 'shoulder', 'elbow_2')
    ]


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        ('<robot', 'is not XML'),
        ('<html/>', 'not with <robot>'),
        ('<!DOCTYPE r [<!ENTITY a "b">]><robot/>', 'declares entities'),
        (URDF.replace('-1.5', '${-pi/2}'), 'expand a xacro file first'),
    ],
)
def test_a_bad_urdf_is_refused(tmp_path, content, words) -> None:
    (tmp_path / 'arm.urdf').write_text(content)
    with pytest.raises(EmbodimentError, match=words):
        parse_embodiment(arm() | {'urdf': 'arm.urdf'}, tmp_path / 'arm.yaml')


@given(st.permutations(['finger', 'elbow', 'other', 'shoulder', 'extra']))
def test_joints_are_found_by_name_in_any_order(names) -> None:
    where = {'shoulder': 0.1, 'elbow': 0.2, 'finger': 0.3, 'extra': 0.4, 'other': 0.5}
    robot = parse_embodiment(ARM, HERE)
    measured = robot.measured(names, [where[n] for n in names], [10 * where[n] for n in names])
    assert measured.position.tolist() == [0.1, 0.2, 0.3]
    assert measured.velocity.tolist() == [1.0, 2.0, 3.0]


def test_joint_states_that_do_not_fit_say_all_of_it() -> None:
    robot = parse_embodiment(ARM, HERE)
    with pytest.raises(EmbodimentError) as caught:
        robot.measured(['shoulder', 'elbow_joint', 'finger', 'finger'], [np.nan, 0, 0, 0])
    assert caught.value.problems == (
        "joint 'elbow' is missing; is it 'elbow_joint' now?",
        "joint 'finger' comes 2 times",
        "joint 'extra' is missing",
        'the position of shoulder is not finite',
    )
    with pytest.raises(EmbodimentError, match='2 names, 1 positions and 0 velocities'):
        robot.measured(['shoulder', 'elbow'], [0.0])
    with pytest.raises(EmbodimentError, match='the velocity of elbow is not finite'):
        robot.measured(robot.joints, [0.0] * 4, [0.0, np.inf, 0.0, 0.0])


@given(st.lists(st.floats(-1, 1), min_size=6, max_size=6))
def test_a_command_says_which_action_it_was(numbers) -> None:
    for robot in ROBOTS:
        action = np.resize(np.array(numbers), len(robot.channels))
        reference = np.linspace(-1.0, 1.0, len(robot.channels))
        command = robot.to_command(action, reference)
        np.testing.assert_allclose(robot.to_action(command, reference), action, atol=1e-12)


def test_actions_become_commands_in_si_units_and_are_clipped() -> None:
    robot = parse_embodiment(ARM, HERE)
    command = robot.to_command(np.array([0.5, 7.0, -1.0], np.float32), np.zeros(3))
    assert command.tolist() == [0.5, 1.0, 0.0]
    arm_part, hand_part = robot.split(command)
    assert (arm_part.group.topic, arm_part.values.tolist()) == ('velocity/commands', [0.5, 1.0])
    assert (hand_part.group.joints, hand_part.values.tolist()) == (('finger',), [0.0])


def test_relative_channels_go_on_from_the_last_command() -> None:
    values = arm()
    channel(values, 0, 1).update(mode='relative', scale=0.005)
    robot = parse_embodiment(values, HERE)
    assert robot.to_command(np.ones(3), np.array([9.0, 9.0, 0.03]))[2] == pytest.approx(0.035)


def message(names, positions, points: int = 1) -> SimpleNamespace:
    point = SimpleNamespace(positions=positions)
    return SimpleNamespace(joint_names=names, points=[point] * points)


def test_a_trajectory_is_read_by_name() -> None:
    (group,) = load_embodiment(find_embodiment('ur5e_trajectory')).commands
    names = [*reversed(group.joints)]
    assert values_of(group, message(names, [5, 4, 3, 2, 1, 0])).tolist() == [0, 1, 2, 3, 4, 5]
    for bad, words in (
        (message(names[1:], [0.0] * 5), "'wrist_3_joint' is missing"),
        (message([*names, 'x'], [0.0] * 7), "'x' is unknown"),
        (message(names, [0.0] * 6, points=2), '2 points'),
        (message(names, [0.0] * 5), '5 positions for 6 joints'),
        (message(names, [np.nan] * 6), 'not finite'),
    ):
        with pytest.raises(EmbodimentError, match=words):
            values_of(group, bad)


def twist(frame: str, **axes: float) -> SimpleNamespace:
    parts = {
        part: SimpleNamespace(**{a: axes.get(f'{part}_{a}', 0.0) for a in 'xyz'})
        for part in ('linear', 'angular')
    }
    return SimpleNamespace(header=SimpleNamespace(frame_id=frame), twist=SimpleNamespace(**parts))


def test_a_twist_is_read_by_axis_and_frame() -> None:
    group, _ = load_embodiment(find_embodiment('ur5e_servo')).commands
    values = values_of(group, twist('base_link', linear_y=0.1, angular_z=0.2))
    assert values.tolist() == [0.0, 0.1, 0.0, 0.2]
    with pytest.raises(EmbodimentError, match='in frame'):
        values_of(group, twist('tool0'))
    with pytest.raises(EmbodimentError, match='moves angular.x'):
        values_of(group, twist('base_link', angular_x=0.1))


@pytest.mark.parametrize('data', [[], [1.0], [1.0, 2.0, 3.0], [[1.0, 2.0]], [np.inf, 0.0]])
def test_a_group_command_of_another_size_is_refused(data) -> None:
    group = parse_embodiment(ARM, HERE).commands[0]
    with pytest.raises(EmbodimentError, match='command on velocity/commands has'):
        values_of(group, SimpleNamespace(data=data))
