"""The kitchen as a film studio: states are set rather than simulated, the look is varied."""

from __future__ import annotations

import mujoco
import numpy as np
import numpy.typing as npt

from genrl_ros.domains.kitchen.arm import Arm
from genrl_ros.domains.kitchen.elements import ELEMENTS
from genrl_ros.domains.kitchen.physics import HOME, Camera, Kitchen, free_camera
from genrl_ros.system.arrays import FloatArray

HANDLES = {
    'microwave': 'microhandle_site',
    'slide': 'slide_site',
    'hinge': 'hinge_site2',
    'light': 'light_site',
    'bottom_burner': 'knob2_site',
    'top_burner': 'knob4_site',
    'kettle': 'kettle_site',
}
"""Where the hand has to be to touch each element."""

AZIMUTH_DEG, ELEVATION_DEG, DISTANCE_M, LOOKAT_M = 12.0, 8.0, 0.25, 0.1
LEAST_TURN_DEG = 0.5
"""No varied camera stands within this azimuth of the paper's."""
LIGHT_RANGE, COLOUR_RANGE = (0.7, 1.3), (0.85, 1.15)

# The main position of each element in qpos, and its value at the goal. Burners and light have a
# second position that their knob or switch carries along.
_MAIN = {
    name: (
        ELEMENTS[name].main,
        ELEMENTS[name].goal[ELEMENTS[name].main - ELEMENTS[name].index.start],
    )
    for name in HANDLES
    if name != 'kettle'
}
_KETTLE = slice(23, 26)


class Studio(Kitchen):
    """A kitchen whose camera, lights and colours can be varied between takes."""

    def __init__(self) -> None:
        super().__init__()
        self._arm = Arm(self)
        model = self.model
        self._lights = model.light_diffuse[:3].copy()
        self._ambient = model.vis.headlight.ambient.copy()
        self._head = model.vis.headlight.diffuse.copy()
        self._colours = model.mat_rgba.copy()
        self._painted = [
            i for i in range(model.nmat) if model.material(i).name not in ('oven_burner',)
        ]

    def look_as_published(self) -> None:
        """Back to the paper's camera, lights and colours."""
        self._aim(Camera())
        self.model.light_diffuse[:3] = self._lights
        self.model.vis.headlight.ambient[:] = self._ambient
        self.model.vis.headlight.diffuse[:] = self._head
        self.model.mat_rgba[:] = self._colours

    def vary_look(self, rng: np.random.Generator) -> None:
        """Another camera around, but never at, the paper's; other lights and colours."""
        self.look_as_published()
        base = Camera()
        turn = rng.uniform(LEAST_TURN_DEG, AZIMUTH_DEG) * rng.choice([-1.0, 1.0])
        x, y, z = base.lookat + rng.uniform(-LOOKAT_M, LOOKAT_M, 3)
        self._aim(
            Camera(
                distance=base.distance + rng.uniform(-DISTANCE_M, DISTANCE_M),
                lookat=(x, y, z),
                azimuth=base.azimuth + turn,
                elevation=base.elevation + rng.uniform(-ELEVATION_DEG, ELEVATION_DEG),
            )
        )
        model = self.model
        model.light_diffuse[:3] *= rng.uniform(*LIGHT_RANGE, (3, 1))
        model.vis.headlight.ambient[:] *= rng.uniform(*LIGHT_RANGE)
        model.vis.headlight.diffuse[:] *= rng.uniform(*LIGHT_RANGE)
        tint = rng.uniform(*COLOUR_RANGE, (len(self._painted), 3))
        model.mat_rgba[self._painted, :3] = np.clip(self._colours[self._painted, :3] * tint, 0, 1)

    def advance(self, action: npt.NDArray[np.floating]) -> None:
        """One control step with an action `(9,)` in [-1, 1], without drawing."""
        self.control(np.clip(action, -1.0, 1.0) * self.robot.action_scale)

    def places(self, qpos: npt.NDArray[np.floating]) -> tuple[FloatArray, FloatArray]:
        """Hand `(T, 3)` and handles `(T, 7, 3)` in metres for states `(T, 30)`."""
        hand, handles = np.empty((len(qpos), 3)), np.empty((len(qpos), len(HANDLES), 3))
        for t, state in enumerate(qpos):
            self.data.qpos[:] = state
            mujoco.mj_kinematics(self.model, self.data)
            hand[t] = self._arm.position
            handles[t] = [self.data.site(site).xpos for site in HANDLES.values()]
        return hand.astype(np.float32), handles.astype(np.float32)

    @staticmethod
    def progress(qpos: npt.NDArray[np.floating]) -> FloatArray:
        """How far each element is on its way to its goal, `(T, 7)`; 0 at rest, 1 at the goal."""
        columns = [qpos[:, index] / goal for index, goal in _MAIN.values()]
        start, goal = HOME[_KETTLE], np.array(ELEMENTS['kettle'].goal[:3])
        way = goal - start
        columns.append((qpos[:, _KETTLE] - start) @ way / (way @ way))
        return np.stack(columns, 1).astype(np.float32)

    @staticmethod
    def set_element(
        qpos: npt.NDArray[np.floating], element: str, progress: npt.NDArray[np.floating]
    ) -> None:
        """Put an element of states `(T, 30)` where `progress` `(T,)` says, in place."""
        where = ELEMENTS[element]
        start, goal = HOME[where.index], np.array(where.goal)
        if element == 'kettle':  # it is moved, never turned
            where_xyz = _KETTLE
            start, goal = start[:3], goal[:3]
        else:
            where_xyz = where.index
        qpos[:, where_xyz] = start + progress[:, None] * (goal - start)

    def _aim(self, camera: Camera) -> None:
        self.camera = camera
        self._view = free_camera(camera)
