from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from genrl_ros.serving.robot.command_values import values_of
from genrl_ros.serving.robot.embodiment import EmbodimentError, Home
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
    'command_rate_hz': 10,
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


WALKER = {
    'name': 'walker',
    'command_rate_hz': 100,
    'action_repeat': 2,
    'camera': {'topic': 'image', 'encoding': 'rgb8', 'width': 64, 'height': 64, 'rate_hz': 50,
               'max_age_s': 0.04},
    'joint_states': {'joints': ['hip', 'knee', 'ankle']},
    'commands': [
        {
            'topic': 'effort/commands',
            'interface': 'effort_group',
            'channels': [
                {'joint': 'hip', 'unit': 'N m', 'scale': 100, 'reaction': 'zero',
                 'limits': {'effort': 120, 'effort_rate': 4000}},
                {'name': 'extend_leg', 'unit': 'N', 'scale': 50, 'reaction': 'zero',
                 'limits': {'effort': 50}},
            ],
        }
    ],
}  # fmt: skip


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
        *('velocity_group', 'position_group', 'effort_group', 'joint_trajectory', 'twist')
    }


def test_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(FileNotFoundError, match='shipped are: fr3_velocity, kitchen'):
        find_embodiment('r2d2')
    with pytest.raises(FileNotFoundError, match='is not a file'):
        find_embodiment('./r2d2.yaml')


def test_everything_wrong_is_reported_at_once(tmp_path) -> None:
    values = arm()
    values['command_rate_hz'] = 0
    values['camera']['encoding'] = 'yuv'
    values['camera']['crop'] = [0, 0, 10, 20]
    values['typo'] = 1
    values['urdf'] = 'none.urdf'
    values['joint_states'] |= {'rate_hz': '1e2', 'joints': ['extra', 3]}
    channel(values)['unit'] = 'deg/s'
    channel(values)['scale'] = 9.0
    channel(values, 1)['limits'] = {'position': [2.0, -2.0], 'velocity': 1.5}
    channel(values, 0, 1)['reaction'] = 'zero'
    values['commands'].append(
        {'topic': 'base', 'interface': 'twist', 'channels': [{'axis': 'up'}]}
    )
    values['commands'].append('more')
    file = tmp_path / 'arm.yaml'
    file.write_text(yaml.safe_dump(values))
    with pytest.raises(EmbodimentError, match=f'^{file} cannot be used:') as caught:
        load_embodiment(file)
    wanted = [
        f'URDF {tmp_path}/none.urdf cannot be read: No such file or directory',
        "shoulder: unit is 'deg/s'; a velocity is in rad/s or m/s; values are SI: convert deg/s "
        'to rad/s',
        'shoulder: scale and limits contradict each other: an action of 1.0 is 9 deg/s, above the '
        'limit of velocity 1.5',
        'elbow: limits of position contradict each other: 2.0 is not below -2.0',
        'finger: reaction `zero` would send the joint to position 0; write `hold`',
        'command_rate_hz must be above 0, is 0',
        "camera: encoding is 'yuv'; there are: rgb8, bgr8, rgba8, bgra8, mono8, jpeg, png",
        'camera: crop must be a square, is 10x20',
        'up: unit is missing',
        'up: scale is missing',
        'up: reaction is missing',
        "commands[3] must be keys and values, is 'more'",
        "joint_states.joints must be a list of names, is ['extra', 3]",
        "joint_states.rate_hz must be a number, is '1e2' (write 1e-4 as 1.0e-4)",
        "unknown key 'typo'; known: name, command_rate_hz, camera, commands, joint_states, "
        'action_repeat, episode_steps, home, use_sim_time, urdf',
    ]
    assert sorted(caught.value.problems) == sorted(wanted)


