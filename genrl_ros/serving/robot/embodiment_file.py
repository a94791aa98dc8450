"""Reads an embodiment from a YAML file, and reports everything that is wrong with it at once."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, ValidationInfo

from genrl_ros.domains.base import IMAGE_SIZE
from genrl_ros.serving.robot.embodiment import (
    QUANTITIES,
    Channel,
    CommandGroup,
    Embodiment,
    EmbodimentError,
    Limits,
)
from genrl_ros.serving.robot.embodiment_checks import (
    LIMITS,
    beyond,
    problems_of,
    problems_of_channel,
    problems_of_group,
)
from genrl_ros.serving.robot.embodiment_words import in_words
from genrl_ros.serving.robot.urdf import JointLimits, UrdfError, read_joint_limits
from genrl_ros.system.files import read_at_most
from genrl_ros.system.plain_yaml import YamlError, parse_yaml
from genrl_ros.system.share import share_path

logger = logging.getLogger(__name__)

MAX_BYTES = 256 * 1024
OLDER_NAMES = {'control_rate_hz': 'command_rate_hz'}
"""Keys of older files, which are read as well."""
MAX_PROBLEMS = 40
MAX_LETTERS = 300
"""Of a problem; a file may hold values of any length."""

Part = TypeVar('Part')


def _checked(problems_of_part: Callable[[Part], list[str]]) -> AfterValidator:
    """Puts what is wrong with a part on the list that is the context, and goes on."""

    def check(part: Part, info: ValidationInfo) -> Part:
        assert info.context is not None
        info.context.extend(problems_of_part(part))
        return part

    return AfterValidator(check)


@dataclasses.dataclass(frozen=True)
class _Group(CommandGroup):
    """A topic whose channels are checked when they are read."""

    channels: tuple[Annotated[Channel, _checked(problems_of_channel)], ...]


@dataclasses.dataclass(frozen=True)
class _Embodiment(Embodiment):
    """A robot whose topics are checked when they are read."""

    commands: Annotated[
        tuple[Annotated[_Group, _checked(problems_of_group)], ...], Field(min_length=1)
    ]


ROBOTS: TypeAdapter[Embodiment] = TypeAdapter(Annotated[_Embodiment, _checked(problems_of)])
LIMITS_ALONE = TypeAdapter(Limits)


def find_embodiment(name: str) -> Path:
    """The file of an embodiment: a path to one, or the name of one that is shipped.

    Raises:
        FileNotFoundError: if there is none.
    """
    if is_path(name):
        path = Path(name).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f'{path} is not a file; it should be an embodiment file')
        return path.resolve()
    shipped = shipped_embodiments()
    if name not in shipped:
        raise FileNotFoundError(
            f'there is no embodiment {name!r}; shipped are: {", ".join(shipped)}. Or give the '
            'path of a file of your own'
        )
    return share_path('config', 'embodiments', f'{name}.yaml')


def is_path(name: str) -> bool:
    """Whether the name of an embodiment is the path of a file."""
    return '/' in name or name.endswith(('.yaml', '.yml'))


def shipped_embodiments() -> list[str]:
    """Names of the embodiments that are shipped."""
    return sorted(file.stem for file in share_path('config', 'embodiments').glob('*.yaml'))


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
    file = _File(values, path.parent)
    try:
        robot = ROBOTS.validate_json(json.dumps(file.filled), context=file.problems)
    except ValidationError as error:
        file.problems += in_words(error, file.filled)
    except TypeError as error:
        file.problems.append(f'it holds what no key needs: {error}')
    if file.problems:
        raise EmbodimentError(f'{path} cannot be used:', list(_shortened(file.problems)))
    return robot


def _shortened(problems: Sequence[str]) -> Iterator[str]:
    every = list(dict.fromkeys(problems))
    for problem in every[:MAX_PROBLEMS]:
        yield problem if len(problem) <= MAX_LETTERS else f'{problem[:MAX_LETTERS]} ...'
    if len(every) > MAX_PROBLEMS:
        yield f'and {len(every) - MAX_PROBLEMS} more'


class _File:
    """What a file says, with what follows from the rest of it and from the URDF filled in.

    Attributes:
        filled: as the fields of an `Embodiment`.
        problems: what was found on the way.
    """

    def __init__(self, values: Mapping[str, Any], folder: Path) -> None:
        self.problems: list[str] = []
        self.filled = {key: value for key, value in values.items() if key != 'urdf'}
        for older, name in OLDER_NAMES.items():
            if older in values and name not in values:
                self.filled[name] = self.filled.pop(older)
        if isinstance(camera := values.get('camera'), Mapping) and 'size' in camera:
            self.filled['camera'] = {key: camera[key] for key in camera if key != 'size'}
            if camera['size'] != IMAGE_SIZE:
                logger.warning(
                    'camera.size is %.20r, which counts for nothing any more: a world model sees '
                    '%d x %d pixels. Remove the key',
                    camera['size'],
                    IMAGE_SIZE,
                    IMAGE_SIZE,
                )
        self._urdf = self._read_urdf(values.get('urdf'), folder)
        commands = values.get('commands')
        if isinstance(commands, list):
            self.filled['commands'] = [self._group(group) for group in commands]

    def _read_urdf(self, value: Any, folder: Path) -> Mapping[str, JointLimits]:
        if value is None:
            return {}
        try:
            if not isinstance(value, str) or not value:
                raise UrdfError('urdf must be the path of a file')
            return read_joint_limits(folder / value)
        except UrdfError as error:
            self.problems.append(str(error))
            return {}

    def _group(self, group: Any) -> Any:
        if not isinstance(group, Mapping):
            return group
        interface, channels = group.get('interface'), group.get('channels')
        if interface not in list(QUANTITIES):  # what its channels may be is not known then
            return {**group, 'channels': []}
        if not isinstance(channels, list):
            return group
        return {**group, 'channels': [self._channel(channel, interface) for channel in channels]}

    def _channel(self, channel: Any, interface: str) -> Any:
        if not isinstance(channel, Mapping):
            return channel
        name = channel.get('name') or channel.get('joint') or channel.get('axis') or ''
        if 'quantity' in channel:
            self.problems.append(f"{name}: unknown key 'quantity': it follows from the interface")
        filled = {**channel, 'name': name, 'quantity': QUANTITIES[interface]}
        if channel.get('joint') and self._urdf:
            filled['limits'] = self._limits(filled)
        return filled

    def _limits(self, channel: Mapping[str, Any]) -> Any:
        """The limits of a channel; those that it does not give are the URDF's."""
        name, joint, limits = channel['name'], channel['joint'], channel.get('limits', {})
        if not isinstance(joint, str) or joint not in self._urdf:
            self.problems.append(f'{name}: joint {joint!r} is not in the URDF')
            return limits
        theirs = self._urdf[joint]
        try:
            ours = LIMITS_ALONE.validate_json(json.dumps(limits))
        except (ValidationError, TypeError):
            return limits  # what is wrong is said with the rest
        self.problems += [f'{name}: {problem}' for problem in beyond(ours, theirs)]
        known = {key: getattr(theirs, key, None) for key in LIMITS[channel['quantity']]}
        return {key: value for key, value in known.items() if value is not None} | limits


def _read(path: Path) -> Any:
    try:
        content = read_at_most(path, MAX_BYTES)
    except OSError as error:
        raise EmbodimentError(f'{path} cannot be read: {error.strerror}') from None
    except ValueError as error:
        raise EmbodimentError(str(error)) from None
    try:
        return parse_yaml(content)
    except YamlError as error:
        raise EmbodimentError(f'{path} is not plain YAML: {error}') from None
