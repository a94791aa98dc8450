"""The Franka kitchen, set up as the paper's: same scene, camera, control and success."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
import numpy.typing as npt

from genrl_ros.domains.base import IMAGE_SIZE, Joints
from genrl_ros.domains.kitchen import CONTROL_DT_S, MAX_VELOCITY, ROBOT
from genrl_ros.domains.kitchen.elements import ELEMENTS
from genrl_ros.domains.kitchen.model import load_model
from genrl_ros.domains.view import View
from genrl_ros.system.arrays import Image

ARM = ROBOT.action_dim
PHYSICS_STEPS = 40
READING_NOISE = 0.1 * 0.1  # the paper's noise ratio times the joints' noise amplitude


@dataclass(frozen=True)
class Camera:
    """Pose of a camera that looks at a point.

    Attributes:
        distance: metres from the point.
        lookat: the point, in world coordinates (m).
        azimuth: degrees around the vertical axis.
        elevation: degrees; negative looks down.
    """

    distance: float = 2.2
    lookat: tuple[float, float, float] = (-0.2, 0.5, 2.0)
    azimuth: float = 70.0
    elevation: float = -35.0


HOME = np.array(
    [
        *(0.148388023, -1.76848573, 1.84390296, -2.47685760, 0.260252026, 0.712533105),
        *(1.59515394, 0.0479267505, 0.0371350919),
        *(-2.66279850e-04, -5.18043486e-05, 3.12877220e-05, -4.51199853e-05, -3.90842156e-06),
        *(-4.22629655e-05, 6.28065475e-05, 4.04984708e-05, 4.62730939e-04, -2.26906415e-04),
        *(-4.65501369e-04, -6.44129196e-03, -1.77048263e-03, 1.08009684e-03),
        *(-0.269397440, 0.350383255, 1.61944683, 1.00618764, 4.06395120e-03, -6.62095997e-03),
        -2.68278933e-04,
    ]
)

JOINT_LOW = np.array([-2.9, -1.8, -2.9, -3.1, -2.9, 0.0, -2.9, 0.0, 0.0])
JOINT_HIGH = np.array([2.9, 1.8, 2.9, 0.0, 2.9, 3.8, 2.9, 0.04, 0.04])


class Kitchen:
    """Nine joint velocities in, 64x64 images out; resets to the same pose every time.

    A velocity is integrated over one control step from the last *noisy* joint reading, clipped to
    the joints' limits and sent to position actuators, as in the paper's kitchen: the noise is part
    of the dynamics, and the seed of `reset` is the seed of that noise.

    Args:
        camera: pose of the camera; the paper's unless given.
    """

    robot = ROBOT

    def __init__(self, camera: Camera | None = None) -> None:
        self.camera = camera or Camera()
        self.model = load_model()
        self.data = mujoco.MjData(self.model)
        self._view = free_camera(self.camera)
        self._drawn = View(self.model)
        self._lamp = _Lamp(self.model)
        self._rng = np.random.default_rng(0)
        self._reading = HOME[:ARM].copy()
        self.set_state(HOME)

    def reset(self, seed: int | None = None) -> None:
        """Back to the start pose.

        Args:
            seed: of the noise on joint readings; without one, the noise goes on as it was.
        """
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self.set_state(HOME)
        self._read_joints()

    def set_state(self, qpos: npt.NDArray[np.floating]) -> None:
        """Put everything where `qpos` `(30,)` says, at rest.

        Raises:
            ValueError: if `qpos` has another shape.
        """
        if np.shape(qpos) != (self.model.nq,):
            raise ValueError(f'qpos must have shape ({self.model.nq},), got {np.shape(qpos)}')
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:] = qpos
        self.data.ctrl[:] = self.data.qpos[:ARM]
        mujoco.mj_forward(self.model, self.data)
        self._reading = self.data.qpos[:ARM].copy()

    def control(self, command: npt.NDArray[np.floating]) -> None:
        """One control step of 0.08 s with joint velocities `(9,)` in rad/s, clipped to 2 rad/s.

        Raises:
            ValueError: if `command` has another shape.
        """
        if np.shape(command) != (ARM,):
            raise ValueError(f'a command has {ARM} channels, got shape {np.shape(command)}')
        velocity = np.clip(command, -MAX_VELOCITY, MAX_VELOCITY)
        target = self._reading + velocity * CONTROL_DT_S
        self.data.ctrl[:] = np.clip(target, JOINT_LOW, JOINT_HIGH)
        mujoco.mj_step(self.model, self.data, nstep=PHYSICS_STEPS)
        self._read_joints()

    def hold(self) -> None:
        """One control step with the actuators at the targets that they have.

        A velocity of zero, integrated from the reading, would let the arm sink by a quarter of a
        radian in 1.5 s.
        """
        mujoco.mj_step(self.model, self.data, nstep=PHYSICS_STEPS)
        self._read_joints()

    def render(self, size: int = IMAGE_SIZE) -> Image:
        """The camera's view, `(3, size, size)` uint8 RGB, antialiased.

        Raises:
            ValueError: if `size` is not between 1 and 512 pixels.
            OSError: if MuJoCo cannot draw.
        """
        self._lamp.shine(self.model, self.data)
        return self._drawn.image(self.data, self._view, size)

    def readings(self) -> dict[str, float]:
        """Main position of each of the seven elements (rad or m)."""
        return {name: float(self.data.qpos[each.main]) for name, each in ELEMENTS.items()}

    def distance(self, element: str) -> float:
        """L2 distance of an element's positions to their goal (rad and m)."""
        return ELEMENTS[element].distance(self.data.qpos)

    def state(self) -> npt.NDArray[np.float64]:
        """Copy of the 30 positions: arm, fingers, knobs, light, doors, kettle."""
        return self.data.qpos.copy()

    def restore(self, state: npt.NDArray[np.floating]) -> None:
        """Put everything where a recorded state `(30,)` was, at rest."""
        self.set_state(state)

    def joints(self) -> Joints:
        """The arm's nine joints, without the noise that the paper adds to them."""
        return Joints(ROBOT.action_names, self.data.qpos[:ARM].copy(), self.data.qvel[:ARM].copy())

    def close(self) -> None:
        """Free the renderers; also happens by itself at exit."""
        self._drawn.close()

    def _read_joints(self) -> None:
        noise = self._rng.uniform(-READING_NOISE, READING_NOISE, ARM)
        self._reading = self.data.qpos[:ARM] + noise


class _Lamp:
    """The hood's lamp, without shadows.

    In the scene the lamp always burns, and a block that the switch lifts hides it. That needs
    shadows, which cost a hundred times the rest of the picture, so the lamp is dimmed instead by
    how far the block still has to go.
    """

    OPEN = -0.05  # m, the block's end position

    def __init__(self, model: mujoco.MjModel) -> None:
        self._light = model.light('ovenlight').id
        self._block = int(model.joint('light_joint').qposadr[0])
        self._diffuse = model.light_diffuse[self._light].copy()
        self._specular = model.light_specular[self._light].copy()

    def shine(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        share = float(np.clip(data.qpos[self._block] / self.OPEN, 0.0, 1.0))
        model.light_diffuse[self._light] = share * self._diffuse
        model.light_specular[self._light] = share * self._specular


def free_camera(pose: Camera) -> mujoco.MjvCamera:
    """A camera of MuJoCo's in that pose."""
    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_FREE
    camera.distance, camera.azimuth, camera.elevation = pose.distance, pose.azimuth, pose.elevation
    camera.lookat[:] = pose.lookat
    return camera