def test_messages_stay_short_whatever_a_file_holds(tmp_path) -> None:
    many = 'x' * 100_000
    values = arm() | {'name': many, many: many, 'action_repeat': many, 'urdf': many}
    values['commands'][0]['topic'] = many
    values['commands'][0]['frame_id'] = many
    values['camera'] |= {'encoding': many, 'crop': [10**300] * 4}
    channel(values).update(joint=many, unit=many, reaction=many)
    channel(values, 1).update(name=many, mode=many, limits={many: 1})
    values['joint_states']['joints'] = [[1] * 10_000]
    assert all(len(problem) < 400 for problem in problems(values))
    file = tmp_path / 'robot.yaml'
    for content in (f'{many}: 1\n{many}: 2', f'a: *{many}', f'a: !{many} 1', 'a: ' + '1' * 9_999):
        file.write_text(content)
        with pytest.raises(EmbodimentError) as caught:
            load_embodiment(file)
        assert len(str(caught.value)) < 500
    file.write_text(''.join(f'k{i}: 1\n' for i in range(20_000)))
    with pytest.raises(EmbodimentError) as caught:
        load_embodiment(file)
    assert caught.value.problems[-1] == 'and 19964 more'


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
anything = st.recursive(
    scalars | st.just(10**400),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(), parts, max_size=3),
    max_leaves=5,
)


def places(values: object, path: tuple = ()) -> Iterator[tuple]:
    """Where something is in the contents of a file."""
    yield path
    if isinstance(values, list):
        values = dict(enumerate(values))
    for key, value in values.items() if isinstance(values, dict) else ():
        yield from places(value, (*path, key))


@pytest.mark.parametrize('original', [ARM, WALKER], ids=['arm', 'walker'])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_stands_in_a_file_it_is_read_or_refused_in_words(original, data) -> None:
    values = copy.deepcopy(original)
    values['urdf'] = data.draw(st.none() | scalars)
    for _ in range(data.draw(st.integers(1, 3))):
        *path, last = data.draw(st.sampled_from([*places(values)][1:]))
        part = values
        for key in path:
            part = part[key]
        part[last] = data.draw(anything)
    try:
        robot = parse_embodiment(values, HERE)
    except EmbodimentError as error:
        assert error.problems
        assert all(isinstance(problem, str) and problem for problem in error.problems)
    else:
        command = robot.to_command(np.ones(len(robot.channels)), np.zeros(len(robot.channels)))
        assert np.isfinite(command).all()


@pytest.mark.parametrize('reference', ['&rate 10', '*rate', '[&a [1], *a, *a]'])
def test_aliases_are_refused(tmp_path, reference) -> None:
    file = tmp_path / 'robot.yaml'
    file.write_text(f'name: arm\ncommand_rate_hz: {reference}\n')
    with pytest.raises(EmbodimentError, match='anchors and aliases .* not allowed .line 2'):
        load_embodiment(file)


def test_the_older_name_of_the_command_rate_is_read() -> None:
    values = arm()
    values['control_rate_hz'] = values.pop('command_rate_hz')
    assert parse_embodiment(values, HERE).command_rate_hz == 10
    values['command_rate_hz'] = 10
    assert problems(values) == (
        "unknown key 'control_rate_hz': it is an older name of command_rate_hz, which is there, "
        'too',
    )


@pytest.mark.parametrize(
    ('camera_hz', 'commands_per_answer'),
    [(0, 1), (200, 1), (100, 1), (75, 4), (25, 4)],
)
def test_commands_policy_and_camera_have_rates_of_their_own(
    camera_hz, commands_per_answer
) -> None:
    values = arm() | {'command_rate_hz': 100, 'action_repeat': 4}
    values['camera'] |= {'rate_hz': camera_hz, 'max_age_s': 0.02 * commands_per_answer}
    robot = parse_embodiment(values, HERE)
    assert (robot.control_dt_s, robot.policy_rate_hz) == (0.01, 25)
    assert robot.camera_rate_hz == (camera_hz or 100)
    assert robot.commands_per_answer == commands_per_answer
    assert robot.answer_dt_s == pytest.approx(0.01 * commands_per_answer)


def test_a_camera_slower_than_the_policy_is_refused() -> None:
    values = arm() | {'command_rate_hz': 100, 'action_repeat': 4}
    values['camera'] |= {'rate_hz': 24, 'max_age_s': 0.1}
    (problem,) = problems(values)
    assert problem.startswith(
        'camera.rate_hz is 24, but the policy acts 25 times a second (command_rate_hz / '
        'action_repeat) and needs an image for each action'
    )


