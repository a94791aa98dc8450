"""The training recipe of a domain: the settings that made its shipped model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from genrl_ros.config.mapping import from_mapping
from genrl_ros.system.share import share_path

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class TrainingRecipe:
    """Settings of the commands that make a model, where they differ from the commands' defaults.

    Attributes:
        collect: of `genrl collect`.
        pretrain: of `genrl pretrain`; `genrl connect` takes those that it has.
        learning: of the policies that the model is evaluated with.
    """

    collect: Settings = field(default_factory=dict)
    pretrain: Settings = field(default_factory=dict)
    learning: Settings = field(default_factory=dict)


def read_recipe(domain: str) -> TrainingRecipe:
    """The recipe of a domain, `config/train/DOMAIN.yaml`; an empty one where none is shipped.

    Raises:
        ValueError: naming the file and what is wrong with it.
    """
    try:
        path = share_path('config', 'train', f'{domain}.yaml')
    except FileNotFoundError:
        return TrainingRecipe()
    try:
        values = yaml.safe_load(path.read_text(encoding='utf-8'))
    except yaml.YAMLError as error:
        raise ValueError(f'{path} is no YAML: {error}') from None
    return from_mapping(TrainingRecipe, values or {}, str(path))
