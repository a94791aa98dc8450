"""Domains by name. A domain's module is imported only when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import cast

from genrl_ros.types import Env, EnvSpec

DOMAINS = {'kitchen': ('genrl_ros.envs.kitchen', 'Kitchen')}


def _kind(domain: str) -> type:
    if domain not in DOMAINS:
        raise ValueError(f'no domain {domain!r}; there are: {", ".join(DOMAINS)}')
    module, name = DOMAINS[domain]
    return cast(type, getattr(importlib.import_module(module), name))


def make_env(domain: str) -> Env:
    """A new environment of that domain.

    Raises:
        ValueError: if there is no such domain.
    """
    return cast(Env, _kind(domain)())


def env_spec(domain: str) -> EnvSpec:
    """What a domain's environments are, without making one.

    Raises:
        ValueError: if there is no such domain.
    """
    return cast(EnvSpec, _kind(domain).spec)  # type: ignore[attr-defined]


def element_positions(domain: str) -> Mapping[str, slice]:
    """Where each element is in the simulator's positions that an episode store keeps.

    Raises:
        ValueError: if there is no such domain.
    """
    return cast(Mapping[str, slice], _kind(domain).element_positions())  # type: ignore[attr-defined]
