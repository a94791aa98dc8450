"""Faults of those who operate the graph, and the stop that is theirs."""

from __future__ import annotations

import os
import signal
import time

import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters

T = 0.08


def ms(seconds: float) -> str:
    return f'{seconds * 1000:.0f} ms'


@pytest.mark.row(22)
def fault_senseless_requests(driving, measured) -> None:
    for name in ('policy_node', 'command_gate', 'encoder_node'):
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value='no robot')
        answer = driving.call(
            SetParameters,
            f'{name}/set_parameters',
            SetParameters.Request(parameters=[Parameter(name='embodiment', value=value)]),
        )
        assert not answer.results[0].successful
        assert answer.results[0].reason
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP, 99):
            request = ChangeState.Request(transition=Transition(id=transition))
            assert not driving.call(ChangeState, f'{name}/change_state', request).success
        state = driving.call(GetState, f'{name}/get_state', GetState.Request())
        assert state.current_state.label == 'active'
    assert driving.moving
    measured('read-only parameters and wrong transitions are refused; the robot is driven on')


@pytest.mark.row(26)
def fault_emergency_stop(driving, measured) -> None:
    began = time.monotonic()
    assert driving.gate('emergency_stop').success
    stopped = driving.begin_stop(began) - began
    rest = driving.wait_still() - began
    count = len(driving.robot.commands)
    driving.until(lambda: len(driving.robot.commands) > count + 12, 'a second of holding')
    assert all(not command.any() for _, command in driving.robot.commands[count:])
    for name in ('pause', 'resume'):
        assert not driving.gate(name).success
    assert driving.gate('release').success
    driving.wait_driving()
    measured(f'brakes {ms(stopped)} after the call, at rest after {ms(rest)}; '
             'holds until it is released')  # fmt: skip
    assert stopped <= 2 * T


@pytest.mark.row(27)
@pytest.mark.parametrize('moving', [False, True], ids=['stopped', 'driving'])
def fault_gate_dies(driving, measured, moving) -> None:
    if not moving:
        driving.gate('emergency_stop')
        driving.wait_still()
    os.kill(driving.processes.pids['command_gate'], signal.SIGKILL)
    killed = time.monotonic()
    driving.until(
        lambda: driving.robot.gate[-1][0] > killed and driving.robot.gate[-1][1] == 'stopped',
        'the gate to be back',
    )
    back = time.monotonic() - killed
    driving.until(lambda: driving.robot.commands[-1][0] > killed + T, 'a command')
    driving.forget_commands()  # it cannot know how fast the robot is: a stop is all it has
    count = len(driving.robot.commands)
    driving.until(lambda: len(driving.robot.commands) > count + 12, 'a second of commands')
    assert all(not command.any() for _, command in driving.robot.commands[count:])
    assert driving.gate('release').success
    driving.wait_driving()
    when = 'driving' if moving else 'stopped'
    measured(f'while {when}: back after {back:.1f} s; stopped, and tells the robot to rest, until '
             'it is released')  # fmt: skip
