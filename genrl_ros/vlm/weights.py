"""Trained weights of this package's own small networks: read, and known again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.torch import load_file
from torch import Tensor

from genrl_ros.system.arrays import digest


def identity_of(weights: Mapping[str, Tensor], kind: str) -> str:
    """sha256 over weights and over what they are and go with, in words."""
    # A scalar counts as an array of shape (1,), as it did when the shipped weights were named.
    arrays = ((name, np.ascontiguousarray(weights[name].numpy())) for name in sorted(weights))
    described = ((f'{name}:{array.dtype}:{array.shape}', array) for name, array in arrays)
    return digest(described, kind)


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises:
        ValueError: if it is torn, or no such file.
    """
    try:
        return load_file(path)
    except Exception as error:
        raise ValueError(f'{path} is not a readable safetensors file: {error}') from error
