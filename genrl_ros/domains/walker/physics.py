"""dm_control's planar walker: torso, two legs, six motors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genrl_ros.domains.base import Vector
from genrl_ros.domains.suite import SuiteBody, scene_path
from genrl_ros.domains.walker import POSITIONS, ROBOT
from genrl_ros.system.arrays import FloatArray

SIDES = ('right', 'left')


class Walker(SuiteBody):
    """The walker, seen from the side by a camera that goes with it."""

    def __init__(self) -> None:
        super().__init__(ROBOT, scene_path('walker'), 'side')

    def heights(self, part: str) -> tuple[float, float]:
        """Height of the right and the left `thigh`, `leg` or `foot`, in m."""
        right, left = (self.height(f'{side}_{part}') for side in SIDES)
        return right, left

    def offsets(self) -> Vector:
        """Horizontal way from thigh to foot, right and left `(2,)`, in m."""
        place = self.data.body
        return np.array([place(f'{s}_foot').xpos[0] - place(f'{s}_thigh').xpos[0] for s in SIDES])

    def rotation(self) -> float:
        """Angular momentum around the pitch axis, in kg m²/s; positive turns forward."""
        return float(self.data.body('torso').subtree_angmom[1])

    def readings(self) -> dict[str, float]:
        """Every reading of the domain."""
        feet = self.heights('foot')
        return {
            'torso height': self.height('torso'),
            'uprightness': self.along('torso'),
            'speed': float(self.speed('torso')[0]),
            'rotation': self.rotation(),
            'highest foot': max(feet),
            'lowest foot': min(feet),
        }

    def state(self) -> npt.NDArray[np.float64]:
        """Positions `(9,)` and velocities `(9,)` of the joints, and all readings `(6,)`."""
        return np.concatenate([self.data.qpos, self.data.qvel, list(self.readings().values())])

    def restore(self, state: npt.NDArray[np.floating]) -> None:
        """Be as in a recorded state `(24,)`."""
        self.pose(state[:POSITIONS], state[POSITIONS : 2 * POSITIONS])


def observe(physics: Walker) -> FloatArray:
    """What dm_control shows to agents: orientations, height and velocities, `(24,)` float32."""
    orientations = physics.data.xmat[1:, [0, 2]].ravel()
    seen = [orientations, [physics.height('torso')], physics.data.qvel]
    return np.concatenate(seen).astype(np.float32)
