"""Check the installation, and say how to mend what is wrong."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from genrl_ros.deploy import manifest
from genrl_ros.system.environment import (
    VariableError,
    check_drawing,
    drawing_variables,
    ros_variables,
)
from genrl_ros.system.environment import check_ros as check_environment
from genrl_ros.system.share import share_path

GIB = 1024**3
PROBE_TIMEOUT_S = 60.0

# Each probe runs in a process of its own: a broken driver or library crashes it, not the doctor.
RENDER = """
import os, sys
import genrl_ros.domains
try:
    import mujoco
    mujoco.Renderer(mujoco.MjModel.from_xml_string('<mujoco/>'), 1, 1).close()
except Exception as error:
    sys.stderr.write(f'{type(error).__name__}: {error}')  # else it drowns in what follows from it
    sys.stderr.flush()
    os._exit(1)
scene = '<mujoco><worldbody><light pos="0 0 3"/><geom size="1"/></worldbody></mujoco>'
model = mujoco.MjModel.from_xml_string(scene)
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 64, 64) as renderer:
    renderer.update_scene(data)
    assert renderer.render().std() > 0, 'the picture is empty'
    from OpenGL import GL
    print(GL.glGetString(GL.GL_RENDERER).decode())
"""
ROS = """
import rclpy
rclpy.init()
node = rclpy.create_node('genrl_doctor')
print(rclpy.get_rmw_implementation_identifier())
node.destroy_node()
rclpy.shutdown()
"""
INTERFACES = """
from genrl_interfaces.action import LearnTask
from genrl_interfaces.srv import SetTask
for kind in (SetTask, LearnTask):
    kind.__class__.__import_type_support__()
