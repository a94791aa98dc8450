"""The Franka kitchen: a robot arm before a microwave, cabinets, burners and a light (facts 4.2).

What the domain is, without its simulator: nothing here imports MuJoCo.
"""

from __future__ import annotations

from genrl_ros.domains.base import Domain, Reading, RobotSpec, Scripted, Task
from genrl_ros.domains.kitchen.elements import ELEMENTS

MAX_VELOCITY = 2.0  # rad/s
CONTROL_DT_S = 0.08

_JOINTS = (
    *(f'panda_joint{i}' for i in range(1, 8)),
    'panda_finger_joint1',
    'panda_finger_joint2',
)

ROBOT = RobotSpec(
    name='kitchen',
    action_names=_JOINTS,
    action_scale=(MAX_VELOCITY,) * len(_JOINTS),
    units=(*['rad/s'] * 7, 'm/s', 'm/s'),
    control_dt_s=CONTROL_DT_S,
    action_repeat=2,
    camera_rate_hz=1 / CONTROL_DT_S,
)

DOMAIN = Domain(
    robot=ROBOT,
    episode_steps=140,
    experts_steps=53,  # the slowest of 20 at each of the tasks
    tasks=(
        Task(
            'microwave',
            'opening the microwave fully open',
            (
                'open the microwave',
                'pull the microwave door wide open',
                'please get the microwave opened',
            ),
            readings=('microwave',),
        ),
        Task(
            'light',
            'switch light on',
            ('turn on the light', 'flip the light switch on', 'switch the lamp on'),
            readings=('light',),
        ),
        Task(
            'burner',
            'switch on red burner',
            (
                'turn on the bottom burner',
                'turn the knob to switch the bottom burner on',
                'make the lower burner glow red',
            ),
            readings=('bottom_burner',),
        ),
        Task(
            'slide',
            'slide cabinet above the knobs',
            (
                'slide the cabinet door open',
                'open the sliding cabinet',
                'push the sliding cabinet door to the right',
            ),
            readings=('slide',),
        ),
    ),
    readings=tuple(Reading(name, each.unit, each.main) for name, each in ELEMENTS.items()),
    physics='genrl_ros.domains.kitchen.physics:Kitchen',
    logic='genrl_ros.domains.kitchen.tasks:logic',
    data=Scripted('genrl_ros.domains.kitchen.script:kitchen_script'),
    first_object=min(each.index.start for each in ELEMENTS.values()),
    concepts='genrl_ros.domains.kitchen.source:SOURCE',
    film='genrl_ros.domains.kitchen.film:film',
)