def walker() -> dict:
    return copy.deepcopy(WALKER)


def test_actions_need_not_be_joints() -> None:
    robot = parse_embodiment(WALKER, HERE)
    assert robot.action_names == ('hip', 'extend_leg')
    assert robot.joints == ('hip', 'knee', 'ankle')
    assert robot.commands[0].joints == ('hip', 'extend_leg')
    measured = robot.measured(['ankle', 'knee', 'hip'], [3.0, 2.0, 1.0], [30.0, 20.0, 10.0])
    np.testing.assert_array_equal(measured.position, [1.0, np.nan])
    assert robot.to_command(np.array([0.5, -1.0]), np.zeros(2)).tolist() == [50.0, -50.0]
    assert robot.spec().action_names == ('hip', 'extend_leg')


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda v: channel(v).update(unit='Nm'), 'convert Nm to N m'),
        (lambda v: channel(v).update(unit='rad'), "unit is 'rad'; an effort is in N m or N"),
        (lambda v: channel(v).update(reaction='hold'), 'would let the effort act on'),
        (lambda v: channel(v).update(reaction='none'), 'would let the effort act on'),
        (lambda v: channel(v).update(scale=130), '130 N m, above the limit of effort 120'),
        (lambda v: channel(v).update(mode='relative'), 'for positions only'),
        (lambda v: channel(v)['limits'].pop('effort'), 'limits.effort is missing'),
        (lambda v: channel(v)['limits'].update(velocity=1), 'limits.velocity is not for effort'),
        (lambda v: channel(v)['limits'].update(position=[0, 1]), 'limits.position is not for'),
        (lambda v: channel(v, 1).pop('name'), 'a channel without a name: give it a joint'),
        (lambda v: channel(v, 1).update(name='hip'), "channel 'hip' is there 2 times"),
    ],
)
def test_each_mistake_about_efforts_is_named(change, words) -> None:
    values = walker()
    change(values)
    assert any(words in problem for problem in problems(values)), problems(values)


def test_time_stops_for_all_channels_of_a_simulated_robot_or_for_none() -> None:
    values = walker()
    assert not parse_embodiment(values, HERE).stops_time
    channel(values)['reaction'] = 'stop_time'
    assert problems(values) == (
        'reaction `stop_time` is for simulators, with use_sim_time: true',
        'extend_leg: reaction is `zero`, but time stops for all channels or for none: write '
        '`stop_time` everywhere',
    )
    channel(values, 1)['reaction'] = 'stop_time'
    assert parse_embodiment(values | {'use_sim_time': True}, HERE).stops_time


def test_limits_of_what_has_no_position_are_refused() -> None:
    values = arm()
    del channel(values)['joint']
    channel(values)['name'] = 'tendon'
    assert problems(values) == ('tendon: limits.position needs a joint, whose position is known',)
    values['commands'][1]['channels'][0] |= {'joint': '', 'name': 'thumb'}
    assert any('position_group needs a joint' in problem for problem in problems(values))


