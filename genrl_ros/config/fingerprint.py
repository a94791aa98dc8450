"""What was asked for explicitly: names a training in a way that a new setting does not change."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

VERSION = 1
"""Of the defaults: one higher when a default changes that a result depends on."""


def explicit(config: Any, default: Any) -> dict[str, Any]:
    """The settings of a dataclass that differ from those of another, nested as they are there."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value, other = getattr(config, field.name), getattr(default, field.name)
        if dataclasses.is_dataclass(value) and type(value) is type(other):
            value, other = explicit(value, other), {}
        if value != other:
            found[field.name] = value
    return found


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits for explicit settings, whatever their order."""
    asked = json.dumps([VERSION, settings], sort_keys=True, default=str)
    return hashlib.sha256(asked.encode()).hexdigest()[:8]
