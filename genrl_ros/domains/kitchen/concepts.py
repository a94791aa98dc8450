"""What a clip shows, told from the simulator's states and from nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from genrl_ros.domains.kitchen.phrases import CONCEPTS, ELEMENTS
from genrl_ros.system.arrays import FloatArray
from genrl_ros.vlm.labels import FALSE, TRUE, UNSURE, Labels

MOVED = 0.25
"""Share of its way that an element has to move within a clip to be said to move."""
STIRRED = 0.07
"""Share of its way below which an element is said to rest."""
OPEN, AJAR = 0.7, 0.3
"""Progress from which a resting element counts as open, and below which as closed."""
TOUCH_M, NEAR_M = 0.12, 0.2
APPROACH_M, DRIFT_M = 0.12, 0.05
STILL_M, ROAM_M = 0.02, 0.25


@dataclass(frozen=True)
class Scene:
    """What the simulator knows of N clips of T frames, or of T states, without the N.

    Attributes:
        progress: `(N, T, 7)` of the elements, 0 at rest, 1 at the goal.
        hand: `(N, T, 3)` metres.
        handles: `(N, T, 7, 3)` metres, where the hand has to be to touch an element.
    """

    progress: FloatArray
    hand: FloatArray
    handles: FloatArray

    def at(self, index: npt.NDArray[np.integer[Any]]) -> Scene:
        """The scenes of N clips, for the `(N, T)` moments of one rehearsal that they show."""
        return Scene(self.progress[index], self.hand[index], self.handles[index])


def label(scene: Scene) -> Labels:
    """Which concept is shown: `(N, C)` int8 of `TRUE`, `FALSE` or `UNSURE`.

    One clip may show several (the hand reaches for the microwave while the light is on). A moving
    element takes all attention: what else is true of such a clip is `UNSURE`, so that it counts
    neither way in training.
    """
    change = scene.progress[:, -1] - scene.progress[:, 0]
    span = scene.progress.max(1) - scene.progress.min(1)
    moves, rests = np.abs(change) > MOVED, span < STIRRED
    something_moves, all_rest = moves.any(1), rests.all(1)
    murky = ~something_moves & ~all_rest

    gap = np.linalg.norm(scene.hand[:, :, None] - scene.handles, axis=-1)
    nearest = gap[:, -1].argmin(-1)[:, None] == np.arange(len(ELEMENTS))
    nearer = gap[:, 0] - gap[:, -1]
    reach = nearest & (nearer > APPROACH_M) & (gap[:, -1] < NEAR_M)
    may_reach = nearest & (nearer > DRIFT_M)
    touch = nearest & (gap.max(1) < TOUCH_M)
    may_touch = gap.min(1) < NEAR_M
    low = scene.progress.min(1)

    by_phase = {
        'opening': np.where(change > MOVED, TRUE, np.where(rests, FALSE, UNSURE)),
        'closing': np.where(change < -MOVED, TRUE, np.where(rests, FALSE, UNSURE)),
        'reaching': np.where(reach, TRUE, np.where(may_reach, UNSURE, FALSE)),
        'touching': np.where(touch, TRUE, np.where(may_touch, UNSURE, FALSE)),
        'open': np.where(
            rests & (low > OPEN), TRUE, np.where(rests & (low > AJAR), UNSURE, FALSE)
        ),
    }
    by_phase['opening'][change < -MOVED] = FALSE
    by_phase['closing'][change > MOVED] = FALSE
    for phase in ('reaching', 'touching', 'open'):
        calm = by_phase[phase]
        calm[(something_moves | murky)[:, None] & (calm == TRUE)] = UNSURE

    path = np.linalg.norm(np.diff(scene.hand, axis=1), axis=-1).sum(1)
    far = gap.min((1, 2)) > NEAR_M
    hovering = (by_phase['reaching'] == TRUE).any(1) | (by_phase['touching'] == TRUE).any(1)
    idle = np.where(all_rest & (path < STILL_M) & ~hovering, TRUE, FALSE)
    roam = all_rest & (path > ROAM_M) & far & (nearer.max(1) < APPROACH_M)
    wandering = np.where(roam, TRUE, np.where(path < STILL_M, FALSE, UNSURE))
    wandering[something_moves] = FALSE

    columns = [by_phase[phase][:, e] for e in range(len(ELEMENTS)) for phase in by_phase]
    labels = np.stack([*columns, idle, wandering], 1).astype(np.int8)
    assert labels.shape[1] == len(CONCEPTS)
    return labels
