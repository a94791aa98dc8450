"""What a domain is: a robot in a scene, its tasks, and how its data come about.

As in dm_control, physics, task and environment are three things. Nothing here imports a simulator:
a domain names its classes as `module:name`, and `domains.registry` imports them when asked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from genrl_ros.system.arrays import Image

IMAGE_SIZE = 64
"""Height and width of every image that a world model sees, in pixels."""

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RobotSpec:
    """What a policy has to know of a robot before it may act on it.

    Attributes:
        name: of the domain or the robot, such as `kitchen`.
        action_names: one name a channel, in the order of the action vector.
        action_scale: physical units of an action of 1.0, channel by channel.
        units: unit of each channel, such as `rad/s`; empty where it was not recorded.
        control_dt_s: seconds between two commands.
        action_repeat: control steps that one action of the policy lasts.
        camera_rate_hz: images a second; 0 where it was not recorded.
    """

    name: str
    action_names: tuple[str, ...]
    action_scale: tuple[float, ...]
    units: tuple[str, ...]
    control_dt_s: float
    action_repeat: int
    camera_rate_hz: float

    def __post_init__(self) -> None:
        channels = len(self.action_names)
        for field, count in (
            ('action scales', len(self.action_scale)),
            ('units', len(self.units)),
        ):
            if count not in ((channels, 0) if field == 'units' else (channels,)):
                raise ValueError(f'{self.name}: {channels} action names but {count} {field}')
        if len(set(self.action_names)) != channels:
            raise ValueError(f'{self.name}: two actions have the same name')

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RobotSpec:
        """The inverse of `dataclasses.asdict`, after JSON has made lists of tuples.

        Files of the format before name a `domain`, hold its tasks, and know neither units nor the
        camera's rate.

        Raises:
            KeyError, TypeError or ValueError: if these are not the values of one.
        """
        known = dict(values)
        if 'domain' in known:
            known['name'] = known.pop('domain')
            size = known.pop('image_size', IMAGE_SIZE)
            if size != IMAGE_SIZE:
                raise ValueError(f'images are of {size} pixels, and {IMAGE_SIZE} are needed')
            for gone in ('tasks', 'episode_steps'):
                known.pop(gone, None)
            known |= {'units': (), 'camera_rate_hz': 0.0}
        for name in ('action_names', 'action_scale', 'units'):
            known[name] = tuple(known[name])
        return cls(**known)

    @property
    def action_dim(self) -> int:
        """Number of channels of the action vector."""
        return len(self.action_names)

    @property
    def step_s(self) -> float:
        """Seconds that one action lasts."""
        return self.control_dt_s * self.action_repeat

    def differences(self, other: RobotSpec) -> list[str]:
        """What is not the same in another robot, in words, mine first; its name aside.

        Units and the camera's rate are compared where both are known.
        """
        found = []
        for field in dataclasses.fields(self)[1:]:
            mine, others = getattr(self, field.name), getattr(other, field.name)
            unknown = field.name in ('units', 'camera_rate_hz') and not (mine and others)
            if mine != others and not unknown:
                found.append(f'{field.name} is {mine} against {others}')
        return found


@dataclass(frozen=True)
class Reading:
    """A named quantity that the simulator can tell.

    Attributes:
        name: such as `microwave`, `torso height`, `speed`.
        unit: SI: `rad`, `m`, `m/s`; empty for a number without one.
        state: its place in the `state` of recorded episodes; None if it is not in there as such.
    """

    name: str
    unit: str
    state: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What came out of an episode.

    Attributes:
        return_: sum of the task's rewards over agent steps.
        success: whether the task was done at any step.
        steps: agent steps until then, or all of them.
        at_end: whether the task was done where the policy ends on a robot: when it has seen its
            goal for a while, or when the steps of an episode are over.
    """

    return_: float
    success: bool
    steps: int
    at_end: bool = False


@dataclass(frozen=True)
class Score:
    """How an episode is scored: 1 for success and 0 without, or by its normalised return.

    Attributes:
        kind: `success` or `return`.
        random: return of a random policy, which scores 0.
        expert: return of an expert, which scores 1.
    """

    kind: Literal['success', 'return']
    random: float = 0.0
    expert: float = 1.0

    def __post_init__(self) -> None:
        if self.random >= self.expert:
            raise ValueError(f'an expert ({self.expert}) must be above random ({self.random})')

    def of(self, outcome: Outcome) -> float:
        """The score of one episode; above 1 where it is better than the expert."""
        if self.kind == 'success':
            return float(outcome.success)
        return (outcome.return_ - self.random) / (self.expert - self.random)


@dataclass(frozen=True)
class Task:
    """A task of a domain.

    Attributes:
        name: short, as `--task` takes it.
        prompt: the sentence that it is evaluated with.
        paraphrases: other ways to ask for it, by which no setting was chosen.
        split: whether the dataset holds the task done (`seen`), or not (`new`).
        score: how an episode is scored.
        readings: names of the readings that show it.
    """

    name: str
    prompt: str
    paraphrases: tuple[str, ...] = ()
    split: Literal['seen', 'new'] = 'seen'
    score: Score = Score('success')
    readings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scripted:
    """Data made by scripts that watch the simulator.

    Attributes:
        draw: `module:function` that draws the script of an episode; see `data.collect.Draw`.
    """

    draw: str


