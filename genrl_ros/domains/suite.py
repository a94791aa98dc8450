"""Bodies of dm_control's suite, driven by the torques of their motors.

Their scenes come from the dm_control package. Its loop is written again here in a few lines, since
importing it loads a renderer, and it makes a step three times slower; a test compares both.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import mujoco
import numpy as np
import numpy.typing as npt

from genrl_ros.domains import view
from genrl_ros.domains.base import IMAGE_SIZE, Joints, RobotSpec, Vector
from genrl_ros.system.arrays import Image


def scene_path(name: str) -> Path:
    """The file of a scene in the dm_control package, which is found and not imported.

    Raises:
        FileNotFoundError: if there is no such package, or it lacks the scene.
    """
    package = importlib.util.find_spec('dm_control')
    folder = Path(package.origin).parent if package and package.origin else Path()
    path = folder / 'suite' / f'{name}.xml'
    if not path.is_file():
        raise FileNotFoundError(
            f'the scene of the {name} is missing: {path}; install dm_control 1.0.34 in this '
            'environment'
        )
    return path


class SuiteBody:
    """A body with motors on a floor, seen by one of its cameras; no sky is drawn.

    Without commands, time stands still: nothing else holds a body that may be in the air.

    Args:
        robot: its actions are torques, one a motor of the same name, in the scene's order.
        scene: the file of the scene.
        camera: name of the camera.
    """

    def __init__(self, robot: RobotSpec, scene: Path, camera: str) -> None:
        self.robot = robot
        spec = mujoco.MjSpec.from_file(str(scene))
        view.prepare(spec)
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        motors = [self.model.actuator(i) for i in range(self.model.nu)]
        if tuple(motor.name for motor in motors) != robot.action_names:
            raise ValueError(f'{scene} has other motors than {robot.name} has actions')
        self._gear = self.model.actuator_gear[:, 0].copy()
        self._substeps = round(robot.control_dt_s / self.model.opt.timestep)
        self._camera, self._drawn = camera, view.View(self.model, skybox=False)
        self._joints = tuple(
            self.model.joint(i).name for i in range(self.model.njnt) if self.model.jnt_limited[i]
        )
        self._rng = np.random.default_rng(0)
        self.reset()

    def reset(self, seed: int | None = None) -> None:
        """Anywhere within the joints' limits and turned by any angle, at rest (facts 6.1).

        Args:
            seed: of where; without one, it is drawn on from the last.
        """
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        mujoco.mj_resetData(self.model, self.data)
        for joint in range(self.model.njnt):
            place = self.model.jnt_qposadr[joint]
            if self.model.jnt_limited[joint]:
                self.data.qpos[place] = self._rng.uniform(*self.model.jnt_range[joint])
            elif self.model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_HINGE:
                self.data.qpos[place] = self._rng.uniform(-np.pi, np.pi)
        mujoco.mj_forward(self.model, self.data)

    def pose(self, position: npt.ArrayLike, velocity: npt.ArrayLike = 0.0) -> None:
        """Put the body somewhere.

        Args:
            position: `(Q,)` of all joints, in m and rad.
            velocity: `(Q,)` of them, in the same a second.
        """
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:], self.data.qvel[:] = position, velocity
        mujoco.mj_forward(self.model, self.data)

    def control(self, command: npt.NDArray[np.floating]) -> None:
        """One control step with torques `(A,)` in N m, clipped to what the motors can.

        Raises:
            ValueError: if `command` has another shape.
        """
        if np.shape(command) != self._gear.shape:
            raise ValueError(
                f'a command has {len(self._gear)} channels, got shape {np.shape(command)}'
            )
        self.data.ctrl[:] = np.clip(command / self._gear, -1.0, 1.0)
        # As dm_control steps, so that what is read is of the state and not of the one before.
        mujoco.mj_step2(self.model, self.data)
        mujoco.mj_step(self.model, self.data, nstep=self._substeps - 1)
        mujoco.mj_step1(self.model, self.data)

    def hold(self) -> None:
        """Nothing: time stands still."""

    def render(self, size: int = IMAGE_SIZE) -> Image:
        """The camera's view, `(3, size, size)` uint8 RGB, antialiased.

        Raises:
            ValueError: if `size` is not between 1 and 512 pixels.
            OSError: if MuJoCo cannot draw.
        """
        return self._drawn.image(self.data, self._camera, size)

    def joints(self) -> Joints:
        """The joints within the body, which have limits."""
        found = [self.data.joint(name) for name in self._joints]
        return Joints(
            self._joints,
            np.array([joint.qpos[0] for joint in found]),
            np.array([joint.qvel[0] for joint in found]),
        )

    def height(self, body: str) -> float:
        """Height of a body part's frame, in m."""
        return float(self.data.body(body).xpos[2])

    def along(self, body: str) -> float:
        """How much of a body part's own vertical axis points up, in [-1, 1]."""
        return float(self.data.body(body).xmat[8])

    def speed(self, body: str) -> Vector:
        """Velocity `(3,)` in m/s of the centre of mass of a body part and all that hangs on it."""
        return self.data.body(body).subtree_linvel

    def close(self) -> None:
        """Free the renderers."""
        self._drawn.close()
