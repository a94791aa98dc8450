"""The way home, of positions and of joints that something pulls at."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from genrl_ros.serving.robot.embodiment import Embodiment, Home
from genrl_ros.serving.robot.embodiment_file import find_embodiment, load_embodiment
from genrl_ros.serving.safety.homing import Homing

KITCHEN = load_embodiment(find_embodiment('kitchen'))
TRAJECTORY = load_embodiment(find_embodiment('ur5e_trajectory'))


def with_home(robot: Embodiment, **positions: float) -> Embodiment:
    return dataclasses.replace(robot, home=Home(positions, speed=0.5, tolerance=0.02))


def test_positions_go_home_in_steps_and_others_stay() -> None:
    joint = TRAJECTORY.channels[1].joint
    robot = with_home(TRAJECTORY, **{joint: 0.3})
    homing, position = Homing(robot), np.full(len(robot.channels), 0.1)
    steps = []
    while not homing.arrived:
        homing.see(position)
        assert not homing.blocked
        command = homing.command(position)
        steps.append(np.abs(command - position).max())
        position = command
    assert max(steps) == pytest.approx(0.5 * robot.control_dt_s)
    assert position[1] == pytest.approx(0.3)
    assert (np.delete(position, 1) == 0.1).all()


@pytest.mark.parametrize('sag', [0.0, 0.17, -0.17])
def test_a_joint_that_sinks_gets_home_all_the_same(sag) -> None:
    """`sag` rad/s pull at it whenever it is commanded to move, and it is held at rest."""
    homing = Homing(with_home(KITCHEN, panda_joint2=-1.0))
    position, taken = np.zeros(9), 0
    while not homing.arrived:
        homing.see(position)
        assert not homing.blocked
        command = homing.command(np.zeros(9))
        assert np.abs(command).max() <= 0.5 and not np.delete(command, 1).any()
        position = position + (command - sag * (command != 0)) * KITCHEN.control_dt_s
        taken += 1
    assert position[1] == pytest.approx(-1.0, abs=0.02)
    assert taken * KITCHEN.control_dt_s < 8.0


def test_a_robot_that_does_not_stay_is_not_there() -> None:
    homing = Homing(with_home(KITCHEN, panda_joint2=0.0))
    homing.see(np.full(9, 0.5))
    for away in (0.0, 0.5) * 20:
        homing.see(np.full(9, away))
        assert not homing.arrived
