"""Reads an embodiment from a YAML file, and reports everything that is wrong with it at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from genrl_ros.config.mapping import from_mapping
from genrl_ros.serving.robot.camera import Camera
from genrl_ros.serving.robot.embodiment import (
    QUANTITIES,
    Channel,
    CommandGroup,
    Embodiment,
    EmbodimentError,
    JointStates,
    Limits,
    Mode,
    Reaction,
)
from genrl_ros.serving.robot.embodiment_checks import (
    MAX_RATE_HZ,
    beyond,
    interface_problem,
    problems_of,
)
from genrl_ros.serving.robot.urdf import JointLimits, UrdfError, read_joint_limits
from genrl_ros.system.files import read_at_most
from genrl_ros.system.share import share_path

MAX_BYTES = 256 * 1024
Built = TypeVar('Built')


def find_embodiment(name: str) -> Path:
    """The file of an embodiment: a path to one, or the name of one that is shipped.

    Raises:
        FileNotFoundError: if there is none.
    """
    if '/' in name or name.endswith(('.yaml', '.yml')):
        path = Path(name).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f'{path} is not a file; it should be an embodiment file')
        return path.resolve()
    folder = share_path('config', 'embodiments')
    shipped = sorted(file.stem for file in folder.glob('*.yaml'))
    if name not in shipped:
        raise FileNotFoundError(
            f'there is no embodiment {name!r}; shipped are: {", ".join(shipped)}. Or give the '
            'path of a file of your own'
        )
    return folder / f'{name}.yaml'


def load_embodiment(path: Path) -> Embodiment:
    """Read an embodiment and check it as a whole.

    Raises:
        EmbodimentError: with everything that is wrong, if anything is.
    """
    return parse_embodiment(_read(path), path)


def parse_embodiment(values: Any, path: Path) -> Embodiment:
    """Check the contents of an embodiment file.

    Args:
        values: what the YAML says.
        path: the file, for messages and for finding the URDF beside it.

    Raises:
        EmbodimentError: with everything that is wrong, if anything is.
    """
    if not isinstance(values, Mapping):
        raise EmbodimentError(f'{path} must hold keys and values')
    reader = _Reader()
    embodiment = reader.embodiment(values, path.parent)
    problems = [*reader.problems, *(problems_of(embodiment) if embodiment else [])]
    if problems or embodiment is None:
        raise EmbodimentError(f'{path} cannot be used:', list(dict.fromkeys(problems)))
    return embodiment


def _read(path: Path) -> Any:
    try:
        content = read_at_most(path, MAX_BYTES)
    except OSError as error:
        raise EmbodimentError(f'{path} cannot be read: {error.strerror}') from None
    except ValueError as error:
        raise EmbodimentError(str(error)) from None
    try:
        return yaml.load(content, _UniqueKeys)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise EmbodimentError(f'{path} is not YAML: {error}') from None


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a key that is there twice, which YAML would silently let win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if key.tag != 'tag:yaml.org,2002:merge']
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f'key {key!r} is there twice, {node.start_mark}')
        return super().construct_mapping(node, deep)


class _Reader:
    """Builds the parts, and collects what is wrong instead of stopping at it."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._urdf: Mapping[str, JointLimits] = {}

    def embodiment(self, values: Mapping[str, Any], folder: Path) -> Embodiment | None:
        rest = dict(values)
        self._read_urdf(rest.pop('urdf', ''), folder)
        parts: dict[str, Any] = {
            'camera': self._build(Camera, rest.pop('camera', None), 'camera'),
            'commands': self._groups(rest.pop('commands', None)),
        }
        if 'joint_states' in rest:
            parts['joint_states'] = self._joint_states(rest.pop('joint_states'))
        rate = rest.get('control_rate_hz')
        if isinstance(rate, int | float) and not 0 < rate <= MAX_RATE_HZ:
            self.problems.append(f'control_rate_hz must be in (0, {MAX_RATE_HZ:g}], is {rate}')
            rest['control_rate_hz'] = 1.0
        head = self._build(_Head, rest, 'the file')
        if head is None or None in parts.values():
            return None
        return Embodiment(**dataclasses.asdict(head), **parts)

    def _read_urdf(self, value: Any, folder: Path) -> None:
        if not value:
            return
        try:
            self._urdf = read_joint_limits(folder / str(value))
        except UrdfError as error:
            self.problems.append(str(error))

    def _joint_states(self, values: Any) -> JointStates | None:
        if isinstance(values, Mapping) and 'joints' in values:
            joints = values['joints']
            if not isinstance(joints, list) or not all(isinstance(name, str) for name in joints):
                self.problems.append('joint_states.joints must be a list of names')
                joints = []
            values = {**values, 'joints': tuple(joints)}
        return self._build(JointStates, values, 'joint_states')

    def _groups(self, values: Any) -> tuple[CommandGroup, ...] | None:
        if not isinstance(values, list) or not values:
            self.problems.append('commands must be a list of command topics')
            return None
        groups = [self._group(group, f'commands[{i}]') for i, group in enumerate(values)]
        return None if None in groups else tuple(group for group in groups if group)

    def _group(self, values: Any, where: str) -> CommandGroup | None:
        if not isinstance(values, Mapping):
            self.problems.append(f'{where} must have keys and values')
            return None
        interface, channels = str(values.get('interface')), values.get('channels')
        if problem := interface_problem(interface):
            self.problems.append(f'{where}: {problem}')
            return None
        if not isinstance(channels, list):
            self.problems.append(f'{where}.channels must be a list')
            return None
        built = [
            self._channel(channel, interface, f'{where}.channels[{i}]')
            for i, channel in enumerate(channels)
        ]
        complete = tuple(channel for channel in built if channel is not None)
        group = self._build(CommandGroup, {**values, 'channels': complete}, where)
        return group if len(complete) == len(built) else None

    def _channel(self, values: Any, interface: str, where: str) -> Channel | None:
        if not isinstance(values, Mapping):
            self.problems.append(f'{where} must have keys and values')
            return None
        label = str(values.get('name') or values.get('joint') or values.get('axis') or where)
        keys = self._build(_ChannelKeys, {**values, 'name': label}, label)
        limits = self._limits(values.get('limits', {}), str(values.get('joint', '')), label)
        if keys is None or limits is None:
            return None
        fields = {f.name: getattr(keys, f.name) for f in dataclasses.fields(keys)}
        return Channel(**{**fields, 'limits': limits, 'quantity': QUANTITIES[interface]})

    def _limits(self, values: Any, joint: str, label: str) -> Limits | None:
        try:
            keys = from_mapping(_LimitKeys, values, 'limits')
            numbers = {
                name: None if (value := getattr(keys, name)) is None else _number(value, name)
                for name in ('velocity', 'acceleration', 'jerk')
            }
            limits = Limits(position=_range(keys.position), **numbers)
        except ValueError as error:
            self.problems.append(f'{label}: {error}')
            return None
        return self._with_urdf(limits, joint, label)

    def _with_urdf(self, limits: Limits, joint: str, label: str) -> Limits:
        """Fill in what the URDF knows, and complain where the file allows more than it."""
        if not self._urdf or not joint:
            return limits
        if joint not in self._urdf:
            self.problems.append(f'{label}: joint {joint!r} is not in the URDF')
            return limits
        theirs = self._urdf[joint]
        self.problems += [f'{label}: {problem}' for problem in beyond(limits, theirs)]
        position = theirs.position if limits.position is None else limits.position
        velocity = theirs.velocity if limits.velocity is None else limits.velocity
        return dataclasses.replace(limits, position=position, velocity=velocity)

    def _build(self, kind: type[Built], values: Any, where: str) -> Built | None:
        if values is None:
            self.problems.append(f'{where} is missing')
            return None
        try:
            return from_mapping(kind, values, where)
        except ValueError as error:
            first, *others = str(error).splitlines()
            self.problems += [first, *(f'{where}: {line}' for line in others)]
            return None


@dataclasses.dataclass(frozen=True)
class _Head:
    """The keys of the file that are plain values."""

    name: str
    control_rate_hz: float
    action_repeat: int = 1
    episode_steps: int = 250
    use_sim_time: bool = False


@dataclasses.dataclass(frozen=True)
class _LimitKeys:
    """The keys of a channel's limits."""

    position: Any = None
    velocity: Any = None
    acceleration: Any = None
    jerk: Any = None


@dataclasses.dataclass(frozen=True)
class _ChannelKeys:
    """The keys of a channel; limits are read apart, the quantity follows from the interface."""

    unit: str
    scale: float
    reaction: Reaction
    name: str
    joint: str = ''
    axis: str = ''
    centre: float = 0.0
    mode: Mode = 'absolute'
    limits: Any = None


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f'limits.{name} must be a number, is {value!r}')
    return float(value)


def _range(value: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f'limits.position must be two numbers, [lowest, highest], is {value!r}')
    return _number(value[0], 'position'), _number(value[1], 'position')
