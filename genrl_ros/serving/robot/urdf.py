"""Joint limits from a URDF file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from genrl_ros.system.files import read_at_most

MAX_BYTES = 8 * 1024 * 1024


class UrdfError(ValueError):
    """A URDF cannot be used; the message says which file, and why."""


@dataclass(frozen=True)
class JointLimits:
    """What a URDF says of a joint: lowest and highest position, largest speed and effort; SI."""

    position: tuple[float, float] | None = None
    velocity: float | None = None
    effort: float | None = None


def read_joint_limits(path: Path) -> Mapping[str, JointLimits]:
    """Limits of all joints that have some, by name.

    Raises:
        UrdfError: if the file cannot be read, is too large, or is no URDF (a xacro file has to be
            expanded first).
    """
    try:
        content = read_at_most(path, MAX_BYTES)
    except OSError as error:
        raise UrdfError(f'URDF {path} cannot be read: {error.strerror}') from None
    except ValueError as error:
        raise UrdfError(f'URDF {error}') from None
    return parse_joint_limits(content, str(path))


def parse_joint_limits(content: bytes, where: str) -> Mapping[str, JointLimits]:
    """Limits of all joints that have some, by name.

    Args:
        content: the XML.
        where: it comes from, for messages.

    Raises:
        UrdfError: if it is too large, or is no URDF.
    """
    if len(content) > MAX_BYTES:
        raise UrdfError(f'URDF {where} is larger than the {MAX_BYTES} bytes that are allowed')
    if b'<!DOCTYPE' in content or b'<!ENTITY' in content:
        raise UrdfError(f'URDF {where} declares entities, which no robot needs')
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise UrdfError(f'URDF {where} is not XML: {error}') from None
    if root.tag != 'robot':
        raise UrdfError(f'URDF {where} begins with <{root.tag}>, not with <robot>')
    return {joint.get('name', ''): _limits(joint, where) for joint in root.findall('joint')}


def _limits(joint: ElementTree.Element, where: str) -> JointLimits:
    limit = joint.find('limit')
    if limit is None:
        return JointLimits()
    names = ('lower', 'upper', 'velocity', 'effort')
    values = {name: _number(limit, name, joint, where) for name in names}
    bounded = joint.get('type') in ('revolute', 'prismatic')
    position = (values['lower'] or 0.0, values['upper'] or 0.0) if bounded else None
    return JointLimits(position, values['velocity'], values['effort'])


def _number(
    limit: ElementTree.Element, name: str, joint: ElementTree.Element, where: str
) -> float | None:
    text = limit.get(name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UrdfError(
            f'URDF {where}: {name} of joint {joint.get("name")!r} is {text!r}, not a number '
            '(expand a xacro file first)'
        )
    return value
