"""Scripted experts for the kitchen: reach an element, take hold of it, move it, let go."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from genrl_ros.domains.kitchen.arm import Arm, Vector
from genrl_ros.domains.kitchen.elements import ELEMENTS
from genrl_ros.domains.kitchen.physics import Kitchen

OPEN, CLOSED = 1.0, -1.0
SLIP_M = 0.06  # farther from the touched point than this, and it is approached again
KETTLE_GOAL = np.array(ELEMENTS['kettle'].goal[:2])
HINGE, FREE = int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_FREE)
FORWARD = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])  # the palm faces +y


@dataclass(frozen=True)
class Handle:
    """How an element is moved: what to touch, from where, and how far to push.

    Attributes:
        joint: the element's joint; the grip point follows the path that it allows.
        site: the point that is touched.
        goal: joint position to move to (rad or m).
        approach: where to come from, relative to the site (m).
        contact: where the grip point is when it pushes, relative to the site (m).
        lead: how far ahead of the element the gripper aims (rad or m).
        grasp: whether the fingers close around the site; else they are closed from the start.
    """

    joint: str
    site: str
    goal: float
    approach: tuple[float, float, float]
    contact: tuple[float, float, float]
    lead: float
    grasp: bool
    turn: float = 0.0


HANDLES = {
    'microwave': Handle(
        'microwave',
        'microhandle_site',
        -0.85,
        (0.02, -0.14, 0.0),
        (0.0, 0.04, 0.0),
        0.25,
        True,
        -0.8,
    ),
    'slide': Handle(
        'slide_cabinet', 'slide_site', 0.40, (0.0, -0.14, 0.0), (0.0, 0.0, 0.0), 0.12, True
    ),
    'hinge': Handle(
        'right_hinge_cabinet',
        'hinge_site2',
        1.5,
        (0.0, -0.14, 0.0),
        (0.0, 0.02, 0.0),
        0.3,
        True,
        0.2,
    ),
    'light': Handle(
        'light_switch', 'light_site', -0.7, (0.07, -0.1, 0.0), (0.045, -0.01, 0.0), 0.6, False
    ),
    'bottom_burner': Handle(
        'knob_Joint_2', 'knob2_site', -0.95, (0.0, -0.12, 0.0), (0.0, 0.015, 0.0), 0.5, True, 1.0
    ),
    'top_burner': Handle(
        'knob_Joint_4', 'knob4_site', -0.95, (0.0, -0.12, 0.0), (0.0, 0.015, 0.0), 0.5, True, 1.0
    ),
    'kettle': Handle(
        'kettle', 'kettle_site', 0.0, (0.0, -0.24, -0.04), (0.0, 0.04, -0.06), 0.08, False
    ),
}


@dataclass(frozen=True)
class Manner:
    """How an expert moves.

    Attributes:
        reach: most metres in one agent step.
        tolerance: metres from a waypoint that are near enough.
        aim_error: standard deviation of the error in the waypoints of one attempt (m).
    """

    reach: float = 0.09
    tolerance: float = 0.025
    aim_error: float = 0.0


class Expert:
    """Moves one element to its goal, or back to its start, from wherever the arm is.

    Args:
        kitchen: the live simulation; the expert reads its state, policies never do.
        element: one of `HANDLES`.
        manner: how to move.
        rng: for the error in the waypoints.
        undo: move the element back to where it starts instead.

    Raises:
        ValueError: if no expert for that element exists.
    """

    PATIENCE = {'approach': 30, 'contact': 12, 'grasp': 2, 'drive': 45, 'retreat': 6}

    def __init__(
        self,
        kitchen: Kitchen,
        element: str,
        manner: Manner | None = None,
        rng: np.random.Generator | None = None,
        undo: bool = False,
    ) -> None:
        if element not in HANDLES:
            raise ValueError(f'no expert for {element!r}; there are: {", ".join(HANDLES)}')
        self._kitchen, self._data = kitchen, kitchen.data
        self._arm = Arm(kitchen)
        self._handle = HANDLES[element]
        self._manner = manner or Manner()
        self._undo = undo
        self._rng = rng or np.random.default_rng(0)
        self._joint = kitchen.model.joint(self._handle.joint)
        self._kind = int(kitchen.model.jnt_type[self._joint.id])
        self._enter('approach')

    @property
    def done(self) -> bool:
        """Whether the element was moved and let go."""
        return self._stage == 'done'

    def act(self) -> Vector:
        """The action `(9,)` for the next agent step."""
        self._progress()
        self._steps += 1
        handle = self._handle
        grip = CLOSED if not handle.grasp or self._stage in ('grasp', 'drive') else OPEN
        if self._stage == 'done':
            return self._arm.action(self._rest, self._arm.rotation, self._manner.reach, grip)
        target = self._target()
        reach = self._manner.reach * (
            0.6 if self._stage == 'drive' and self._handle.grasp else 1.0
        )
        return self._arm.action(target, self._hand(), reach, grip)

    def _enter(self, stage: str) -> None:
        self._stage, self._steps = stage, 0
        self._rest = self._arm.position
        if stage == 'approach':
            self._error = self._rng.normal(0.0, self._manner.aim_error, 3)
        if stage == 'retreat':
            self._rest = self._rest + np.array([0.0, -0.13, 0.0])

    def _progress(self) -> None:
        stage = self._stage
        if stage == 'done':
            return
        if stage != 'retreat' and abs(self._remaining) < 0.03:
            self._enter('retreat')
            return
        late = self._steps >= self.PATIENCE[stage]
        near = float(np.linalg.norm(self._target() - self._arm.position))
        if stage in ('approach', 'contact') and near < self._manner.tolerance:
            after = {'approach': 'contact', 'contact': 'grasp' if self._handle.grasp else 'drive'}
            self._enter(after[stage])
        elif stage == 'grasp' and late:
            self._enter('drive')
        elif stage == 'retreat' and (late or near < self._manner.tolerance):
            self._enter('done')
        elif late or (stage in ('grasp', 'drive') and self._slipped):
            self._enter('approach')

    def _target(self) -> Vector:
        handle = self._handle
        if self._stage == 'approach':
            return self._path(0.0, self._side * np.array(handle.approach)) + self._error
        if self._stage in ('contact', 'grasp'):
            return self._path(0.0, self._contact) + self._error
        if self._stage == 'drive':
            return self._path(np.sign(self._remaining) * handle.lead, self._contact) + self._error
        return self._rest

    @property
    def _contact(self) -> Vector:
        return self._side * np.array(self._handle.contact)

    @property
    def _side(self) -> Vector:
        """Mirrors offsets, when what was pushed from one side is pushed back from the other."""
        mirrored = self._undo and not self._handle.grasp
        return np.array([-1.0 if mirrored else 1.0, 1.0, 1.0])

    @property
    def _slipped(self) -> bool:
        gap = self._path(0.0, self._contact) - self._arm.position
        return float(np.linalg.norm(gap)) > SLIP_M

    @property
    def _value(self) -> float:
        """Position of the element on its path (rad or m); the kettle's is 0 at its goal."""
        if self._kind == FREE:
            return -float(np.linalg.norm(self._to_goal))
        return float(self._data.qpos[self._joint.qposadr[0]])

    @property
    def _remaining(self) -> float:
        """How far the element still has to go, signed (rad or m)."""
        return (0.0 if self._undo else self._handle.goal) - self._value

    @property
    def _to_goal(self) -> Vector:
        place = self._data.qpos[self._joint.qposadr[0] :][:2]
        return np.array([*(KETTLE_GOAL - place), 0.0])

    @property
    def _axis(self) -> Vector:
        if self._kind == FREE:
            way = self._to_goal
            return way / max(float(np.linalg.norm(way)), 1e-6)
        return self._data.xaxis[self._joint.id]

    def _path(self, ahead: float, offset: Vector) -> Vector:
        """Where the site, with an offset, would be if the joint moved on by `ahead`."""
        axis = self._axis
        site = self._data.site(self._handle.site).xpos
        if self._kind != HINGE:
            return site + offset + ahead * axis
        anchor = self._data.xanchor[self._joint.id]
        arm = site - anchor + _rotation(axis, self._value) @ offset
        return anchor + _rotation(axis, ahead) @ arm

    def _hand(self) -> Vector:
        if self._kind != HINGE:
            return FORWARD
        ahead = np.sign(self._remaining) * self._handle.lead if self._stage == 'drive' else 0.0
        return _rotation(self._axis, self._handle.turn * (self._value + ahead)) @ FORWARD


def _rotation(axis: Vector, angle: float) -> Vector:
    """Rotation `(3, 3)` by `angle` (rad) around a unit vector."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * (cross @ cross)
