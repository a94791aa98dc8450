"""What a clip of a body shows, told from its positions and from nothing else."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from genrl_ros.system.arrays import FloatArray
from genrl_ros.vlm.labels import FALSE, TRUE, UNSURE, Labels

CONCEPTS = (
    'standing', 'one foot', 'high kick', 'kneeling', 'lunging', 'lying', 'sitting',
    'crouching', 'headstand', 'bowing', 'walking slowly', 'walking', 'running',
    'walking backwards', 'flipping', 'rolling', 'jumping', 'falling', 'getting up', 'wandering',
)  # fmt: skip
"""What a clip can show; `wandering` is anything else."""
FRAME_S = 0.05
"""Seconds between two frames, as the agent sees them; a faster film shows a faster body."""


@dataclass(frozen=True)
class Scene:
    """What is known of N clips of T frames, or of T states, without the N; pairs are of two sides.

    Attributes:
        torso: `(..., T)` height of the torso, in m.
        upright: `(..., T)` how much of the torso's axis points up, in [-1, 1].
        pitch: `(..., T)` of the torso, in rad, without jumps.
        place: `(..., T)` of the torso along the floor, in m.
        thigh: `(..., T, 2)` heights of the hips, in m.
        leg: `(..., T, 2)` heights of the shins, in m.
        foot: `(..., T, 2)` heights of the feet, in m.
        level: `(..., T, 2)` how level the thighs are: 0 if they are, 1 if they are upright.
        knee: `(..., T, 2)` bend of the knees, in rad, from 0 to about -2.6.
        lowest: `(..., T)` height of the lowest point, in m.
    """

    torso: FloatArray
    upright: FloatArray
    pitch: FloatArray
    place: FloatArray
    thigh: FloatArray
    leg: FloatArray
    foot: FloatArray
    level: FloatArray
    knee: FloatArray
    lowest: FloatArray

    def at(self, index: npt.NDArray[np.integer[Any]]) -> Scene:
        """The scenes of N clips, for the `(N, T)` moments of one rehearsal that they show."""
        return Scene(*(getattr(self, field.name)[index] for field in fields(self)))


Bools = npt.NDArray[np.bool_]


def label(scene: Scene) -> Labels:
    """Which concept is shown: `(N, C)` int8 of `TRUE`, `FALSE` or `UNSURE`.

    What is nearly so is `UNSURE`, so that it counts neither way in training.
    """
    sure, nearly = _shown(scene, 1.0), _shown(scene, 1.6)
    columns = []
    for name in CONCEPTS[:-1]:
        columns.append(np.where(sure[name], TRUE, np.where(nearly[name], UNSURE, FALSE)))
    any_sure = np.stack([column == TRUE for column in columns]).any(0)
    any_nearly = np.stack([column == UNSURE for column in columns]).any(0)
    columns.append(np.where(any_sure, FALSE, np.where(any_nearly, UNSURE, TRUE)))
    return np.stack(columns, 1).astype(np.int8)


def _shown(scene: Scene, slack: float) -> dict[str, Bools]:
    """What each clip shows, with limits that are wider by a factor `slack`."""
    lasting_s = (scene.torso.shape[-1] - 1) * FRAME_S
    speed = (scene.place[..., -1] - scene.place[..., 0]) / lasting_s
    turn = scene.pitch[..., -1] - scene.pitch[..., 0]
    rise = scene.torso[..., -1] - scene.torso[..., 0]
    least, most = scene.torso.min(-1), scene.torso.max(-1)
    tilt = 1 - scene.upright.min(-1)
    low_foot, high_foot = scene.foot.min(-1), scene.foot.max(-1)
    low_shin, high_shin = scene.leg.min(-1), scene.leg.max(-1)
    loosest, tightest = scene.knee.max((-2, -1)), scene.knee.min((-2, -1))

    slow = np.abs(speed) < 0.35 * slack
    calm = slow & (np.abs(rise) < 0.12 * slack) & (np.abs(turn) < 0.35 * slack)
    on_feet = high_foot.max(-1) < 0.13 + 0.07 * slack
    one_down = low_foot.max(-1) < 0.15 + 0.06 * slack
    straight = tightest > -0.65 * slack
    airborne = scene.lowest.max(-1) > 0.16 / slack
    higher = high_shin[..., None] == scene.leg
    front_level = np.where(higher, scene.level, 0.0).max((-2, -1)) < 0.4 * slack
    walks = (tilt < 0.35 * slack) & (least > 1 - 0.12 * slack)
    turns = (np.abs(turn) > 1.6 / slack**0.5) & (scene.upright.min(-1) < 0.3 * slack)
    hips = scene.thigh.max((-2, -1))
    return {
        'standing': calm & (tilt < 0.12 * slack) & (least > 1.2 - 0.1 * slack) & on_feet
        & straight,
        'one foot': slow & (np.abs(rise) < 0.2 * slack) & (np.abs(turn) < 0.7 * slack)
        & (tilt < 0.25 * slack) & (least > 1.2 - 0.1 * slack) & one_down
        & (high_foot.min(-1) > 0.42 / slack**0.3) & (high_foot.max(-1) < 0.75 + 0.15 * slack),
        'high kick': slow & one_down & (high_foot.max(-1) > 1.0 / slack**0.3)
        & (tilt < 0.45 * slack) & (least > 1 - 0.2 * slack),
        'kneeling': calm & (tilt < 0.12 * slack) & (high_shin.max(-1) < 0.22 + 0.06 * slack)
        & (loosest < -1.2 / slack) & (most < 1.1) & (least > 0.5 / slack),
        'lunging': calm & (tilt < 0.15 * slack) & (high_shin.min(-1) > 0.3 / slack**0.3)
        & (low_shin.max(-1) < 0.22 + 0.07 * slack) & front_level & (least > 0.75 / slack)
        & (most < 1.1 + 0.05 * slack),
        'lying': calm & (most < 0.2 + 0.08 * slack) & (np.abs(scene.upright).max(-1) < 0.3 * slack)
        & (high_shin.max(-1) < 0.2 + 0.1 * slack),
        'sitting': calm & (tilt < 0.25 * slack) & (scene.level.max((-2, -1)) < 0.45 * slack)
        & (most < 0.65 + 0.06 * slack),
        'crouching': calm & on_feet & (loosest < -1.1 / slack) & (tilt < 0.3 * slack)
        & (least > 0.7 / slack) & (low_shin.min(-1) > 0.28 / slack**0.3),
        'headstand': calm & (scene.upright.max(-1) < -1 + 0.15 * slack)
        & (low_foot.min(-1) > 1.0 / slack**0.5),
        'bowing': calm & on_feet & straight & (np.abs(scene.upright).max(-1) < 0.5 * slack)
        & (scene.thigh.min((-2, -1)) > 0.9 / slack**0.3),
        'walking slowly': walks & (speed > 0.2 / slack) & (speed < 0.6 * slack**0.5) & ~airborne
        & (high_foot.max(-1) > 0.15 / slack),
        'walking': walks & (speed > 0.8 / slack) & (speed < 1.9 * slack**0.5) & ~airborne,
        'running': walks & (speed > 2.8 / slack),
        'walking backwards': walks & (speed < -0.45 / slack),
        'flipping': turns & (hips > 0.9 / slack**0.5) & (high_foot.max(-1) > 1.0 / slack**0.5),
        'rolling': turns & (hips < 0.65 * slack**0.5),
        'jumping': airborne & (tilt < 0.3 * slack) & (np.abs(speed) < 2.0),
        'falling': (rise < -0.35 / slack) & (np.abs(turn) < 1.6),
        'getting up': (rise > 0.3 / slack) & (np.abs(turn) < 1.6) & ~airborne,
    }  # fmt: skip
