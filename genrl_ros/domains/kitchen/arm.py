"""Cartesian control of the Franka arm through joint velocities, for scripted behaviour."""

from __future__ import annotations

import mujoco
import numpy as np
import numpy.typing as npt

from genrl_ros.domains.kitchen import CONTROL_DT_S, MAX_VELOCITY
from genrl_ros.domains.kitchen.physics import ARM, JOINT_HIGH, JOINT_LOW, Kitchen

Vector = npt.NDArray[np.float64]

JOINTS = 7
GRIP_POINT_M = 0.035  # from the end-effector site to where the fingers hold
DAMPING = 3e-4
ORIENTATION_WEIGHT = 0.25


class Arm:
    """Turns a wanted motion of the gripper into an action, by damped least squares.

    Position counts more than orientation, and joints at their limits are left out of the solution.
    Gravity is fed forward, since position actuators sag under it and the environment starts every
    command from the measured position.
    """

    def __init__(self, kitchen: Kitchen) -> None:
        self._model, self._data = kitchen.model, kitchen.data
        self._site = self._model.site('end_effector').id
        self._body = int(self._model.site_bodyid[self._site])
        self._low = np.maximum(JOINT_LOW[:JOINTS], self._model.jnt_range[:JOINTS, 0])
        self._high = np.minimum(JOINT_HIGH[:JOINTS], self._model.jnt_range[:JOINTS, 1])
        self._stiffness = self._model.actuator_gainprm[:JOINTS, 0].copy()

    @property
    def rotation(self) -> Vector:
        """Orientation of the hand `(3, 3)`; the third column points out of the palm."""
        return self._data.site_xmat[self._site].reshape(3, 3).copy()

    @property
    def position(self) -> Vector:
        """Where the fingers hold, `(3,)` in world coordinates (m)."""
        return self._data.site_xpos[self._site] + GRIP_POINT_M * self.rotation[:, 2]

    def action(self, target: Vector, rotation: Vector, reach: float, grip: float) -> Vector:
        """The action `(9,)` that moves the gripper towards a pose.

        Args:
            target: wanted position of the grip point (m).
            rotation: wanted orientation of the hand `(3, 3)`.
            reach: most metres that the grip point shall move in one agent step.
            grip: velocity of both fingers, -1 closes and 1 opens.
        """
        error = np.zeros(6)
        error[:3] = _limit(target - self.position, reach)
        error[3:] = ORIENTATION_WEIGHT * _limit(_rotation_error(self.rotation, rotation), 0.4)
        jacobian = self._jacobian()
        jacobian[3:] *= ORIENTATION_WEIGHT
        action = self.still(grip)
        action[:JOINTS] += self._solve(jacobian, error) / (MAX_VELOCITY * CONTROL_DT_S)
        action[:JOINTS] /= max(1.0, float(np.abs(action[:JOINTS]).max()))
        return action

    def still(self, grip: float) -> Vector:
        """The action `(9,)` that holds the arm up against gravity; zeros would let it sink."""
        action = np.full(ARM, grip)
        sag = self._data.qfrc_bias[:JOINTS] / self._stiffness
        action[:JOINTS] = sag / (MAX_VELOCITY * CONTROL_DT_S)
        return action

    def _jacobian(self) -> Vector:
        linear, angular = np.zeros((3, self._model.nv)), np.zeros((3, self._model.nv))
        mujoco.mj_jac(self._model, self._data, linear, angular, self.position, self._body)
        return np.concatenate([linear, angular])[:, :JOINTS]

    def _solve(self, jacobian: Vector, error: Vector) -> Vector:
        """Change of the joints `(7,)`, where no joint leaves its limits."""
        position = self._data.qpos[:JOINTS]
        room_down, room_up = self._low - position, self._high - position
        change = np.zeros(JOINTS)
        free = np.ones(JOINTS, bool)
        for _ in range(JOINTS):
            part = jacobian[:, free]
            rest = error - jacobian[:, ~free] @ change[~free]
            square = part @ part.T + DAMPING * np.eye(6)
            change[free] = part.T @ np.linalg.solve(square, rest)
            broken = free & ((change < room_down) | (change > room_up))
            if not broken.any():
                break
            change[broken] = np.clip(change, room_down, room_up)[broken]
            free &= ~broken
        return change


def _limit(vector: Vector, length: float) -> Vector:
    return vector * min(1.0, length / max(float(np.linalg.norm(vector)), 1e-9))


def _rotation_error(now: Vector, wanted: Vector) -> Vector:
    """Rotation vector (rad, small angles) that turns `now` into `wanted`."""
    return 0.5 * np.cross(now.T, wanted.T).sum(axis=0)
