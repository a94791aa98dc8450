from __future__ import annotations

from xml.etree import ElementTree

import pytest

from genrl_ros.deploy.graph import NODES
from genrl_ros.deploy.permissions import BESIDES, GRAPH, policy_xml
from genrl_ros.serving.robot.embodiment_file import find_embodiment, load_embodiment
from genrl_ros.system.share import share_path

ROBOTS = [
    load_embodiment(file) for file in sorted(share_path('config', 'embodiments').glob('*.yaml'))
]


def who(policy: str, kind: str, verb: str, name: str) -> list[str]:
    """The nodes that may do something with a topic, a service or an action."""
    return [
        profile.get('node')
        for profile in ElementTree.fromstring(policy).iter('profile')
        for rule in profile.iter(kind)
        if rule.get(verb) == 'ALLOW' and name in [entry.text for entry in rule]
    ]


def test_the_shipped_policy_is_the_generated_one() -> None:
    shipped = share_path('config', 'security', 'policy.xml').read_text()
    assert shipped == policy_xml(load_embodiment(find_embodiment('kitchen'))), (
        'make it anew: python -m genrl_ros.deploy.permissions kitchen > config/security/policy.xml'
    )


def test_every_node_of_the_graph_has_its_enclave() -> None:
    named = [permissions.node for permissions in (*GRAPH, *BESIDES)]
    assert len(named) == len(set(named))
    assert {node.name for node in NODES} <= {permissions.node for permissions in GRAPH}
    root = ElementTree.fromstring(policy_xml(ROBOTS[0]))
    assert [enclave.get('path') for enclave in root.iter('enclave')] == [
        f'/genrl/{name}' for name in named
    ]


@pytest.mark.parametrize('namespace', ['', 'left'])
@pytest.mark.parametrize('robot', ROBOTS, ids=lambda robot: robot.name)
def test_only_the_gate_commands_and_only_the_policy_asks_it_to(robot, namespace) -> None:
    policy = policy_xml(robot, namespace)
    place = f'/{namespace}/' if namespace else '/'
    for group in robot.commands:
        assert who(policy, 'topics', 'publish', place + group.topic) == ['command_gate']
    assert who(policy, 'topics', 'publish', f'{place}policy/command') == ['policy_node']
    assert who(policy, 'topics', 'publish', f'{place}policy') == ['trainer_node']
    assert who(policy, 'services', 'request', f'{place}command_gate/open') == ['bringup']
    assert who(policy, 'services', 'request', f'{place}command_gate/release') == ['genrl_user']
    assert who(policy, 'services', 'request', f'{place}set_task') == ['bringup', 'genrl_user']


def test_nothing_is_allowed_by_a_pattern() -> None:
    for robot in ROBOTS:
        assert '*' not in policy_xml(robot)
