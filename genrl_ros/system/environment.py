"""Environment variables that ROS and MuJoCo read, checked before they fail on them."""

from __future__ import annotations

import ctypes.util
import os
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

from genrl_ros.system.share import folders_in

LAST_ROS_DOMAIN = 232
"""Beyond it there are no ports."""

_ROS_PREFIXES = ('ROS_', 'RMW_', 'RCUTILS_', 'FASTDDS_', 'FASTRTPS_', 'CYCLONEDDS_')
_DRAWING_PREFIXES = (
    *('MUJOCO_', 'PYOPENGL_', 'EGL_', '__EGL_', '__GLX_', 'LIBGL_', 'MESA_'),
    'GALLIUM_',
)
_OF_THE_INSTALLATION = ('ROS_DISTRO', 'ROS_VERSION', 'ROS_PYTHON_VERSION', 'ROS_PACKAGE_PATH')
_CHOICES = {
    'ROS_AUTOMATIC_DISCOVERY_RANGE': ('SUBNET', 'LOCALHOST', 'OFF', 'SYSTEM_DEFAULT'),
    'RCUTILS_LOGGING_USE_STDOUT': ('0', '1'),
    'RCUTILS_LOGGING_BUFFERED_STREAM': ('0', '1'),
    'RCUTILS_COLORIZED_OUTPUT': ('0', '1'),
}
_FAST_DDS = ('', 'rmw_fastrtps_cpp', 'rmw_fastrtps_dynamic_cpp')
_PROFILES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
_OF_A_RANK = ('RANK', 'MASTER_ADDR', 'MASTER_PORT')
_DRAWING_OFF = ('disable', 'disabled', 'off', 'false', '0')
_ON_A_DISPLAY = ('glfw', 'glx', 'enable', 'enabled', 'on', 'true', '1')


class VariableError(ValueError):
    """An environment variable with which something cannot work.

    Attributes:
        problem: which one, and why.
        mend: what to do.
    """

    def __init__(self, problem: str, mend: str) -> None:
        super().__init__(f'{problem}: {mend}')
        self.problem, self.mend = problem, mend


def check_ros() -> None:
    """Check the variables of ROS and its middleware.

    Raises:
        VariableError: naming the first that is wrong.
    """
    ros_domain()
    for name, choices in _CHOICES.items():
        value = os.environ.get(name, '')
        if value and value not in choices:
            raise _wrong(name, f'must be one of {", ".join(choices)}')
    _check_middleware()
    if os.environ.get('RMW_IMPLEMENTATION', '') in _FAST_DDS:
        for name in _PROFILES:
            _check_profiles(name)


def ros_domain() -> int | None:
    """The ROS domain that `ROS_DOMAIN_ID` asks for; None if it is not set.

    Raises:
        VariableError: if it is no ROS domain.
    """
    value = os.environ.get('ROS_DOMAIN_ID', '')
    if not value:
        return None
    if not re.fullmatch('[0-9]{1,9}', value) or int(value) > LAST_ROS_DOMAIN:
        raise _wrong('ROS_DOMAIN_ID', f'must be a number from 0 to {LAST_ROS_DOMAIN}')
    return int(value)


def check_drawing() -> None:
    """Check the variables that say how MuJoCo draws.

    Raises:
        VariableError: naming the first that is wrong.
    """
    backend = os.environ.get('MUJOCO_GL', '').lower().strip() or 'egl'
    if backend in _DRAWING_OFF:
        raise _wrong('MUJOCO_GL', 'switches drawing off')
    if backend in _ON_A_DISPLAY:
        if not os.environ.get('DISPLAY') and not os.environ.get('WAYLAND_DISPLAY'):
            raise _wrong('MUJOCO_GL', 'needs a display, and DISPLAY is not set')
    elif backend == 'osmesa':
        if ctypes.util.find_library('OSMesa') is None:
            otherwise = 'or install it (apt-get install libosmesa6)'
            raise _wrong('MUJOCO_GL', 'needs libOSMesa', otherwise)
    elif backend != 'egl':
        raise _wrong('MUJOCO_GL', 'must be egl, osmesa or glfw')
    platform = os.environ.get('PYOPENGL_PLATFORM', '')
    if platform and backend in ('egl', 'osmesa') and platform.lower() != backend:
        raise _wrong('PYOPENGL_PLATFORM', f'must be {backend}, which MuJoCo draws with')
    device = os.environ.get('MUJOCO_EGL_DEVICE_ID', '')
    if device and backend == 'egl' and not re.fullmatch('[0-9]{1,4}', device):
        raise _wrong('MUJOCO_EGL_DEVICE_ID', 'must be the number of a device, from 0')


def check_ranks() -> None:
    """Check the variables that `torchrun` sets, which other launchers set in part.

    Raises:
        VariableError: naming the first that is wrong.
    """
    world = os.environ.get('WORLD_SIZE', '1')
    if not re.fullmatch('[1-9][0-9]{0,5}', world):
        raise _wrong(
            'WORLD_SIZE', 'must be how many processes train together, as torchrun sets it'
        )
    missing = [name for name in _OF_A_RANK if not os.environ.get(name)]
    if world != '1' and missing:
        raise VariableError(
            f'WORLD_SIZE is {world!r} without {", ".join(missing)}',
            'unset WORLD_SIZE to train in one process, or start several with torchrun',
        )


def ros_variables() -> str:
    """All variables of ROS and its middleware that are set, in a line; '' if none is."""
    return _listed(_ROS_PREFIXES)


def drawing_variables() -> str:
    """All variables of drawing that are set, in a line; '' if none is."""
    return _listed(_DRAWING_PREFIXES)


def _listed(prefixes: tuple[str, ...]) -> str:
    names = sorted(
        name
        for name in os.environ
        if name.startswith(prefixes) and name not in _OF_THE_INSTALLATION
    )
    return ', '.join(f'{name}={os.environ[name]}' for name in names)


def _wrong(name: str, why: str, otherwise: str = '') -> VariableError:
    mend = f'unset {name}' if not otherwise else f'unset {name}, {otherwise}'
    return VariableError(f'{name} is {os.environ[name]!r}; it {why}', mend)


def _check_middleware() -> None:
    """Check that the library of the middleware is there, where the others are."""
    name = os.environ.get('RMW_IMPLEMENTATION', '')
    there = {
        library.name.removeprefix('lib').removesuffix('.so')
        for folder in _library_folders()
        for library in folder.glob('librmw_*.so')
    }
    there -= {'rmw_implementation'} | {each for each in there if each.endswith('_shared_cpp')}
    if name and there and name not in there:
        raise VariableError(
            f'RMW_IMPLEMENTATION is {name!r}; it is not installed',
            f'unset it, or choose from: {", ".join(sorted(there))}',
        )


def _library_folders() -> list[Path]:
    prefixes = [Path(sys.prefix), *folders_in('AMENT_PREFIX_PATH')]
    return [*(prefix / 'lib' for prefix in prefixes), *folders_in('LD_LIBRARY_PATH')]


def _check_profiles(name: str) -> None:
    """Check a file of Fast DDS profiles: without it, Fast DDS listens on all interfaces."""
    path = os.environ.get(name, '')
    if not path:
        return
    if not Path(path).is_file():
        raise _wrong(name, 'is not a file')
    try:
        ElementTree.parse(path)
    except (OSError, ElementTree.ParseError) as error:
        raise _wrong(name, f'cannot be read ({error})') from None
