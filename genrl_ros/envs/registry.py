"""The domains that there are, by name."""

from __future__ import annotations

from genrl_ros.envs.kitchen import ELEMENTS, SPEC, Kitchen
from genrl_ros.types import EnvSpec


def env_spec(domain: str) -> EnvSpec:
    """What a policy has to know of a domain.

    Raises:
        ValueError: if there is no such domain.
    """
    _check(domain)
    return SPEC


def make_env(domain: str) -> Kitchen:
    """A new environment of a domain.

    Raises:
        ValueError: if there is no such domain.
    """
    _check(domain)
    return Kitchen()


def element_positions(domain: str) -> dict[str, slice]:
    """Where each element is in the simulator's positions, and in the `state` of episodes.

    Raises:
        ValueError: if there is no such domain.
    """
    _check(domain)
    return {name: element.index for name, element in ELEMENTS.items()}


def _check(domain: str) -> None:
    if domain != SPEC.domain:
        raise ValueError(f'there is no domain {domain!r}; there is: {SPEC.domain}')
