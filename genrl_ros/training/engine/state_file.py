"""The state of a training on disk: nested tensors, numbers and texts in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from torch import Tensor

from genrl_ros.system.files import check_regular, write_tensors
from genrl_ros.world_model.checkpoint import CheckpointError


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write nested tensors, numbers and strings to one safetensors file, atomically.

    Raises:
        OSError: if it cannot be written; a file that was there before stays.
    """
    tensors: dict[str, npt.NDArray[Any]] = {}
    plain: dict[str, Any] = {}
    for key, value in _flatten(state):
        if isinstance(value, Tensor):
            tensors[key] = value.detach().contiguous().cpu().numpy()
        else:
            plain[key] = value
    write_tensors(path, tensors, {'plain': json.dumps(plain)})


def load_state(path: Path) -> dict[str, Any]:
    """The inverse of `save_state`.

    Raises:
        CheckpointError: if the file is missing or damaged.
    """
    try:
        check_regular(path)
        with safe_open(path, framework='pt') as file:
            flat: dict[str, Any] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            flat |= json.loads((file.metadata() or {}).get('plain', '{}'))
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise CheckpointError(f'{path} cannot be read: {error}') from error
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, leaf = key.split('/')
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        place[leaf] = value
    return nested


def _flatten(state: Mapping[str, Any], prefix: str = '') -> list[tuple[str, Any]]:
    items: list[tuple[str, Any]] = []
    for key, value in state.items():
        name = f'{prefix}{key}'
        if isinstance(value, Mapping) and value:
            items += _flatten(value, f'{name}/')
        else:
            items.append((name, value))
    return items
