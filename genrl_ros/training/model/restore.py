"""The world model of a run, finished or still in training, as its checkpoints hold it."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from genrl_ros.training.engine.average import Average
from genrl_ros.training.engine.state_file import load_state
from genrl_ros.world_model.mfwm import MFWM


def restore_world_model(model: MFWM, folder: Path) -> int:
    """Load tokenizer and sequence model, as averaged, from a run's folder.

    The dynamics stage counts where it is newer than the stage that it builds on.

    Args:
        model: of the sizes that were trained.
        folder: of the run, as `genrl pretrain` was given it.

    Returns:
        The updates of the world model's stage.

    Raises:
        CheckpointError: if there is no checkpoint, or it cannot be read.
        RuntimeError: if it is of other sizes.
    """
    both = nn.ModuleDict({'tokenizer': model.tokenizer, 'sequence': model.sequence})
    updates = _load(both, folder / 'world_model.safetensors')
    later, first = folder / 'dynamics.safetensors', folder / 'world_model.safetensors'
    if later.is_file() and later.stat().st_mtime_ns > first.stat().st_mtime_ns:
        _load(model.sequence, later)
    return updates


def _load(network: nn.Module, file: Path) -> int:
    state = load_state(file)
    network.load_state_dict(state['network'])
    average = Average(list(network.parameters()), 0.5)
    average.load_state_dict(state['optimizer'].get('average', {}))
    average.adopt()
    return int(state['updates'])
