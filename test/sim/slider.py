"""A toy domain: a block on a rail. Tests add it to a copy of the package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from genrl_ros.domains.base import Domain, Joints, Reading, RobotSpec, Score, Scripted, Task
from genrl_ros.system.share import share_path

ROBOT = RobotSpec(
    name='slider',
    action_names=('rail',),
    action_scale=(1.0,),
    units=('m/s',),
    control_dt_s=0.05,
    action_repeat=2,
    camera_rate_hz=20.0,
)
HERE = 'genrl_ros.domains.slider'
DOMAIN = Domain(
    robot=ROBOT,
    episode_steps=20,
    tasks=(
        Task('right', 'push the block to the right', score=Score('return', 0.0, 30.0),
             readings=('block',)),
    ),
    readings=(Reading('block', 'm', 0),),
    physics=f'{HERE}:Slider',
    logic=f'{HERE}:logic',
    data=Scripted(f'{HERE}:wander'),
)  # fmt: skip


class Slider:
    """A block on a rail, driven by its velocity."""

    robot = ROBOT

    def __init__(self) -> None:
        import mujoco

        self._mujoco = mujoco
        self.model = mujoco.MjModel.from_xml_path(str(share_path('sim', 'slider.xml')))
        self.data = mujoco.MjData(self.model)
        self._renderer = mujoco.Renderer(self.model, 64, 64)

    def reset(self, seed: int | None = None) -> None:
        self._mujoco.mj_resetData(self.model, self.data)
        if seed is not None:
            self.data.qpos[0] = np.random.default_rng(seed).uniform(-0.3, 0.3)
        self._mujoco.mj_forward(self.model, self.data)

    def control(self, command: np.ndarray) -> None:
        self.data.ctrl[:] = command
        self._mujoco.mj_step(self.model, self.data, nstep=5)

    def hold(self) -> None:
        self.control(np.zeros(1))

    def render(self, size: int = 64) -> np.ndarray:
        self._renderer.update_scene(self.data, 'front')
        return np.ascontiguousarray(self._renderer.render().transpose(2, 0, 1))

    def readings(self) -> dict[str, float]:
        return {'block': float(self.data.qpos[0])}

    def state(self) -> np.ndarray:
        return np.concatenate([self.data.qpos, self.data.qvel])

    def restore(self, state: np.ndarray) -> None:
        self.data.qpos[:], self.data.qvel[:] = state
        self._mujoco.mj_forward(self.model, self.data)

    def joints(self) -> Joints:
        return Joints(('rail',), self.data.qpos.copy(), self.data.qvel.copy())

    def close(self) -> None:
        self._renderer.close()


class ToTheRight:
    """Rewards how far to the right the block is."""

    def initialise(self, physics: Slider, rng: np.random.Generator) -> None:
        pass

    def reward(self, physics: Slider) -> float:
        return float(np.clip(physics.data.qpos[0] + 0.5, 0.0, 1.0))

    def success(self, physics: Slider) -> bool:
        return False


def logic(task: str) -> ToTheRight:
    return ToTheRight()


class Wander:
    """Random velocities."""

    kind = 'random'

    def __init__(self, rng: np.random.Generator) -> None:
        self.actions: Iterator[np.ndarray] = iter(lambda: rng.uniform(-1, 1, 1), None)


def wander(physics: Any, rng: np.random.Generator) -> Wander:
    return Wander(rng)
