"""The domains that there are, by name."""

from __future__ import annotations

from genrl_ros.domains.base import EnvSpec
from genrl_ros.domains.kitchen.film import film
from genrl_ros.domains.kitchen.physics import ELEMENTS, PARAPHRASES, SPEC, Camera, Kitchen
from genrl_ros.system.arrays import Image


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


def paraphrases(domain: str, task: str) -> tuple[str, ...]:
    """Other ways to ask for a task.

    Raises:
        ValueError: if there is no such domain.
    """
    _check(domain)
    return PARAPHRASES.get(task, ())


def film_task(
    domain: str, task: str, distance_m: float, azimuth_deg: float, elevation_deg: float, seed: int
) -> Image:
    """A film `(8, 3, 64, 64)` uint8 of a task, done by an expert, seen from anywhere.

    Raises:
        ValueError: if there is no such domain or task.
    """
    camera = Camera(distance=distance_m, azimuth=azimuth_deg, elevation=elevation_deg)
    return film(env_spec(domain).task(task).element, camera, seed)


def element_positions(domain: str) -> dict[str, slice]:
    """Where each element is in the simulator's positions, and in the `state` of episodes.

    Empty where there is no simulator, as for a robot, whose `state` is its joints.
    """
    if domain != SPEC.domain:
        return {}
    return {name: element.index for name, element in ELEMENTS.items()}


def movable(spec: EnvSpec) -> slice:
    """Where in recorded positions the things are that tasks move; all, if there are no tasks."""
    elements = element_positions(spec.domain).values() if spec.tasks else ()
    return slice(min((element.start for element in elements), default=0), None)


def _check(domain: str) -> None:
    if domain != SPEC.domain:
        raise ValueError(f'there is no domain {domain!r}; there is: {SPEC.domain}')
