"""Who may say what on the graph, as an SROS2 policy: `config/security/policy.xml` is made from it.

    python -m genrl_ros.deploy.permissions EMBODIMENT > policy.xml

Only the command gate may publish commands, and only the policy node may ask it to. Knows no ROS.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from genrl_ros.deploy.robot import load_robot
from genrl_ros.serving.robot.embodiment import Embodiment, absolute
from genrl_ros.serving.safety.limits import needs_position

CAMERA, JOINT_STATES, COMMANDS = '{camera}', '{joint_states}', '{commands}'
"""Stand for the topics that the embodiment names."""
POSITIONS = '{positions}'
"""The joint states, where positions are commanded or limited: the gate has to know them."""
LIFECYCLE = (
    *('change_state', 'get_state', 'get_available_states', 'get_available_transitions'),
    'get_transition_graph',
)
PARAMETERS = (
    *('describe_parameters', 'get_parameter_types', 'get_parameters', 'list_parameters'),
    *('set_parameters', 'set_parameters_atomically', 'get_type_description'),
)


@dataclass(frozen=True)
class Permissions:
    """What a node may do, beyond what every node does.

    Attributes:
        node: its name.
        publish: topics, relative to the namespace.
        subscribe: topics.
        reply: services that it offers.
        request: services that it calls.
        execute: actions that it offers.
        call: actions that it calls.
        has_lifecycle: whether it is a lifecycle node.
    """

    node: str
    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    reply: tuple[str, ...] = ()
    request: tuple[str, ...] = ()
    execute: tuple[str, ...] = ()
    call: tuple[str, ...] = ()
    has_lifecycle: bool = True


GATE_SERVICES = tuple(
    f'command_gate/{name}' for name in ('emergency_stop', 'release', 'pause', 'resume')
)

GRAPH = (
    Permissions(
        'sim_node',
        publish=(
            *(CAMERA, 'camera/camera_info', JOINT_STATES, 'task_state', 'task_state/markers'),
            '/clock',
        ),
        subscribe=(COMMANDS,),
        reply=('sim/reset', 'sim/pause'),
    ),
    Permissions('encoder_node', publish=('latent',), subscribe=(CAMERA, 'goal')),
    Permissions(
        'prompt_node',
        publish=('goal', 'goal/image_raw'),
        subscribe=('learn_task/_action/status', 'policy', 'policy_state'),
        reply=('set_task',),
    ),
    Permissions(
        'trainer_node',
        publish=('policy',),
        subscribe=('goal', 'policy_state'),
        reply=('stop_learning',),
        execute=('learn_task',),
        call=('learn_task',),
    ),
    Permissions(
        'policy_node',
        publish=('policy/command', 'policy_state'),
        subscribe=('latent', 'policy', JOINT_STATES, 'command_gate/state'),
        reply=('policy/reset',),
    ),
    Permissions(
        'command_gate',
        publish=(COMMANDS, 'command_gate/state'),
        subscribe=('policy/command', POSITIONS),
        reply=('command_gate/open', *GATE_SERVICES),
    ),
)
"""The nodes of `deploy.graph`."""

BESIDES = (
    Permissions(
        'bringup',
        subscribe=('/diagnostics',),
        request=(
            *(f'{node.node}/{name}' for node in GRAPH for name in ('change_state', 'get_state')),
            *('command_gate/open', 'set_task'),
        ),
        has_lifecycle=False,
    ),
    Permissions(
        'recorder_node',
        publish=('/diagnostics',),
        subscribe=(CAMERA, JOINT_STATES, COMMANDS),
        reply=('recorder/next',),
        has_lifecycle=False,
    ),
    Permissions(
        'genrl_preflight',
        subscribe=(CAMERA, JOINT_STATES, 'robot_description'),
        has_lifecycle=False,
    ),
    Permissions(
        'genrl_user',
        subscribe=(CAMERA, 'policy_state', 'task_state', 'goal/image_raw'),
        request=(
            *('set_task', 'stop_learning', 'sim/reset', 'sim/pause', 'policy/reset'),
            *GATE_SERVICES,
        ),
        call=('learn_task',),
        has_lifecycle=False,
    ),
)
"""What is started beside them; `genrl_user` is the person who sets the task, or the demo."""


def policy_xml(robot: Embodiment, namespace: str = '') -> str:
    """The SROS2 policy of the graph for a robot: one enclave a node.

    Args:
        robot: names the topics of camera, joint states and commands.
        namespace: ROS namespace of the graph.
    """
    place = '/' + namespace.strip('/')
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<!-- Made by `python -m genrl_ros.deploy.permissions`: change that, make it anew. -->',
        '<policy version="0.2.0">',
        '  <enclaves>',
    ]
    for permissions in (*GRAPH, *BESIDES):
        lines += [
            f'    <enclave path="/genrl/{permissions.node}">',
            '      <profiles>',
            f'        <profile ns={quoteattr(place)} node="{permissions.node}">',
            *_rules(permissions, robot, namespace),
            '        </profile>',
            '      </profiles>',
            '    </enclave>',
        ]
    return '\n'.join([*lines, '  </enclaves>', '</policy>', ''])


def topics_of(names: Sequence[str], robot: Embodiment, namespace: str = '') -> list[str]:
    """Full names of topics, those of the embodiment put in."""
    meant = {
        CAMERA: [robot.camera.topic],
        JOINT_STATES: [robot.joint_states.topic],
        COMMANDS: [group.topic for group in robot.commands],
        POSITIONS: [robot.joint_states.topic] if any(map(needs_position, robot.channels)) else [],
    }
    return [absolute(topic, namespace) for name in names for topic in meant.get(name, [name])]


def _rules(permissions: Permissions, robot: Embodiment, namespace: str) -> Iterator[str]:
    own = [f'~/{name}' for name in PARAMETERS]
    publish = ['/parameter_events', '/rosout']
    subscribe = ['/clock', '/parameter_events']
    if permissions.has_lifecycle:
        own += [f'~/{name}' for name in LIFECYCLE]
        publish += ['/diagnostics', '~/transition_event']
    yield from _rule('topics', 'publish', [*publish, *permissions.publish], robot, namespace)
    yield from _rule('topics', 'subscribe', [*subscribe, *permissions.subscribe], robot, namespace)
    yield from _rule('services', 'reply', [*own, *permissions.reply], robot, namespace)
    yield from _rule('services', 'request', permissions.request, robot, namespace)
    yield from _rule('actions', 'execute', permissions.execute, robot, namespace)
    yield from _rule('actions', 'call', permissions.call, robot, namespace)


def _rule(
    kind: str, verb: str, names: Sequence[str], robot: Embodiment, namespace: str
) -> Iterator[str]:
    if not names:
        return
    private = [name for name in names if name.startswith('~')]
    others = [name for name in names if not name.startswith('~')]
    yield f'          <{kind} {verb}="ALLOW">'
    for name in sorted({*private, *topics_of(others, robot, namespace)}):
        yield f'            <{kind[:-1]}>{name}</{kind[:-1]}>'
    yield f'          </{kind}>'


def main() -> None:
    """Print the policy of an embodiment."""
    if len(sys.argv) not in (2, 3):
        sys.exit('usage: python -m genrl_ros.deploy.permissions EMBODIMENT [NAMESPACE]')
    robot = load_robot(sys.argv[1])
    sys.stdout.write(policy_xml(robot, *sys.argv[2:]))


if __name__ == '__main__':
    main()
