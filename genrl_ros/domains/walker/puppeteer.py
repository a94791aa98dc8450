"""A walker moved by hand: poses are set and blended, and gaits come from the collectors.

What the embedder's clips are filmed of. Nothing here is simulated but gaits and falls, so that any
pose can be shown, also those that no policy has learned.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mujoco
import numpy as np
import numpy.typing as npt

from genrl_ros.domains.snapshots import StateActor, read_snapshots
from genrl_ros.domains.walker.physics import Walker, observe
from genrl_ros.system.share import share_path

States = npt.NDArray[np.float32]
Pose = npt.NDArray[np.float64]

Z, X, PITCH = 0, 1, 2
RIGHT, LEFT = slice(3, 6), slice(6, 9)
"""Where the joints of a pose `(9,)` are; legs have hip, knee and ankle, in rad."""
DEGREES = np.pi / 180
STEPS = 160
"""Control steps of a rehearsal."""
HOLD_STEPS, BLEND_STEPS, SETTLE_STEPS = (12, 50), (8, 30), (60, 160)
GAIT_SCORE = 0.8
"""Score from which a collector's snapshot is worth showing."""


def rehearse(walker: Walker, seed: int) -> States:
    """Positions `(T, 9)` of one rehearsal, one a control step; the seed chooses everything."""
    rng = np.random.default_rng(seed)
    kinds: tuple[tuple[float, Callable[[Walker, np.random.Generator], States]], ...] = (
        (0.44, _poses),
        (0.12, _turning),
        (0.18, _gait),
        (0.06, _fall),
        (0.1, _anything),
        (0.1, _resting),
    )
    odds = np.array([odd for odd, _ in kinds])
    chosen = kinds[rng.choice(len(kinds), p=odds / odds.sum())][1]
    return chosen(walker, rng)


def _legs(
    rng: np.random.Generator, first: tuple[float, ...], second: tuple[float, ...], spread: float
) -> Pose:
    """Joints `(6,)` of both legs, in degrees with noise, either of them first."""
    pair = [first, second]
    if rng.random() < 0.5:
        pair.reverse()
    joints = np.concatenate(pair) + spread * rng.standard_normal(6)
    low, high = np.array([-20, -150, -45] * 2), np.array([100, 0, 45] * 2)
    return np.clip(joints, low, high) * DEGREES


def _stand(rng: np.random.Generator) -> tuple[Pose, float]:
    knee = rng.uniform(-25, 0)
    leg = (-knee / 2 + rng.uniform(-6, 6), knee, -knee / 2)
    return _legs(rng, leg, (leg[0] - rng.uniform(0, 25), leg[1], leg[2]), 3), rng.normal(0, 6)


def _one_foot(rng: np.random.Generator) -> tuple[Pose, float]:
    hip = rng.uniform(55, 100)
    up = (hip, -rng.uniform(40, 130), rng.uniform(-20, 20))
    return _legs(rng, up, (0, -5, 0), 4), rng.normal(0, 6)


def _high_kick(rng: np.random.Generator) -> tuple[Pose, float]:
    up = (100, -rng.uniform(0, 12), rng.uniform(-10, 20))
    return _legs(rng, up, (-20, 0, 0), 3), -rng.uniform(10, 45)


def _kneel(rng: np.random.Generator) -> tuple[Pose, float]:
    bend = rng.uniform(85, 145)
    hip = (bend - 90) + rng.uniform(-8, 8)
    leg = (hip, -bend, -rng.uniform(20, 45))
    return _legs(rng, leg, leg, 4), rng.normal(0, 6)


def _lunge(rng: np.random.Generator) -> tuple[Pose, float]:
    front = (rng.uniform(75, 100), -rng.uniform(75, 105), rng.uniform(-10, 10))
    back = (-rng.uniform(0, 20), -rng.uniform(50, 95), -rng.uniform(10, 45))
    return _legs(rng, front, back, 4), rng.normal(0, 7)


def _one_leg_out(rng: np.random.Generator) -> tuple[Pose, float]:
    out = (rng.uniform(20, 100), -rng.uniform(0, 50), rng.uniform(-30, 30))
    under = (rng.uniform(-20, 20), -rng.uniform(75, 150), -rng.uniform(0, 45))
    return _legs(rng, out, under, 4), rng.normal(-5, 15)


def _lie(rng: np.random.Generator) -> tuple[Pose, float]:
    leg = (rng.uniform(-10, 10), -rng.uniform(0, 20), rng.uniform(-30, 10))
    return _legs(rng, leg, leg, 5), rng.choice([-90, 90]) + rng.normal(0, 4)


def _sit(rng: np.random.Generator) -> tuple[Pose, float]:
    leg = (rng.uniform(80, 100), -rng.uniform(0, 70), rng.uniform(-10, 30))
    return _legs(rng, leg, leg, 6), rng.uniform(-25, 5)


