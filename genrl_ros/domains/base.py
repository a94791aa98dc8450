"""What a domain is to all others: the robot, its tasks, and what an environment shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from genrl_ros.system.arrays import Image


@dataclass(frozen=True)
class Task:
    """A task of a domain: the prompt that it is evaluated with, and what has to move."""

    name: str
    prompt: str
    element: str


@dataclass(frozen=True)
class EnvSpec:
    """What a policy has to know of an embodiment before it may act on it.

    Attributes:
        domain: name of the domain, such as `kitchen`.
        action_names: one name a channel, in the order of the action vector.
        action_scale: physical units (rad/s for a velocity channel) of an action of 1.0.
        control_dt_s: seconds between two commands.
        action_repeat: control steps that one action of the agent lasts.
        episode_steps: agent steps of one episode.
        tasks: the tasks that `genrl eval` runs.
        image_size: height and width of the square RGB image, in pixels.
    """

    domain: str
    action_names: tuple[str, ...]
    action_scale: tuple[float, ...]
    control_dt_s: float
    action_repeat: int
    episode_steps: int
    tasks: tuple[Task, ...]
    image_size: int = 64

    def __post_init__(self) -> None:
        if len(self.action_names) != len(self.action_scale):
            raise ValueError(
                f'{self.domain}: {len(self.action_names)} action names but '
                f'{len(self.action_scale)} action scales'
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EnvSpec:
        """The inverse of `dataclasses.asdict`, after JSON has made lists of tuples.

        Raises:
            KeyError, TypeError or ValueError: if these are not the values of one.
        """
        tuples = {name: tuple(values[name]) for name in ('action_names', 'action_scale')}
        tasks = tuple(Task(**task) for task in values['tasks'])
        return cls(**{**values, **tuples, 'tasks': tasks})

    @property
    def action_dim(self) -> int:
        """Number of channels of the action vector."""
        return len(self.action_names)

    def task(self, name: str) -> Task:
        """The task of that name.

        Raises:
            ValueError: if the domain has no such task.
        """
        for task in self.tasks:
            if task.name == name:
                return task
        known = ', '.join(task.name for task in self.tasks)
        raise ValueError(f'{self.domain} has no task {name!r}; it has: {known}')


@dataclass(frozen=True)
class ElementState:
    """State of one movable thing in the scene, measured by the simulator.

    Attributes:
        value: joint positions of the element (rad or m).
        distance: L2 distance to the element's goal position.
        success: whether the distance is below the element's threshold.
    """

    value: tuple[float, ...]
    distance: float
    success: bool


@dataclass(frozen=True)
class Observation:
    """What an environment shows after a step.

    Attributes:
        image: `(3, size, size)` uint8 RGB.
        joint_positions: `(A,)` float64, rad or m.
        joint_velocities: `(A,)` float64, rad/s or m/s.
        elements: state of every element; for measuring success, never shown to a policy.
    """

    image: Image
    joint_positions: npt.NDArray[np.float64]
    joint_velocities: npt.NDArray[np.float64]
    elements: Mapping[str, ElementState] = field(default_factory=dict)


class Env(Protocol):
    """A simulated robot with a camera."""

    spec: EnvSpec

    def reset(self, seed: int | None = None) -> Observation:
        """Start an episode."""
        ...

    def step(self, action: npt.NDArray[np.floating]) -> Observation:
        """One agent step: the action `(A,)` in [-1, 1], held for `action_repeat` control steps."""
        ...

    def control(self, command: npt.NDArray[np.floating]) -> Observation:
        """One control step of `control_dt_s` with a command `(A,)` in physical units."""
        ...

    def render(self, size: int) -> Image:
        """The camera's view as `(3, size, size)` uint8."""
        ...

    def close(self) -> None:
        """Free the simulator and its renderer."""
        ...
