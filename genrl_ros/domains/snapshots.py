"""Policies as they were on the way to what they learned: small files, run without torch.

A file holds the snapshots of one collector: tensors stacked over snapshots, and what each had
learned by then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from genrl_ros.system.arrays import FloatArray
from genrl_ros.system.files import check_regular, write_tensors

FORMAT = 'genrl-collectors-1'
NAMES = (
    'mean', 'scale', 'first.weight', 'first.bias', 'second.weight', 'second.bias', 'last.weight',
    'last.bias',
)  # fmt: skip
LOG_STD = (-5.0, 1.0)
NORM_EPS = 1e-5


class SnapshotError(ValueError):
    """A file of snapshots is missing, damaged or of another kind."""


@dataclass(frozen=True)
class Label:
    """What a snapshot is of.

    Attributes:
        learns: a seen task, or the name of an explorer.
        steps: agent steps that it had learned for.
        score: its mean score at each seen task, without noise.
    """

    learns: str
    steps: int
    score: Mapping[str, float]


class StateActor:
    """A policy that sees a simulator's state.

    Args:
        label: what it is.
        arrays: by the names of `NAMES`; float32.
    """

    def __init__(self, label: Label, arrays: Mapping[str, FloatArray]) -> None:
        self.label = label
        self._mean, self._scale = arrays['mean'], arrays['scale']
        self._layers = [
            (arrays[f'{name}.weight'], arrays[f'{name}.bias'])
            for name in ('first', 'second', 'last')
        ]

    def act(self, observation: FloatArray, rng: np.random.Generator | None = None) -> FloatArray:
        """Action `(A,)` in [-1, 1] for an observation `(O,)`: drawn by `rng`, or the mode."""
        x: FloatArray = (observation - self._mean) * self._scale
        for weight, bias in self._layers[:-1]:
            x = weight @ x + bias
            x = ((x - x.mean()) / np.sqrt(x.var() + NORM_EPS)).astype(np.float32)
            x = x / (1 + np.exp(-x))
        weight, bias = self._layers[-1]
        mean, spread = np.split(weight @ x + bias, 2)
        if rng is not None:
            low, high = LOG_STD
            std = np.exp(low + 0.5 * (high - low) * (np.tanh(spread) + 1))
            mean = mean + std * rng.standard_normal(len(mean))
        action: FloatArray = np.tanh(mean).astype(np.float32)
        return action


def write_snapshots(
    path: Path,
    labels: Sequence[Label],
    arrays: Mapping[str, npt.NDArray[Any]],
    about: Mapping[str, str],
) -> None:
    """Write the snapshots of a collector, atomically.

    Args:
        path: of the file.
        labels: N of them.
        arrays: by the names of `NAMES`, each `(N, ...)`; stored as float16 but for what scales.
        about: what else the file says, such as the command that made it.
    """
    tensors = {
        name: np.asarray(arrays[name], np.float32 if name in ('mean', 'scale') else np.float16)
        for name in NAMES
    }
    said = {'format': FORMAT, 'labels': json.dumps([asdict(label) for label in labels]), **about}
    write_tensors(path, tensors, said)


def read_snapshots(path: Path) -> list[StateActor]:
    """The policies of a file.

    Raises:
        SnapshotError: if it is missing, damaged, or not of this kind.
    """
    try:
        check_regular(path)
        with safe_open(path, framework='np') as file:
            metadata = file.metadata() or {}
            if metadata.get('format') != FORMAT:
                raise SnapshotError(f'{path} holds no snapshots of collectors ({FORMAT})')
            stacked = {name: file.get_tensor(name).astype(np.float32) for name in NAMES}
        labels = [Label(**each) for each in json.loads(metadata['labels'])]
    except (OSError, SafetensorError) as error:
        raise SnapshotError(f'{path} cannot be read: {error}') from None
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise SnapshotError(f'{path} does not say what its snapshots are: {error!r}') from None
    if {len(each) for each in stacked.values()} != {len(labels)}:
        raise SnapshotError(f'{path} has not a policy for each of its {len(labels)} labels')
    return [
        StateActor(label, {name: each[index] for name, each in stacked.items()})
        for index, label in enumerate(labels)
    ]
