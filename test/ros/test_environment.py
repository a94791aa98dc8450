"""A bad environment variable is named in one line, with what to do, whoever meets it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genrl_ros.cli.commands import doctor
from genrl_ros.cli.main import main
from genrl_ros.deploy.graph import NODES, command
from genrl_ros.system.environment import VariableError, check_drawing, check_ros

ROS = [
    ('ROS_DOMAIN_ID', 'abc', 'must be a number from 0 to 232'),
    ('ROS_DOMAIN_ID', '300', 'must be a number from 0 to 232'),
    ('ROS_DOMAIN_ID', '-1', 'must be a number from 0 to 232'),
    ('ROS_DOMAIN_ID', '9' * 30, 'must be a number from 0 to 232'),
    ('ROS_AUTOMATIC_DISCOVERY_RANGE', 'near', 'must be one of SUBNET, LOCALHOST'),
    ('RCUTILS_LOGGING_USE_STDOUT', 'maybe', 'must be one of 0, 1'),
    ('RMW_IMPLEMENTATION', 'rmw_nowhere_cpp', 'is not installed'),
    ('FASTDDS_DEFAULT_PROFILES_FILE', '/nowhere.xml', 'is not a file'),
]
DRAWING = [
    ('MUJOCO_GL', 'glfw', 'needs a display'),
    ('MUJOCO_GL', 'foo', 'must be egl, osmesa or glfw'),
    ('MUJOCO_GL', 'off', 'switches drawing off'),
    ('PYOPENGL_PLATFORM', 'glx', 'must be egl'),
    ('MUJOCO_EGL_DEVICE_ID', 'first', 'must be the number of a device'),
]


@pytest.fixture(autouse=True)
def without_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('DISPLAY', 'WAYLAND_DISPLAY', 'MUJOCO_GL', 'PYOPENGL_PLATFORM'):
        monkeypatch.delenv(name, raising=False)


def one_line(text: str, name: str, why: str) -> None:
    (line,) = text.splitlines()
    assert f'{name} is ' in line and why in line
    assert f': unset {name}' in line or ': unset it' in line


@pytest.mark.parametrize(('name', 'value', 'why'), ROS)
def test_a_node_names_it(name: str, value: str, why: str) -> None:
    (gate,) = (node for node in NODES if node.name == 'command_gate')
    ended = subprocess.run(
        command(gate, []),
        env={**os.environ, name: value},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (ended.returncode, ended.stdout) == (1, '')
    one_line(ended.stderr, name, why)


@pytest.mark.parametrize(('name', 'value', 'why'), ROS)
def test_commands_that_need_ros_name_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    why: str,
) -> None:
    monkeypatch.setenv(name, value)
    for words in (['up', 'kitchen'], ['demo', 'kitchen'], ['preflight', 'kitchen']):
        assert main(words) == 1
        one_line(capsys.readouterr().err, name, why)


@pytest.mark.parametrize(('name', 'value', 'why'), DRAWING)
def test_commands_that_draw_name_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
    value: str,
    why: str,
) -> None:
    monkeypatch.setenv(name, value)
    for words in (['collect', 'kitchen', '--out', str(tmp_path / 'data')], ['eval', 'kitchen']):
        assert main(words) == 1
        one_line(capsys.readouterr().err, name, why)
    assert not (tmp_path / 'data').exists()


def test_osmesa_is_asked_for_only_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('MUJOCO_GL', 'osmesa')
    monkeypatch.setattr('ctypes.util.find_library', lambda _: None)
    with pytest.raises(VariableError, match='unset MUJOCO_GL, or install it .*libosmesa6'):
        check_drawing()
    monkeypatch.setattr('ctypes.util.find_library', lambda _: 'libOSMesa.so.8')
    check_drawing()


def test_profiles_that_are_no_xml_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'profiles.xml').write_text('<dds>')
    monkeypatch.setenv('FASTDDS_DEFAULT_PROFILES_FILE', str(tmp_path / 'profiles.xml'))
    with pytest.raises(VariableError, match='cannot be read'):
        check_ros()
    monkeypatch.setenv('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp')
    (tmp_path / 'profiles.xml').write_text('<dds/>')
    check_ros()


@pytest.mark.parametrize(('name', 'value', 'why'), [*ROS, *DRAWING])
def test_the_doctor_gives_the_advice_that_mends_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, why: str
) -> None:
    monkeypatch.setenv(name, value)
    look = doctor.check_ros if (name, value, why) in ROS else doctor.check_rendering
    finding = look()
    assert finding.status == 'fail'
    assert name in finding.detail and why in finding.detail
    assert 'unset' in finding.mend
    monkeypatch.delenv(name)
    if (name, value, why) in (ROS[0], DRAWING[0]):
        assert look().status == 'ok'


def test_what_only_the_driver_knows_is_told_with_all_that_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is no list of all that may be wrong: so what is set is shown."""
    monkeypatch.setenv('MUJOCO_EGL_DEVICE_ID', '7000')
    finding = doctor.check_rendering()
    assert finding.status == 'fail' and '_mjr_context' not in finding.detail
    assert finding.mend.startswith('unset what is set (MUJOCO_EGL_DEVICE_ID=7000)')
    code = (
        'from genrl_ros.domains import registry as r; r.make_physics(r.get("kitchen")).render(64)'
    )
    ended = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert 'OSError: MuJoCo cannot draw: ' in ended.stderr
    assert 'MUJOCO_EGL_DEVICE_ID=7000' in ended.stderr


def test_what_ros_does_not_start_with_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = subprocess.run(
        command(NODES[-1], []),
        env={**os.environ, 'ROS_LOG_DIR': '/proc/nowhere'},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == 1
    assert 'ROS cannot be started: ' in ended.stderr.splitlines()[-1]
    assert 'ROS_LOG_DIR=/proc/nowhere' in ended.stderr.splitlines()[-1]
    assert 'Traceback' not in ended.stderr


@pytest.mark.parametrize(
    ('world', 'why'),
    [
        ('2', 'without RANK, MASTER_ADDR, MASTER_PORT'),
        ('abc', 'must be how many'),
        ('0', 'must be'),
    ],
)
def test_trainings_name_variables_of_torchrun(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], world: str, why: str
) -> None:
    """A batch system may set some of them, for purposes of its own."""
    for name in ('RANK', 'MASTER_ADDR', 'MASTER_PORT'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('WORLD_SIZE', world)
    for name in ('pretrain', 'train-all'):
        assert main([name, 'kitchen']) == 1
        one_line(capsys.readouterr().err, 'WORLD_SIZE', why)