def _splits(rng: np.random.Generator) -> tuple[Pose, float]:
    front = (rng.uniform(85, 100), -rng.uniform(0, 15), rng.uniform(-20, 20))
    return _legs(rng, front, (-20, -rng.uniform(0, 20), 0), 4), rng.uniform(40, 65)


def _crouch(rng: np.random.Generator) -> tuple[Pose, float]:
    knee = rng.uniform(70, 130)
    leg = (knee / 2 + rng.uniform(0, 25), -knee, rng.uniform(0, 30))
    return _legs(rng, leg, leg, 5), rng.uniform(-5, 35)


def _headstand(rng: np.random.Generator) -> tuple[Pose, float]:
    leg = (rng.uniform(-15, 25), -rng.uniform(0, 30), rng.uniform(-20, 20))
    return _legs(rng, leg, leg, 8), 180 + rng.normal(0, 9)


def _bow(rng: np.random.Generator) -> tuple[Pose, float]:
    pitch = rng.uniform(55, 95)
    leg = (pitch, -rng.uniform(0, 15), 0)
    return _legs(rng, leg, leg, 4), pitch


def _upright(rng: np.random.Generator) -> tuple[Pose, float]:
    low, high = np.array([-20, -110, -45] * 2), np.array([100, 0, 45] * 2)
    legs = low + (high - low) * rng.beta([1, 2, 1] * 2, [1, 1, 1] * 2)
    return legs * DEGREES, rng.normal(0, 20)


def _between(rng: np.random.Generator) -> tuple[Pose, float]:
    chosen = rng.choice(list(NAMED), 2, replace=False)
    (first, pitch), (second, other) = (NAMED[str(name)](rng) for name in chosen)
    share = rng.uniform(0.2, 0.8)
    return first + share * (second - first), pitch + share * (other - pitch)


def _anyhow(rng: np.random.Generator) -> tuple[Pose, float]:
    low, high = np.array([-20, -150, -45] * 2), np.array([100, 0, 45] * 2)
    return rng.uniform(low, high) * DEGREES, rng.uniform(-180, 180)


NAMED: dict[str, Callable[[np.random.Generator], tuple[Pose, float]]] = {
    'standing': _stand,
    'one foot': _one_foot,
    'high kick': _high_kick,
    'kneeling': _kneel,
    'lunging': _lunge,
    'one leg out': _one_leg_out,
    'lying': _lie,
    'sitting': _sit,
    'splits': _splits,
    'crouching': _crouch,
    'headstand': _headstand,
    'bowing': _bow,
}
"""How each pose that has a name is drawn: the legs' joints `(6,)` in rad, and the torso's pitch in
degrees."""
POSES = {**NAMED, 'upright': _upright, 'between': _between, 'anyhow': _anyhow}
"""All poses. Those that are near a named one, and are not it, teach what makes it one."""
ODDS = np.array([1.0] * len(NAMED) + [4.0, 4.0, 1.0])
"""How likely each of them is."""


def draw_pose(walker: Walker, name: str, rng: np.random.Generator) -> Pose:
    """Positions `(9,)` of a pose, put down on the floor."""
    legs, pitch = POSES[name](rng)
    return grounded(walker, np.concatenate([[0.0, 0.0, pitch * DEGREES], legs]))


def _drawn(rng: np.random.Generator) -> str:
    return str(rng.choice(list(POSES), p=ODDS / ODDS.sum()))


def grounded(walker: Walker, position: Pose, above: float = 0.0) -> Pose:
    """The same positions, with the lowest point so high above the floor, in m."""
    placed = position.copy()
    walker.data.qpos[:] = placed
    mujoco.mj_kinematics(walker.model, walker.data)
    placed[Z] += above - lowest(walker)
    return placed


def lowest(walker: Walker) -> float:
    """Height of the lowest point of the body, in m: of capsules, which all its parts are."""
    model, data = walker.model, walker.data
    ends = []
    for geom in range(model.ngeom):
        if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_CAPSULE:
            radius, half = model.geom_size[geom, :2]
            ends.append(data.geom_xpos[geom, 2] - abs(data.geom_xmat[geom, 8]) * half - radius)
    return float(min(ends))


def _poses(walker: Walker, rng: np.random.Generator) -> States:
    """Poses held with a little sway, each blended into the next."""
    states: list[Pose] = []
    now = draw_pose(walker, _drawn(rng), rng)
    while len(states) < STEPS:
        sway, speed = rng.uniform(0, 0.05, 7), rng.uniform(0.02, 0.25)
        phase = rng.uniform(0, 2 * np.pi, 7)
        for step in range(rng.integers(*HOLD_STEPS)):
            swaying = now.copy()
            swaying[PITCH:] += sway * np.sin(speed * step + phase)
            states.append(grounded(walker, swaying))
        then = draw_pose(walker, _drawn(rng), rng)
        then[X] = states[-1][X]
        states += _blend(walker, states[-1], then, int(rng.integers(*BLEND_STEPS)), rng)
        now = states[-1]
    return np.asarray(states[:STEPS], np.float32)