@dataclass(frozen=True)
class Agents:
    """Data made by policies that learned the seen tasks from the simulator's state, and explorers.

    Attributes:
        observe: `module:function` that gives what they see of the physics, `(O,)` float32.
        poses: how many of these, from the first, say how the body is; the others, how it moves.
    """

    observe: str
    poses: int


@dataclass(frozen=True)
class Domain:
    """A robot in a scene, its tasks, and how its data come about.

    Attributes:
        robot: what a policy has to know of the robot; its name is the domain's.
        episode_steps: agent steps of one episode.
        tasks: what `genrl eval` runs.
        readings: what the simulator can tell.
        physics: `module:Class` of the `Physics`.
        logic: `module:function` that gives the `TaskLogic` of a task's name.
        data: how its dataset is made.
        concepts: `module:OBJECT` of the `ConceptSource` that the embedder learns from; '' if none.
        film: `module:function` that films an expert at a task (see `registry.film`); '' if none.
        first_object: where in the `state` of recorded episodes the things begin that tasks move.
        camera_fov_deg: vertical field of view of its camera.
        experts_steps: agent steps in which the experts of its data have done any of its tasks; 0
            where there are none, or tasks have no end.
    """

    robot: RobotSpec
    episode_steps: int
    tasks: tuple[Task, ...]
    readings: tuple[Reading, ...]
    physics: str
    logic: str
    data: Scripted | Agents
    concepts: str = ''
    film: str = ''
    first_object: int = 0
    camera_fov_deg: float = 45.0
    experts_steps: int = 0

    def __post_init__(self) -> None:
        known = {reading.name for reading in self.readings}
        for task in self.tasks:
            if not known.issuperset(task.readings):
                raise ValueError(f'{self.name}: the task {task.name} has readings of its own')

    @property
    def name(self) -> str:
        """Name of the domain."""
        return self.robot.name

    @property
    def episode_s(self) -> float:
        """Simulated seconds of one episode."""
        return self.episode_steps * self.robot.step_s

    @property
    def attempt_steps(self) -> int:
        """Agent steps after which a policy ends on a robot, whether it is done or not."""
        return self.experts_steps or self.episode_steps

    @property
    def has_goals(self) -> bool:
        """Whether its tasks are done once something is reached; running, for one, never is."""
        return any(task.score.kind == 'success' for task in self.tasks)

    def task(self, name: str) -> Task:
        """The task of that name.

        Raises:
            ValueError: if the domain has no such task.
        """
        for task in self.tasks:
            if task.name == name:
                return task
        known = ', '.join(task.name for task in self.tasks)
        raise ValueError(f'{self.name} has no task {name!r}; it has: {known}')

    def task_of(self, prompt: str) -> Task | None:
        """The task that a sentence asks for in the task's own words; None if in no task's."""
        asked = _plain(prompt)
        for task in self.tasks:
            if asked in map(_plain, (task.name, task.prompt, *task.paraphrases)):
                return task
        return None


def _plain(sentence: str) -> str:
    return ' '.join(sentence.casefold().strip(' .!').split())


@dataclass(frozen=True)
class Joints:
    """What a robot's joint sensors tell: positions in rad or m, velocities in the same a second.

    They are not its actions: a robot may have joints that nothing drives, and actions on no joint.

    Attributes:
        names: one name a joint.
        position: `(J,)` float64.
        velocity: `(J,)` float64.
    """

    names: tuple[str, ...]
    position: Vector
    velocity: Vector


class Physics(Protocol):
    """A simulated robot in its scene, which knows nothing of tasks."""

    robot: RobotSpec

    def reset(self, seed: int | None = None) -> None:
        """Back to the start; `seed` is of its noise, which goes on as it was without one."""
        ...

    def control(self, command: npt.NDArray[np.floating[Any]]) -> None:
        """One control step of `control_dt_s` with a command `(A,)` in physical units."""
        ...

    def hold(self) -> None:
        """One control step without a command: the robot stays, or time stands still."""
        ...

    def render(self, size: int = IMAGE_SIZE) -> Image:
        """The robot's camera's view, `(3, size, size)` uint8 RGB."""
        ...

    def readings(self) -> dict[str, float]:
        """Every reading of the domain by name, in SI units."""
        ...

    def state(self) -> Vector:
        """All that is recorded of the simulator beside images, `(Q,)` float64."""
        ...

    def restore(self, state: npt.NDArray[np.floating[Any]]) -> None:
        """Be as in a recorded `state`, for rewards and readings to be what they were then."""
        ...

    def joints(self) -> Joints:
        """What the joint sensors tell."""
        ...

    def close(self) -> None:
        """Free the simulator and its renderer."""
        ...


class TaskLogic(Protocol):
    """What a task is to the simulator: how it begins, what it rewards, and when it is done."""

    def initialise(self, physics: Any, rng: np.random.Generator) -> None:
        """Prepare an episode, right after the physics was reset."""
        ...

    def reward(self, physics: Any) -> float:
        """Reward of the present state, in [0, 1]."""
        ...

    def success(self, physics: Any) -> bool:
        """Whether the task is done; always false for tasks that have no end."""
        ...
