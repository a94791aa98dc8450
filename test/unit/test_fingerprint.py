"""A training keeps its name when settings are added, and gets another with every explicit one."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, make_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from genrl_ros.cli.commands import train_all
from genrl_ros.config.fingerprint import VERSION, explicit, fingerprint
from genrl_ros.config.presets import TRAINING
from genrl_ros.config.training import FocusConfig, OptimConfig, PriorConfig, WorldModelConfig
from genrl_ros.training.engine.run import Run

KNOWN = Path(__file__).with_name('default_settings.json')


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1


@dataclass(frozen=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    updates: int = 5


def test_what_is_explicit_differs_from_the_default() -> None:
    assert explicit(Outer(), Outer()) == {}
    asked = Outer(Inner(0.2), 5)
    assert explicit(asked, Outer()) == {'inner': {'rate': 0.2}}
    assert explicit(Outer(), asked) == {'inner': {'rate': 0.1}}


def test_a_setting_that_is_added_changes_no_name() -> None:
    added = [('momentum', float, field(default=0.9))]
    longer = make_dataclass('Longer', added, bases=(Inner,), frozen=True)
    asked, later = Inner(0.2), longer(0.2)
    assert explicit(later, longer()) == explicit(asked, Inner())
    assert explicit(longer(0.2, 0.5), longer()) != explicit(asked, Inner())
    assert fingerprint({'a': 1, 'b': {'c': 2, 'd': 3}}) == fingerprint(
        {'b': {'d': 3, 'c': 2}, 'a': 1}
    )


def lineage(**settings: Any) -> str:
    return train_all.Making(train_all.Config('kitchen', **settings), Run(Path())).lineage()


def test_names_of_trainings_stay_from_release_to_release() -> None:
    assert lineage() == '948dc9eb'
    focus = FocusConfig(21, 26, 26, 31, 20.0)
    assert lineage(world_model=WorldModelConfig(focus=focus)) == 'd8ef535a'


@pytest.mark.parametrize(
    'settings',
    [
        {'seed': 1},
        {'data_seed': 2},
        {'preset': 'base'},
        {'embedder': 'siglip'},
        {'world_model': WorldModelConfig(free_nats=2.0)},
        {'prior': PriorConfig(optim=replace(PriorConfig().optim, lr=2e-3))},
        {'prior': PriorConfig(optim=OptimConfig())},
    ],
)
def test_every_explicit_setting_changes_the_name(settings: dict[str, Any]) -> None:
    assert lineage(**settings) != lineage()


@pytest.mark.parametrize(
    'settings',
    [
        {'frames': 9},
        {'episodes': 9},
        {'device': 'cpu', 'precision': 'bf16', 'threads': 9, 'workers': 9},
        {'prior': PriorConfig(updates=1), 'world_model': WorldModelConfig(updates=1)},
    ],
)
def test_more_of_the_same_keeps_the_name(settings: dict[str, Any]) -> None:
    assert lineage(**settings) == lineage()


def test_a_default_changes_only_with_the_version() -> None:
    """If this fails: raise `fingerprint.VERSION`, and write what `now` is into the file."""
    now = {name: asdict(preset) for name, preset in TRAINING.items()}
    known = json.loads(KNOWN.read_text())
    assert known['version'] == VERSION
    assert differences(known['defaults'], json.loads(json.dumps(now))) == []


def differences(known: Any, now: Any, where: str = '') -> list[str]:
    if not isinstance(known, dict):
        return [] if known == now else [where]
    return [
        found
        for name in known
        for found in differences(known[name], now.get(name), f'{where}.{name}')
    ]
