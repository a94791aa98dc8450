"""The studio in which the embedder's clips of the walker are filmed."""

from __future__ import annotations

import mujoco
import numpy as np
import numpy.typing as npt

from genrl_ros.domains.walker.concepts import CONCEPTS, Scene, label
from genrl_ros.domains.walker.physics import SIDES, Walker
from genrl_ros.domains.walker.puppeteer import PITCH, Z, lowest, rehearse
from genrl_ros.system.arrays import FloatArray
from genrl_ros.vlm.labels import TRUE, Labels

DISTANCE, HEIGHT_M, TURN_DEG = (0.85, 1.25), 0.15, 8.0
"""Range of the camera's distance as a factor, of its height, and of its turn around the body."""
OTHERWISE = 6.0
"""How many takes show no concept, for each that shows a certain one."""
LIGHT_RANGE, COLOUR_RANGE = (0.7, 1.3), (0.8, 1.2)


class Studio(Walker):
    """See `training.embedder.source.Studio`."""

    def __init__(self) -> None:
        super().__init__()
        model = self.model
        self._eye = model.camera('side').id
        self._place = model.cam_pos[self._eye].copy()
        self._gaze = model.cam_quat[self._eye].copy()
        self._light = model.light_diffuse.copy()
        self._ambient = model.vis.headlight.ambient.copy()
        self._head = model.vis.headlight.diffuse.copy()
        self._colours = model.mat_rgba.copy()

    def rehearse(self, seed: int) -> npt.NDArray[np.float32]:
        """Positions `(T, 9)` of one rehearsal."""
        return rehearse(self, seed)

    def look_as_published(self) -> None:
        """Back to the domain's camera, lights and colours."""
        model = self.model
        model.cam_pos[self._eye], model.cam_quat[self._eye] = self._place, self._gaze
        model.light_diffuse[:] = self._light
        model.vis.headlight.ambient[:] = self._ambient
        model.vis.headlight.diffuse[:] = self._head
        model.mat_rgba[:] = self._colours

    def vary_look(self, rng: np.random.Generator) -> None:
        """Another camera around, but never at, the domain's; other lights and colours."""
        self.look_as_published()
        model = self.model
        turn = rng.uniform(0.5, TURN_DEG) * rng.choice([-1.0, 1.0]) * np.pi / 180
        x, y, z = self._place * [1.0, rng.uniform(*DISTANCE), 1.0]
        model.cam_pos[self._eye] = (
            x * np.cos(turn) - y * np.sin(turn),
            x * np.sin(turn) + y * np.cos(turn),
            z + rng.uniform(-HEIGHT_M, HEIGHT_M),
        )
        around = np.array([np.cos(turn / 2), 0.0, 0.0, np.sin(turn / 2)])
        mujoco.mju_mulQuat(model.cam_quat[self._eye], around, self._gaze)
        model.light_diffuse[:] *= rng.uniform(*LIGHT_RANGE)
        model.vis.headlight.ambient[:] *= rng.uniform(*LIGHT_RANGE)
        model.vis.headlight.diffuse[:] *= rng.uniform(*LIGHT_RANGE)
        tint = rng.uniform(*COLOUR_RANGE, (model.nmat, 3))
        model.mat_rgba[:, :3] = np.clip(self._colours[:, :3] * tint, 0, 1)

    def set_state(self, qpos: npt.NDArray[np.floating]) -> None:
        """Put the body where positions `(9,)` say."""
        self.pose(qpos)

    def watch(self, states: npt.NDArray[np.floating]) -> Scene:
        """The scene of positions `(T, 9)`."""
        rows = []
        for state in states:
            self.data.qpos[:] = state
            mujoco.mj_kinematics(self.model, self.data)
            rows.append(
                [
                    self.height('torso'),
                    self.along('torso'),
                    lowest(self),
                    *(each for part in ('thigh', 'leg', 'foot') for each in self.heights(part)),
                    *(abs(self.along(f'{side}_thigh')) for side in SIDES),
                ]
            )
        known: FloatArray = np.asarray(rows, np.float32)
        positions = np.asarray(states, np.float32)
        return Scene(
            torso=known[:, 0],
            upright=known[:, 1],
            pitch=positions[:, PITCH],
            place=positions[:, Z + 1],
            thigh=known[:, 3:5],
            leg=known[:, 5:7],
            foot=known[:, 7:9],
            level=known[:, 9:11],
            knee=positions[:, [4, 7]],
            lowest=known[:, 2],
        )

    @staticmethod
    def label(scene: Scene) -> Labels:
        """Which concept each of N clips shows, `(N, C)`."""
        return label(scene)

    @staticmethod
    def group_odds() -> tuple[list[str], FloatArray]:
        """What a take may be about: every concept alike, and more that shows none of them."""
        odds = np.array([OTHERWISE if name == 'wandering' else 1.0 for name in CONCEPTS])
        return list(CONCEPTS), (odds / odds.sum()).astype(np.float32)

    @staticmethod
    def groups(scene: Scene) -> dict[str, npt.NDArray[np.bool_]]:
        """What moments of a rehearsal are good for."""
        shown = label(scene) == TRUE
        return {name: shown[:, index] for index, name in enumerate(CONCEPTS)}

    def dress(self, states: npt.NDArray[np.float32], group: str, rng: np.random.Generator) -> None:
        """Begin anywhere along the floor, whose squares then lie otherwise."""
        states[:, Z + 1] += rng.uniform(-5.0, 5.0) - states[0, Z + 1]
