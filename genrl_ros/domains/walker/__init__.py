"""dm_control's planar walker, with the nine tasks of the paper (facts 6).

What the domain is, without its simulator: nothing here imports MuJoCo.
"""

from __future__ import annotations

from genrl_ros.domains.base import Agents, Domain, Reading, RobotSpec, Score, Task

ROBOT = RobotSpec(
    name='walker',
    action_names=(
        'right_hip', 'right_knee', 'right_ankle', 'left_hip', 'left_knee', 'left_ankle',
    ),
    action_scale=(100.0, 50.0, 20.0, 100.0, 50.0, 20.0),
    units=('N m',) * 6,
    control_dt_s=0.025,
    action_repeat=2,
    camera_rate_hz=20.0,
)  # fmt: skip

POSITIONS = 9
"""Joints: height, place and pitch of the torso, then hip, knee and ankle of each leg."""


def _task(
    name: str, prompt: str, random: float, expert: float, readings: tuple[str, ...],
    paraphrases: tuple[str, ...], *, seen: bool = False,
) -> Task:  # fmt: skip
    return Task(
        name,
        prompt,
        paraphrases,
        'seen' if seen else 'new',
        Score('return', random, expert),
        readings,
    )


DOMAIN = Domain(
    robot=ROBOT,
    episode_steps=500,
    tasks=(
        _task('stand', 'standing up straight', 150, 970, ('torso height', 'uprightness'),
              ('stand up', 'stand still and upright', 'get on your feet'), seen=True),
        _task('walk', 'walk fast clean', 45, 960, ('speed', 'torso height'),
              ('walk forward', 'take a walk', 'go for a stroll'), seen=True),
        _task('run', 'run fast clean', 30, 770, ('speed',),
              ('run forward', 'sprint', 'go as fast as you can'), seen=True),
        _task('one_foot', 'stand on one foot', 20, 955, ('highest foot', 'lowest foot'),
              ('balance on one leg', 'stand on a single leg', 'lift one foot off the ground')),
        _task('high_kick', 'stand up and kick', 25, 960, ('highest foot', 'torso height'),
              ('kick high', 'do a high kick', 'kick up to your head')),
        _task('lying_down', 'lying down horizontally', 170, 975, ('torso height', 'uprightness'),
              ('lie down', 'lie flat on the floor', 'rest on the ground')),
        _task('sit_knees', 'praying', 100, 945, ('torso height', 'uprightness'),
              ('kneel', 'go down on your knees', 'sit on your knees')),
        _task('lunge_pose', 'lunge pose', 150, 945, ('torso height', 'uprightness'),
              ('do a lunge', 'lunge forward', 'kneel on one knee')),
        _task('flipping', 'doing backflips', 20, 720, ('rotation', 'torso height'),
              ('do a backflip', 'flip over', 'do somersaults')),
    ),
    readings=(
        Reading('torso height', 'm', 2 * POSITIONS),
        Reading('uprightness', '', 2 * POSITIONS + 1),
        Reading('speed', 'm/s', 2 * POSITIONS + 2),
        Reading('rotation', 'kg m²/s', 2 * POSITIONS + 3),
        Reading('highest foot', 'm', 2 * POSITIONS + 4),
        Reading('lowest foot', 'm', 2 * POSITIONS + 5),
    ),
    physics='genrl_ros.domains.walker.physics:Walker',
    logic='genrl_ros.domains.walker.tasks:logic',
    concepts='genrl_ros.domains.walker.source:SOURCE',
    data=Agents(observe='genrl_ros.domains.walker.physics:observe', poses=15),
)  # fmt: skip