def test_a_urdf_limits_efforts_too(tmp_path) -> None:
    (tmp_path / 'walker.urdf').write_text(
        '<robot name="walker"><joint name="hip" type="revolute">'
        '<limit lower="-1" upper="1" velocity="9" effort="110"/></joint></robot>'
    )
    values = walker() | {'urdf': 'walker.urdf'}
    with pytest.raises(EmbodimentError, match='limit of effort 120 is above the 110 of the URDF'):
        parse_embodiment(values, tmp_path / 'walker.yaml')
    del channel(values)['limits']
    hip, _ = parse_embodiment(values, tmp_path / 'walker.yaml').channels
    assert (hip.limits.effort, hip.limits.position, hip.limits.velocity) == (110, None, None)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda v: v.pop('camera'), 'camera is missing'),
        (lambda v: v.pop('name'), 'name is missing'),
        (lambda v: v.update(name='a/b'), 'name must be letters'),
        (lambda v: v.update(commands=[]), 'commands must be a list with something'),
        (lambda v: v.update(action_repeat=0), 'action_repeat must be at least 1'),
        (lambda v: v.update(action_repeat='2'), 'action_repeat must be a whole number'),
        (lambda v: v['camera'].update(max_age_s=0.05), 'everything would be too old'),
        (
            lambda v: v['camera'].update(max_age_s=0.31),
            'must be at most 0.3, the time of 3 images',
        ),
        (lambda v: v['camera'].update(max_age_s=float('nan')), 'max_age_s must be finite'),
        (lambda v: v.update(command_rate_hz=50), 'max_age_s is 0.2; it must be at most 0.06'),
        (lambda v: v['camera'].update(crop='all'), 'crop must be four whole numbers'),
        (lambda v: v['camera'].update(crop=[0, 0, 65, 65]), 'is not inside of 64x64'),
        (lambda v: v['camera'].update(width=10**6, height=10**6), 'more than'),
        (lambda v: v['joint_states'].update(joints='extra'), 'must be a list of names'),
        (lambda v: v['commands'][0].update(interface='effort'), 'interface must be one of'),
        (lambda v: v['commands'][0].update(interface='joint_trajectory'), 'needs a positive'),
        (lambda v: v['commands'][0].update(interface='twist'), 'a twist has an axis'),
        (lambda v: v['commands'][0].update(frame_id='base'), 'has no frame_id'),
        (lambda v: v['commands'][0].update(topic='image'), "topic 'image' is there 2 times"),
        (lambda v: v['commands'][0].update(channels=[]), 'has no channels'),
        (lambda v: channel(v).update(joint='elbow'), "joint 'elbow' is there 2 times"),
        (lambda v: channel(v).update(axis='linear.x'), 'has a joint for a channel'),
        (lambda v: channel(v).update(reaction='hold'), 'would let the joint run on'),
        (
            lambda v: channel(v).update(reaction='stop'),
            "must be one of 'hold', 'zero', 'stop_time' or 'none', is 'stop'",
        ),
        (lambda v: channel(v).update(mode='relative'), 'for positions only'),
        (lambda v: channel(v).update(scale=-1.0), 'shoulder: scale must be above 0, is -1.0'),
        (lambda v: channel(v).update(quantity='position'), "unknown key 'quantity'"),
        (lambda v: channel(v).pop('limits'), 'limits.velocity is missing'),
        (lambda v: channel(v)['limits'].update(velocity=0), 'velocity must be above 0'),
        (lambda v: channel(v)['limits'].update(velocity='fast'), 'velocity must be a number'),
        (lambda v: channel(v)['limits'].update(jerk=float('nan')), 'jerk must be finite'),
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
    values = arm() | {
        'command_rate_hz': robot.command_rate_hz,
        'action_repeat': robot.action_repeat,
    }
    values['camera'] |= {
        'max_age_s': MAX_AGE_PERIODS * robot.answer_dt_s,
        'rate_hz': robot.camera_rate_hz,
    }
    oldest_s = parse_embodiment(values, HERE).camera.max_age_s
    for age_s, verdict in (
        (robot.camera.max_age_s, 'forwarded'),
        (oldest_s, 'forwarded'),
        (oldest_s + 1e-3, OLD),
    ):
        gate = Gate(robot.channels, robot.answer_dt_s)
        gate.release()
        clock_ns = round(age_s * 1e9)
        gate.measure(np.zeros(len(robot.channels)), clock_ns, clock_ns, 0.0)
        gate.offer(np.zeros(len(robot.channels)), 0, clock_ns, 0.0)
        assert gate.counts[verdict] == 1


