"""Arrays that every layer hands on, by name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]


def digest(arrays: Iterable[tuple[str, npt.NDArray[Any]]], kind: str = '') -> str:
    """sha256 over names and contents of arrays, in their order.

    Args:
        arrays: names and arrays; generated ones are in memory one at a time.
        kind: what they are of, so that the same arrays of another kind have another one.
    """
    found = hashlib.sha256(kind.encode())
    for name, array in arrays:
        found.update(name.encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