def _blend(
    walker: Walker, start: Pose, end: Pose, steps: int, rng: np.random.Generator
) -> list[Pose]:
    """Positions on the way, sometimes through a jump."""
    end = end.copy()
    end[PITCH] += 2 * np.pi * round((start[PITCH] - end[PITCH]) / (2 * np.pi))
    leap = rng.uniform(0.2, 0.7) if rng.random() < 0.15 else 0.0
    states = []
    for step in range(1, steps + 1):
        share = step / steps
        smooth = share * share * (3 - 2 * share)
        above = 4 * leap * share * (1 - share)
        states.append(grounded(walker, start + smooth * (end - start), above))
    return states


def _turning(walker: Walker, rng: np.random.Generator) -> States:
    """Flips and rolls: the body turns, in a leap or over the floor, with legs that tuck in."""
    states: list[Pose] = []
    turn, way = rng.uniform(3.0, 11.0) * rng.choice([-1.0, 1.0]), rng.uniform(-1.0, 1.5)
    position = draw_pose(walker, str(rng.choice(['standing', 'crouching', 'headstand'])), rng)
    legs = ('standing', 'crouching', 'kneeling', 'sitting', 'anyhow')
    tucked, _ = POSES[str(rng.choice(legs))](rng)
    leap = rng.uniform(0.0, 0.8) if rng.random() < 0.6 else 0.0
    pace = rng.uniform(0.01, 0.08)
    dt = walker.robot.control_dt_s
    while len(states) < STEPS:
        position[PITCH] += turn * dt
        position[X] += way * dt
        position[3:] += pace * (tucked - position[3:])
        airborne = leap * abs(np.sin(position[PITCH] / 2))
        states.append(grounded(walker, position, airborne))
    return np.asarray(states, np.float32)


def _gait(walker: Walker, rng: np.random.Generator) -> States:
    """A collector that has learned to stand, to walk or to run, from where it has come to."""
    actors = _actors(share_path('models', walker.robot.name, 'collectors'))
    good = [a for a in actors if a.label.score.get(a.label.learns, 0.0) > GAIT_SCORE]
    fast = [a for a in actors if a.label.learns == 'run' and a.label.score['run'] > GAIT_SCORE / 2]
    choices = fast if rng.random() < 0.5 else good
    actor = choices[rng.integers(len(choices))]
    walker.reset(int(rng.integers(2**31)))
    return _simulated(walker, actor, rng, lead=int(rng.integers(60, 160)))


def _fall(walker: Walker, rng: np.random.Generator) -> States:
    """Whatever follows from some pose without power, or with a collector's that gets up."""
    walker.pose(draw_pose(walker, str(rng.choice(list(POSES))), rng))
    actors = _actors(share_path('models', walker.robot.name, 'collectors'))
    actor = actors[rng.integers(len(actors))] if rng.random() < 0.5 else None
    return _simulated(walker, actor, rng, lead=0)


def _anything(walker: Walker, rng: np.random.Generator) -> States:
    """Whatever a collector does, explorers and novices included, often with wild actions."""
    actors = _actors(share_path('models', walker.robot.name, 'collectors'))
    walker.reset(int(rng.integers(2**31)))
    wild = float(rng.choice([0.0, 0.3, 0.7]))
    actor = actors[rng.integers(len(actors))]
    return _simulated(walker, actor, rng, lead=int(rng.integers(0, 120)), wild=wild)


def _resting(walker: Walker, rng: np.random.Generator) -> States:
    """What a body comes to rest in while its motors pull evenly, as policies end that do not move.

    Many such poses are near a named one, and are not it.
    """
    scale = np.array(walker.robot.action_scale)
    states: list[Pose] = []
    walker.pose(draw_pose(walker, _drawn(rng), rng))
    while len(states) < STEPS:
        pull = rng.uniform(-1, 1, len(scale)) * scale
        for _ in range(rng.integers(*SETTLE_STEPS)):
            walker.control(pull)
            states.append(walker.data.qpos.copy())
    return np.asarray(states[:STEPS], np.float32)


def _simulated(
    walker: Walker,
    actor: StateActor | None,
    rng: np.random.Generator,
    lead: int,
    wild: float = 0.0,
) -> States:
    scale, states = np.array(walker.robot.action_scale), []
    action = np.zeros(len(scale))
    for step in range(lead + STEPS):
        if step % walker.robot.action_repeat == 0 and actor is not None:
            action = actor.act(observe(walker), rng).astype(np.float64)
            if rng.random() < wild:
                action = rng.uniform(-1, 1, len(scale))
        walker.control(action * scale)
        if step >= lead:
            states.append(walker.data.qpos.copy())
    return np.asarray(states, np.float32)


def _actors(folder: Path) -> list[StateActor]:
    files = sorted(folder.glob('*.safetensors'))
    if not files:
        raise FileNotFoundError(f'{folder} has no snapshots: `genrl train-collector` makes them')
    return [actor for file in files for actor in read_snapshots(file)]
