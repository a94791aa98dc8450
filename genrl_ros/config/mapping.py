"""Configurations from parsed YAML or JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, get_type_hints

Config = TypeVar('Config')


def from_mapping(kind: type[Config], values: Mapping[str, Any], where: str) -> Config:
    """Build a config from parsed YAML or JSON.

    Args:
        kind: the dataclass to build.
        values: its fields by name; nested dataclasses as nested mappings.
        where: the file or section, for error messages.

    Raises:
        ValueError: for an unknown key, a missing one, or a value of the wrong type.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f'{where}: expected keys and values, got {type(values).__name__}')
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(names))
    if unknown:
        raise ValueError(f'{where}: unknown key {unknown[0]!r}; known: {", ".join(names)}')
    built: dict[str, Any] = {}
    for name, value in values.items():
        hint = hints[name]
        if dataclasses.is_dataclass(hint):
            value = from_mapping(hint, value, f'{where}.{name}')  # type: ignore[arg-type]
        elif hint in (int, float, str, bool):
            value = _scalar(hint, value, f'{where}.{name}')
        built[name] = value
    try:
        return kind(**built)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{where}: {error}') from error


def _scalar(kind: type, value: Any, where: str) -> Any:
    if kind is float and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return float(value)  # PyYAML reads 1e-4 as a string
        except ValueError:
            pass
    if type(value) is not kind:
        raise ValueError(f'{where} must be {kind.__name__}, got {value!r}')
    return value