print('SetTask, LearnTask and messages')
"""

Status = Literal['ok', 'warn', 'fail']


@dataclass(frozen=True)
class Config:
    """Arguments of `genrl doctor`."""

    json: bool = False
    """Print the findings as JSON."""


@dataclass(frozen=True)
class CheckResult:
    """What one check found.

    Attributes:
        name: what was checked.
        status: `warn` means that something works less well, `fail` that something does not work.
        detail: what was found.
        mend: what to do about it; empty if all is well.
    """

    name: str
    status: Status
    detail: str
    mend: str = ''


def probe(
    name: str, code: str, mend: str, timeout_s: float = PROBE_TIMEOUT_S, prefix: str = ''
) -> CheckResult:
    """Run Python code in a process of its own; what it prints is the detail."""
    try:
        done = subprocess.run(
            [sys.executable, '-P', '-c', code], capture_output=True, text=True, timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        return CheckResult(name, 'fail', f'no answer within {timeout_s:g} s', mend)
    if done.returncode == 0:
        return CheckResult(name, 'ok', prefix + done.stdout.strip())
    said = (done.stderr.strip() or 'it said nothing').splitlines()[-1]
    return CheckResult(name, 'fail', f'exit status {done.returncode}: {said}', mend)


def check_python() -> CheckResult:
    """Whether this is a version of Python that the dependencies are made for."""
    version = '.'.join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 12):
        return CheckResult('Python', 'ok', version)
    return CheckResult('Python', 'fail', version, 'use Python 3.11 or 3.12: make setup PYTHON=...')


def check_packages() -> CheckResult:
    """Whether what `setup.py` asks for is installed."""
    mend = 'make setup, or pip install -r requirements.lock'
    try:
        requirements = importlib.metadata.requires('genrl_ros') or []
    except importlib.metadata.PackageNotFoundError:
        return CheckResult('Python packages', 'fail', 'genrl_ros itself is not installed', mend)
    wrong = []
    for requirement in map(Requirement, requirements):
        if requirement.marker and not requirement.marker.evaluate({'extra': ''}):
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f'{requirement.name} is missing')
        else:
            if not requirement.specifier.contains(version, prereleases=True):
                wrong.append(f'{requirement} is asked for, {version} is installed')
    if wrong:
        return CheckResult('Python packages', 'fail', '; '.join(wrong), mend)
    return CheckResult(
        'Python packages', 'ok', f'genrl_ros {importlib.metadata.version("genrl_ros")}'
    )


def check_rendering() -> CheckResult:
    """Whether MuJoCo can draw without a display."""
    try:
        check_drawing()
    except VariableError as error:
        return CheckResult('Rendering', 'fail', error.problem, error.mend)
    mend = 'apt-get install libegl1 libgl1-mesa-dri libopengl0'
    if variables := drawing_variables():
        mend = f'unset what is set ({variables}) and try again; if that does not help, {mend}'
    backend = os.environ.get('MUJOCO_GL') or 'egl'
    return probe('Rendering', RENDER, mend, prefix=f'{backend}, ')


def check_ros() -> CheckResult:
    """Whether a node can be made, with the wheels from PyPI or a ROS installation."""
    spec = importlib.util.find_spec('rclpy')
    if spec is None or spec.origin is None:
        mend = "source your ROS installation's setup.bash, or make setup for the wheels from PyPI"
        return CheckResult('ROS 2', 'fail', 'rclpy is not installed', mend)
    try:
        check_environment()
    except VariableError as error:
        return CheckResult('ROS 2', 'fail', error.problem, error.mend)
    wheels = Path(spec.origin).is_relative_to(sys.prefix)
    source = 'wheels from PyPI' if wheels else os.environ.get('ROS_DISTRO', spec.origin)
    mend = 'make setup' if wheels else "source the ROS installation's setup.bash anew"
    if set_ones := ros_variables():
        mend = f'unset what is set ({set_ones}) and try again; if that does not help, {mend}'
    return probe('ROS 2', ROS, mend, prefix=f'{source}, ')


def check_interfaces() -> CheckResult:
    """Whether the messages are built for this ROS."""
    mend = 'pip install ./genrl_interfaces, or colcon build and source install/setup.bash'
    return probe('Interfaces', INTERFACES, mend)


def check_launch() -> CheckResult:
    """How the nodes can be started."""
    if importlib.util.find_spec('launch_ros') is not None:
        return CheckResult(
            'Launch', 'ok', 'ros2 launch genrl_ros kitchen.launch.py, or genrl up kitchen'
        )
    return CheckResult('Launch', 'ok', 'no launch_ros here: genrl up kitchen starts the nodes')


def check_models() -> CheckResult:
    """Whether the shipped models are whole."""
    mend = 'git checkout -- models, then make setup'
    try:
        root = share_path('models')
        problems = manifest.verify(root)
        files = len(manifest.read(root))
    except (FileNotFoundError, manifest.ManifestError) as error:
        return CheckResult('Models', 'fail', str(error), mend)
    if problems:
        return CheckResult('Models', 'fail', '; '.join(problems), mend)
    return CheckResult('Models', 'ok', f'{files} files, all as shipped')


def check_cores() -> CheckResult:
    """Whether control and learning can have a core each."""
    cores = len(os.sched_getaffinity(0))
    if cores >= 2:
        return CheckResult('CPU', 'ok', f'{cores} cores')
    return CheckResult('CPU', 'warn', 'one core', 'control may stutter while a policy is learned')


def room(name: str, free: float, needed: float, least: float, mend: str) -> CheckResult:
    """Judge free bytes: `needed` is comfortable, below `least` something will break."""
    status: Status = 'ok' if free >= needed else 'warn' if free >= least else 'fail'
    detail = f'{free / GIB:.1f} GiB free'
    if status == 'ok':
        return CheckResult(name, status, detail)
    return CheckResult(name, status, f'{detail}, {needed / GIB:.1f} GiB wanted', mend)


def check_compiled() -> CheckResult:
    """Whether setup compiled what trainings spend their time in, apart from matrix products."""
    if importlib.util.find_spec('genrl_ros.world_model.fast._norm_silu') is not None:
        return CheckResult('Compiled norms', 'ok', 'LayerNorm and SiLU in one pass')
    mend = 'install a C++ compiler with OpenMP (g++), then make setup'
    return CheckResult('Compiled norms', 'warn', 'not there: trainings in bf16 are slower', mend)


def check_memory() -> CheckResult:
    """Whether the graph fits into memory while it learns."""
    fields = dict(entry.split(':') for entry in Path('/proc/meminfo').read_text().splitlines())
    free = int(fields['MemAvailable'].split()[0]) * 1024
    return room('Memory', free, 6 * GIB, 3 * GIB, 'close other programs before learning a policy')


def check_disk() -> CheckResult:
    """Whether runs can be written where this command was started."""
    free = shutil.disk_usage(Path.cwd()).free
    return room('Disk', free, 2 * GIB, 0.2 * GIB, f'make room in {Path.cwd()}')


def check_shared_memory(folder: Path = Path('/dev/shm')) -> CheckResult:
    """Whether Fast DDS can use shared memory."""
    mend = 'start the container with --shm-size=256m'
    if not folder.is_dir():
        return CheckResult('Shared memory', 'warn', f'there is no {folder}', mend)
    return room('Shared memory', shutil.disk_usage(folder).free, GIB / 16, GIB / 64, mend)


CHECKS: tuple[Callable[[], CheckResult], ...] = (
    check_python,
    check_packages,
    check_rendering,
    check_ros,
    check_interfaces,
    check_launch,
    check_models,
    check_cores,
    check_compiled,
    check_memory,
    check_disk,
    check_shared_memory,
)


def line(finding: CheckResult) -> str:
    """A finding as text for people."""
    text = f'{finding.status:<5} {finding.name:<16} {finding.detail}'
    return f'{text}\n{"":<22} -> {finding.mend}' if finding.mend else text


def main(config: Config) -> int:
    """Run all checks; returns 1 if one failed."""
    findings = []
    for check in CHECKS:
        findings.append(check())
        if not config.json:
            print(line(findings[-1]), flush=True)
    failed = sum(finding.status == 'fail' for finding in findings)
    if config.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        print('all is well' if not failed else f'{failed} of {len(findings)} checks failed')
    return 1 if failed else 0
