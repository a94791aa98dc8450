"""What pydantic finds wrong with an embodiment file, in words for a person."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from genrl_ros.serving.robot.camera import Camera
from genrl_ros.serving.robot.embodiment import (
    Channel,
    CommandGroup,
    Embodiment,
    Home,
    JointStates,
    Limits,
)

SHOWN = 40
"""Letters of a wrong value that are repeated."""
EXPONENT = re.compile(r'[-+]?\d+[eE][-+]?\d+$')
"""A number that YAML takes for text."""
NEEDS = {
    'string_type': 'text',
    'float_type': 'a number',
    'int_type': 'a whole number',
    'bool_type': 'true or false',
    'finite_number': 'finite',
    'greater_than': 'above {gt:g}',
    'greater_than_equal': 'at least {ge:g}',
    'less_than_equal': 'at most {le:g}',
    'literal_error': 'one of {expected}',
    'tuple_type': 'a list',
    'too_short': 'a list with something in it',
    'dataclass_type': 'keys and values',
    'mapping_type': 'keys and values',
    'dict_type': 'keys and values',
}
"""What a value must be, by the kind of pydantic's error and with its context."""
LISTS = {
    'position': 'two numbers, [lowest, highest]',
    'crop': 'four whole numbers, [left, top, width, height]',
    'joints': 'a list of names',
}
"""Keys whose value is a list of one form."""
GONE = {
    'control_rate_hz': 'it is an older name of command_rate_hz, which is there, too',
    'quantity': 'it follows from the interface',
}
"""Keys that a file must not have, and why."""
Path = tuple[int | str, ...]


def in_words(error: ValidationError, values: Mapping[str, Any]) -> Iterator[str]:
    """Everything that is wrong with an `Embodiment`, each with its place in the file.

    Args:
        error: of validating it.
        values: what was validated.
    """
    for found in error.errors(include_url=False):
        path = _up_to_list(found['loc'])
        if found['type'] == 'value_error':  # of a part that checks itself, and names itself
            prefix = 'camera: ' if path == ('camera',) else ''
            yield from (prefix + line for line in str(found['ctx']['error']).splitlines())
        elif found['type'] == 'unexpected_keyword_argument':
            *parent, key = path
            yield ': '.join(filter(None, (_place(parent, values), _unknown(parent, str(key)))))
        else:
            yield f'{_place(path, values)} {_need(found, path, values)}'


def _up_to_list(path: Path) -> Path:
    """A list of one form is wrong as a whole."""
    ends = [place for place, key in enumerate(path) if key in LISTS]
    return path[: ends[0] + 1] if ends else path


def _need(found: ErrorDetails, path: Path, values: Any) -> str:
    if found['type'] == 'missing' and path == found['loc']:
        return 'is missing'
    value = _value(path, values)
    if path[-1] in LISTS:
        need = LISTS[str(path[-1])]
    elif found['type'] in NEEDS:
        need = NEEDS[found['type']].format(**found.get('ctx', {}))
    else:
        return f'cannot be used: {found["msg"]}'
    hint = ' (write 1e-4 as 1.0e-4)' if isinstance(value, str) and EXPONENT.match(value) else ''
    shown = repr(value) if len(repr(value)) <= SHOWN else f'{repr(value)[:SHOWN]} ...'
    return f'must be {need}, is {shown}{hint}'


def _unknown(parent: Sequence[int | str], key: str) -> str:
    kinds = {'camera': Camera, 'joint_states': JointStates, 'limits': Limits, 'channels': Channel}
    kinds |= {'commands': CommandGroup, 'home': Home}
    names = [name for name in parent if isinstance(name, str)]
    kind = kinds[names[-1]] if names else Embodiment
    if key in GONE:
        return f'unknown key {key!r}: {GONE[key]}'
    known = [field.name for field in dataclasses.fields(kind) if field.name not in GONE]
    known += ['urdf'] if kind is Embodiment else []
    return f'unknown key {key[:SHOWN]!r}; known: {", ".join(known)}'


def _value(path: Sequence[int | str], values: Any) -> Any:
    for key in path:
        values = values[key]
    return values


def _place(path: Sequence[int | str], values: Any) -> str:
    """Where something is: a channel is known by its name."""
    text = ''
    for key in path:
        text += f'[{key}]' if isinstance(key, int) else f'.{key}' if text else key
    match path:
        case ['commands', int(), 'channels', int(), *rest]:
            channel = _value(path[:4], values)
            name = channel.get('name') if isinstance(channel, Mapping) else ''
            if isinstance(name, str) and name:
                return ': '.join(filter(None, (name[:SHOWN], _place(rest, values))))
    return text
