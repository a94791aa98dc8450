"""The domains that there are, by name: the one list. Each is imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import Any

from genrl_ros.domains.base import Domain, Physics, Task, TaskLogic
from genrl_ros.domains.environment import Environment, Scene
from genrl_ros.system.arrays import Image
from genrl_ros.system.environment import check_drawing

DOMAINS = {
    'kitchen': 'genrl_ros.domains.kitchen:DOMAIN',
    'walker': 'genrl_ros.domains.walker:DOMAIN',
}


def names() -> tuple[str, ...]:
    """Names of all domains."""
    return tuple(DOMAINS)


def find(name: str) -> Domain | None:
    """A domain; None if there is none of that name, as for a robot that has no simulator."""
    return load(DOMAINS[name]) if name in DOMAINS else None


def get(name: str) -> Domain:
    """A domain.

    Raises:
        ValueError: if there is none of that name.
    """
    domain = find(name)
    if domain is None:
        raise ValueError(f'there is no domain {name!r}; there is: {", ".join(DOMAINS)}')
    return domain


def objects(name: str) -> slice:
    """Where in recorded states the things are that tasks move; all, where there are no tasks."""
    domain = find(name)
    return slice(0 if domain is None else domain.first_object, None)


def tasks(name: str) -> tuple[Task, ...]:
    """The tasks of a domain; none for a robot that has no simulator."""
    domain = find(name)
    return () if domain is None else domain.tasks


def load(place: str) -> Any:
    """The object that `module:name` stands for."""
    module, _, name = place.partition(':')
    return getattr(importlib.import_module(module), name)


def make_physics(domain: Domain) -> Physics:
    """A new simulator of a domain.

    Raises:
        VariableError: naming an environment variable with which MuJoCo cannot draw.
    """
    check_drawing()
    physics: Physics = load(domain.physics)()
    return physics


def task_logic(domain: Domain, task: str) -> TaskLogic:
    """What a task is to the simulator.

    Raises:
        ValueError: if the domain has no such task.
    """
    logic: TaskLogic = load(domain.logic)(domain.task(task).name)
    return logic


def make_environment(domain: Domain, task: str | None = None) -> Environment:
    """A new environment of a domain, with a task that is rewarded or without.

    Raises:
        ValueError: if the domain has no such task.
    """
    logic = None if task is None else task_logic(domain, task)
    return Environment(domain, make_physics(domain), logic)


def make_scene(domain: Domain) -> Scene:
    """A new simulator of a domain with all its tasks."""
    logics = {task.name: task_logic(domain, task.name) for task in domain.tasks}
    return Scene(domain, make_physics(domain), logics)


def film(
    domain: Domain,
    task: str,
    distance_m: float,
    azimuth_deg: float,
    elevation_deg: float,
    seed: int,
) -> Image:
    """A film `(T, 3, 64, 64)` uint8 of a task, done by an expert, seen from anywhere.

    Raises:
        ValueError: if there is no such task, or nobody to film.
    """
    if not domain.film:
        raise ValueError(f'{domain.name} has no expert that could be filmed')
    frames: Image = load(domain.film)(task, distance_m, azimuth_deg, elevation_deg, seed)
    return frames
