"""Defaults of a command's arguments: a preset's, or those of the domain's training recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, cast

from genrl_ros.config.mapping import from_mapping
from genrl_ros.config.presets import TRAINING, Preset, PresetName
from genrl_ros.config.recipe import Settings, TrainingRecipe, read_recipe


def defaults(command: str, config: type, arguments: Sequence[str]) -> dict[str, Any]:
    """What `tyro.cli` takes as `default`, if anything differs from the dataclass's own.

    `--preset` on the command line counts more than the recipe of the domain, which may name a
    preset, too.

    Args:
        command: the subcommand.
        config: its arguments.
        arguments: the command line.

    Raises:
        ValueError: if the recipe is none, naming its file.
    """
    known = {field.name for field in fields(config)}
    if 'domain' not in known:
        return {}
    asked = _given(arguments, '--preset')
    domain = arguments[0] if arguments and not arguments[0].startswith('-') else ''
    if not domain:
        return {}  # which is told, with all that is needed
    recipe: Mapping[str, Any] = {} if asked else _of_command(command, read_recipe(domain))
    preset = TRAINING.get(cast(PresetName, asked or recipe.get('preset')))
    settings: dict[str, Any] = {}
    if preset is not None and 'preset' in known:
        settings = {f.name: asdict(getattr(preset, f.name)) for f in fields(Preset)}
        settings['preset'] = asked or recipe['preset']
    settings = {k: v for k, v in _merged(settings, recipe).items() if k in known}
    if not settings:
        return {}
    where = f'the training recipe of {domain}' if recipe else f'preset {asked}'
    return {'default': from_mapping(config, {**settings, 'domain': domain}, where)}


def _of_command(command: str, recipe: TrainingRecipe) -> Mapping[str, Any]:
    """The part of a recipe that a command is concerned with."""
    learning = {'learning': recipe.learning} if recipe.learning else {}
    collect = {'frames': 'frames', 'seed': 'data_seed'}
    parts: dict[str, Mapping[str, Any]] = {
        'collect': recipe.collect,
        'pretrain': recipe.pretrain,
        'connect': recipe.pretrain,
        'train-all': {
            **{collect[name]: value for name, value in recipe.collect.items()},
            **recipe.pretrain,
            **learning,
        },
        'learn': learning,
        'eval': {**learning, **_alone(recipe.learning)},
    }
    return parts.get(command, {})


def _alone(learning: Settings) -> dict[str, Any]:
    """How imagination alone is learned: as the recipe does without its anchor, if it can.

    Where a recipe's policies begin as the prior, its settings are none for random weights.
    """
    if learning.get('from_prior', True):
        return {}
    return {'imagination': {**learning, 'prior': 0.0}}


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings with others laid over them."""
    merged = dict(base)
    for name, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = _merged(merged[name], value) if both else value
    return merged


def _given(arguments: Sequence[str], option: str) -> str | None:
    """The value of an option, as `--name value` or `--name=value`."""
    words = [part for word in arguments for part in word.split('=', 1)]
    return dict(zip(words, words[1:], strict=False)).get(option)
