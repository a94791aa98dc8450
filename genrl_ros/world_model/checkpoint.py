"""World models on disk: safetensors plus JSON, nothing that is unpickled.

A world model is a folder: `mfwm.safetensors`, `mfwm.json` (format version, sizes, robot, the
embedder it is connected to, how it was made) and `encoder.onnx`, the part that a robot runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from genrl_ros.config.learning import still_known
from genrl_ros.config.mapping import from_mapping
from genrl_ros.config.model import ModelConfig
from genrl_ros.domains.base import RobotSpec
from genrl_ros.system.arrays import digest
from genrl_ros.system.files import read_json, sha256, write_json, write_tensors
from genrl_ros.world_model.mfwm import MFWM

FORMAT_VERSION = 5
NEARNESS, GONE = 'nearness.', 'embedding_head.'
MAX_CARD_BYTES = 4 * 2**20
READABLE = (2, 3, 4, 5)
"""Format 2 named the robot `embodiment`, with tasks among its values; before format 5 there was
no nearness, and format 4 had something else in its place."""


class CheckpointError(ValueError):
    """A model file that is missing, damaged, or made for something else."""


@dataclass(frozen=True)
class ModelCard:
    """What a world model on disk says of itself.

    Attributes:
        spec: the robot that it models.
        embedder: name of the video-language embedder that its connector understands.
        embedder_identity: that embedder's sha256.
        training: data, seed, updates, date and scores, for the reader.
        sha256: of the weights.
    """

    spec: RobotSpec
    embedder: str
    embedder_identity: str
    training: Mapping[str, Any]
    sha256: str


def _array(tensor: Tensor) -> npt.NDArray[Any]:
    return tensor.detach().contiguous().cpu().numpy()


def weights_identity(network: nn.Module) -> str:
    """sha256 over a network's weights."""
    weights = sorted(network.state_dict().items())
    return digest((name, value.cpu().numpy()) for name, value in weights)


def save_mfwm(
    folder: Path,
    model: MFWM,
    spec: RobotSpec,
    embedder: str,
    embedder_identity: str,
    training: Mapping[str, Any],
) -> None:
    """Write a world model's weights (as float16) and its description.

    Raises:
        OSError: if they cannot be written.
    """
    weights = folder / 'mfwm.safetensors'
    write_tensors(weights, {k: _array(v.half()) for k, v in model.state_dict().items()})
    write_json(
        folder / 'mfwm.json',
        {
            'format_version': FORMAT_VERSION,
            'model': asdict(model.config),
            'robot': asdict(spec),
            'embedder': {'name': embedder, 'identity': embedder_identity},
            'sha256': sha256(weights),
            'training': dict(training),
        },
    )


def read_card(folder: Path) -> tuple[ModelConfig, ModelCard]:
    """Read and check a world model's description, without its weights.

    Raises:
        CheckpointError: naming the file and what is wrong with it.
    """
    path = folder / 'mfwm.json'
    if not path.is_file():
        raise CheckpointError(f'there is no world model in {folder}: {path.name} is missing')
    try:
        values = read_json(path, MAX_CARD_BYTES)
        version = values['format_version']
        if version not in READABLE:
            raise CheckpointError(
                f'{path} has format {version}; this version of genrl_ros reads '
                f'{", ".join(map(str, READABLE))}'
            )
        spec = RobotSpec.from_dict(values['embodiment' if version == 2 else 'robot'])
        config = from_mapping(ModelConfig, values['model'], f'{path}: model')
        embedder, training = values['embedder'], dict(values['training'])
        training.pop('embedding_head', None)
        if 'learning' in training:
            training['learning'] = still_known(training['learning'])
        card = ModelCard(spec, embedder['name'], embedder['identity'], training, values['sha256'])
    except (OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f'{path} is not a world model description: {error}') from error
    if config.action_dim != card.spec.action_dim:
        raise CheckpointError(
            f'{path}: the model takes {config.action_dim} actions but the robot has '
            f'{card.spec.action_dim}'
        )
    return config, card


def load_mfwm(folder: Path) -> tuple[MFWM, ModelCard]:
    """Load a world model for use: float32, in evaluation mode, without gradients.

    Raises:
        CheckpointError: naming the file and what is wrong with it.
    """
    config, card = read_card(folder)
    weights = folder / 'mfwm.safetensors'
    if not weights.is_file():
        raise CheckpointError(f'{weights} is missing')
    found = sha256(weights)
    if found != card.sha256:
        raise CheckpointError(
            f'{weights} is damaged or foreign: its sha256 is {found[:12]}..., '
            f'{folder / "mfwm.json"} says {card.sha256[:12]}...'
        )
    with torch.device('meta'):  # its sizes take no memory until the file turns out to have them
        model = MFWM(config)
    try:
        with safe_open(weights, framework='pt') as file:
            keys = [key for key in file.keys() if not key.startswith(GONE)]  # noqa: SIM118
            state = {key: file.get_tensor(key).float() for key in keys}
        if not any(key.startswith(NEARNESS) for key in keys):
            state |= _untrained_nearness(model)
        model.load_state_dict(state, assign=True)
    except (SafetensorError, RuntimeError) as error:
        raise CheckpointError(f'{weights} does not fit its description: {error}') from error
    return model.eval().requires_grad_(False), card


def _untrained_nearness(model: MFWM) -> dict[str, Tensor]:
    """Zeros for the nearness of a format that had none."""
    weights = model.state_dict().items()
    return {name: torch.zeros(value.shape) for name, value in weights if name.startswith(NEARNESS)}
