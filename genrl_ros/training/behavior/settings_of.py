"""How behaviours are learned in a model, as its description says; read without its weights."""

from __future__ import annotations

from pathlib import Path

from genrl_ros.config.learning import LearnConfig, still_known
from genrl_ros.config.mapping import from_mapping
from genrl_ros.system.files import read_json

DESCRIPTION = 'mfwm.json'


def settings_of(model: Path) -> LearnConfig:
    """The learning settings that travel with a model; the defaults if it brings none.

    Args:
        model: its folder.

    Raises:
        ValueError: if its description cannot be read.
    """
    path = model / DESCRIPTION
    try:
        settings = still_known(read_json(path)['training'].get('learning', {}))
        return from_mapping(LearnConfig, settings, f'{path}: learning')
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f'{path} cannot be used: {error}') from error
