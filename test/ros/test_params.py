"""A shipped parameter file says nothing that no node knows, and everything in the right type."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from genrl_ros.deploy.graph import ARGUMENTS, BRINGUP, NODES
from genrl_ros.nodes.bringup import BringupParameters
from genrl_ros.nodes.command_gate import GateParameters
from genrl_ros.nodes.encoder_node import EncoderParameters
from genrl_ros.nodes.policy_node import PolicyParameters
from genrl_ros.nodes.prompt_node import PromptParameters
from genrl_ros.nodes.ros.params import ParameterError, declare, parameter
from genrl_ros.nodes.sim_node import SimParameters
from genrl_ros.nodes.trainer_node import TrainerParameters
from genrl_ros.system.share import share_path

KINDS = {
    'sim_node': SimParameters,
    'encoder_node': EncoderParameters,
    'prompt_node': PromptParameters,
    'trainer_node': TrainerParameters,
    'policy_node': PolicyParameters,
    'command_gate': GateParameters,
    'bringup': BringupParameters,
}


def fields(kind: type) -> dict[str, dataclasses.Field]:
    return {field.name: field for field in dataclasses.fields(kind)}


def fits(value: object, default: object) -> bool:
    if isinstance(default, tuple):
        return isinstance(value, list) and bool(value) and all(fits(v, default[0]) for v in value)
    return type(value) is type(default)


def test_every_node_has_its_parameters() -> None:
    assert set(KINDS) == {node.name for node in (*NODES, BRINGUP)}
    for node in (*NODES, BRINGUP):
        assert set(node.arguments) <= set(fields(KINDS[node.name]))
        assert set(node.arguments) <= {argument.name for argument in ARGUMENTS}


@pytest.mark.parametrize('kind', KINDS.values())
def test_defaults_are_of_types_that_ros_can_tell_apart(kind) -> None:
    for name, field in fields(kind).items():
        default = field.default
        assert isinstance(default, bool | int | float | str | tuple), name
        assert default != (), f'{name}: an empty list would be declared as bytes'
        assert field.metadata['doc'], name


@pytest.mark.parametrize('layer', ['graph', 'simulation', 'robot'])
def test_the_shipped_files_match_the_nodes(layer) -> None:
    content = yaml.safe_load(Path(share_path('config', f'{layer}.yaml')).read_text())
    for key, section in content.items():
        values = section['ros__parameters']
        name = key.removeprefix('/**').strip('/')
        if not name:
            wanted = {'graph': None, 'simulation': True, 'robot': False}[layer]
            assert values.pop('use_sim_time', None) is wanted
            for parameter_name, value in values.items():
                users = [kind for kind in KINDS.values() if parameter_name in fields(kind)]
                assert users, f'no node has a parameter {parameter_name}'
                for kind in users:
                    assert fits(value, fields(kind)[parameter_name].default), parameter_name
            continue
        for parameter_name, value in values.items():
            assert parameter_name in fields(KINDS[name]), f'{key}: {parameter_name}'
            assert fits(value, fields(KINDS[name])[parameter_name].default), parameter_name


@dataclasses.dataclass(frozen=True)
class Tiny:
    rate_hz: float = parameter(10.0, 'how often', low=1.0, high=100.0)
    count: int = parameter(3, 'how many', low=0)
    names: tuple[str, ...] = parameter(('a',), 'who')


class TinyNode:
    """Makes a node that declares `Tiny`."""

    def __new__(cls, **options: object) -> object:
        from rclpy.node import Node

        node = Node('tiny', **options)
        node.values = declare(node, Tiny)
        return node


def test_a_dataclass_becomes_parameters_and_comes_back(bench) -> None:
    node = bench.make(TinyNode, rate_hz=20.0, names=['b', 'c'])
    assert node.values == Tiny(rate_hz=20.0, count=3, names=('b', 'c'))
    assert node.describe_parameter('rate_hz').description == 'how often'
    assert node.describe_parameter('rate_hz').read_only


@pytest.mark.parametrize('values', [{'rate_hz': 20}, {'rate_hz': 0.5}, {'count': -1}])
def test_a_wrong_value_is_named(bench, values) -> None:
    with pytest.raises(ParameterError, match=rf'tiny: parameter {next(iter(values))} \('):
        bench.make(TinyNode, **values)
