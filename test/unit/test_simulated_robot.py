from __future__ import annotations

import pytest

from genrl_ros.domains import registry
from genrl_ros.domains.base import RobotSpec
from genrl_ros.serving.robot.embodiment import EmbodimentError
from genrl_ros.serving.robot.simulated import simulated_robot


def spec(unit: str, camera_rate_hz: float = 50.0, action_repeat: int = 2) -> RobotSpec:
    names, scale = ('hip', 'knee'), (2.0, 1.0)
    return RobotSpec('legs', names, scale, (unit,) * 2, 0.01, action_repeat, camera_rate_hz)


@pytest.mark.parametrize(
    ('unit', 'interface', 'reaction'),
    [
        ('rad/s', 'velocity_group', 'zero'),
        ('rad', 'position_group', 'hold'),
        ('N m', 'effort_group', 'stop_time'),
    ],
)
def test_a_domain_tells_how_its_robot_is_driven(unit, interface, reaction) -> None:
    robot = simulated_robot(spec(unit), 100)
    assert robot.spec() == spec(unit)
    assert robot.commands[0].interface == interface
    assert {channel.reaction for channel in robot.channels} == {reaction}
    assert (robot.command_rate_hz, robot.policy_rate_hz, robot.camera_rate_hz) == (100, 50, 50)
    assert robot.commands_per_answer == 2
    assert robot.camera.max_age_s == pytest.approx(0.04)
    assert robot.joint_states.max_age_s == pytest.approx(0.02)


def test_the_kitchens_camera_is_as_fast_as_its_commands() -> None:
    robot = simulated_robot(registry.get('kitchen').robot, 140)
    assert robot.commands_per_answer == 1
    assert robot.camera.max_age_s == pytest.approx(0.16)


@pytest.mark.parametrize(
    ('robot', 'words'),
    [
        (spec('V'), 'its units do not tell how it is commanded: V, V'),
        (spec('N m', camera_rate_hz=30.0), 'needs an image for each action'),
    ],
)
def test_a_robot_that_cannot_be_driven_says_why(robot, words) -> None:
    with pytest.raises(EmbodimentError, match=words):
        simulated_robot(robot, 100)