def test_files_that_are_no_embodiments_are_refused(tmp_path) -> None:
    file = tmp_path / 'robot.yaml'
    for content, words in (
        (b'[1, 2]', 'must hold keys and values'),
        (b'a: [', 'is not plain YAML'),
        (b'a: 1\na: 2', "key 'a' is there twice"),
        (b'!!python/object/apply:os.system ["true"]', 'tags'),
        (b'\xff\xfe\x00', 'is not plain YAML'),
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
    with pytest.raises(EmbodimentError, match='shoulder: limits.velocity must be above 0'):
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


def test_messages_with_very_many_names_take_no_time_and_give_short_texts() -> None:
    names = [f'{"wrist_3_jointx" * 20}{i}' for i in range(50_000)]
    names += [f'wrist_3_joint_{i}' for i in range(50_000)]
    robot = load_embodiment(find_embodiment('ur5e_trajectory'))
    began = time.monotonic()
    with pytest.raises(EmbodimentError, match='is it .* now?') as caught:
        values_of(robot.commands[0], message(names, [0.0] * len(names)))
    assert len(str(caught.value)) < 10_000
    with pytest.raises(EmbodimentError, match='is it .* now?') as caught:
        robot.measured(names, [0.0] * len(names))
    assert len(str(caught.value)) < 2_000
    assert time.monotonic() - began < 5.0


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


@pytest.mark.parametrize(('size', 'said'), [(64, False), (8, True)])
def test_the_size_of_images_is_read_from_older_files_and_counts_for_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, size: int, said: bool
) -> None:
    shipped = find_embodiment('kitchen').read_text()
    older = tmp_path / 'older.yaml'
    older.write_text(shipped.replace('  width: 64\n', f'  width: 64\n  size: {size}\n'))
    assert load_embodiment(older) == load_embodiment(find_embodiment('kitchen'))
    assert ('64 x 64 pixels. Remove the key' in caplog.text) == said


def test_a_home_is_read() -> None:
    values = arm() | {'home': {'positions': {'elbow': 1.0, 'finger': 0.01}, 'speed': 0.1}}
    home = parse_embodiment(values, HERE).home
    assert home == Home({'elbow': 1.0, 'finger': 0.01}, speed=0.1, tolerance=0.03)
    assert parse_embodiment(arm(), HERE).home is None


def test_everything_that_is_wrong_with_a_home_is_said() -> None:
    values = arm() | {'home': {'positions': {'elbow': 3, 'extra': 0, 'wrist': 0}, 'speed': 1.0}}
    values['commands'][1]['channels'][0]['limits']['velocity'] = 2.0
    assert problems(values) == (
        'home.positions: elbow is 3, outside of its limits of -2 to 2',
        "home.positions: 'extra' is not commanded by velocity or position; those are: shoulder, "
        'elbow, finger',
        "home.positions: 'wrist' is not commanded by velocity or position; those are: shoulder, "
        'elbow, finger',
    )
    values['home'] = {'positions': {'elbow': 1.0}, 'speed': 2.0}
    assert problems(values) == ('home.speed is 2, above the limit of velocity 1.5 of elbow',)
    walker = copy.deepcopy(WALKER) | {'home': {'positions': {'hip': 0.0}, 'speed': 1.0}}
    assert problems(walker) == (
        "home.positions: 'hip' is not commanded by velocity or position; those are: none",
    )


@pytest.mark.parametrize(
    ('home', 'problem'),
    [
        ('there', "home must be keys and values, is 'there'"),
        ({'speed': 1.0}, 'home.positions is missing'),
        ({'positions': {'elbow': 1.0}}, 'home.speed is missing'),
        ({'positions': [], 'speed': 1.0}, 'home.positions must be keys and values, is []'),
        ({'positions': {}, 'speed': 1.0}, 'home.positions names no joint'),
        (
            {'positions': {'elbow': 'up'}, 'speed': 1.0},
            "home.positions.elbow must be a number, is 'up'",
        ),
        ({'positions': {'elbow': 1.0}, 'speed': 0}, 'home.speed must be above 0, is 0'),
        (
            {'positions': {'elbow': 1.0}, 'speed': 1.0, 'way': 'up'},
            "home: unknown key 'way'; known: positions, speed, tolerance",
        ),
    ],
)
def test_a_home_of_the_wrong_form_is_refused(home, problem) -> None:
    (said,) = problems(arm() | {'home': home})
    assert said.startswith(problem)
