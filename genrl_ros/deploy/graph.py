"""The nodes of the graph: the one list that the launch file and `genrl up` both read.

Knows no ROS itself, so that it can be read where there is none.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from genrl_ros.config.training import Device
from genrl_ros.domains import registry
from genrl_ros.system.share import share_path

Value = str | int | float | bool | Sequence[str]


@dataclass(frozen=True)
class NodeSpec:
    """One node, which runs in a process of its own.

    Attributes:
        name: of the node, of its executable, and of its module in `genrl_ros.nodes`.
        arguments: which of the `ARGUMENTS` are parameters of this node.
        simulates: stands in for a robot's drivers, and is left out where there are some.
    """

    name: str
    arguments: tuple[str, ...] = ()
    simulates: bool = False


@dataclass(frozen=True)
class Argument:
    """Something that is said on the command line of a launch rather than in a parameter file.

    Attributes:
        name: of the argument, and of the nodes' parameter.
        default: its value unless it is given.
        doc: for people.
        choices: what it may be; anything if empty.
        is_domain: whether it is named as the domain is, unless it is given.
        kind: of the nodes' parameter.
    """

    name: str
    default: str
    doc: str
    choices: tuple[str, ...] = ()
    is_domain: bool = False
    kind: type = str


ARGUMENTS = (
    Argument('domain', registry.names()[0], 'the scene to simulate', registry.names()),
    Argument('prompt', '', 'a task to begin with, such as "open the microwave"'),
    Argument(
        'real_time_factor', '1.0', 'simulated seconds a second, at most; 1 on a robot', kind=float
    ),
    Argument('device', 'cpu', 'what the trainer computes on', get_args(Device)),
    Argument(
        'embodiment',
        '',
        "the robot: a file, or the name of one; the domain's unless given",
        is_domain=True,
    ),
    Argument(
        'model',
        '',
        "the world model: a path, or the name of a shipped one; the domain's unless given",
        is_domain=True,
    ),
)

NODES = (
    NodeSpec('sim_node', arguments=('domain', 'embodiment', 'real_time_factor'), simulates=True),
    NodeSpec('encoder_node', arguments=('embodiment', 'model')),
    NodeSpec('prompt_node', arguments=('model',)),
    NodeSpec('trainer_node', arguments=('device', 'model')),
    NodeSpec('policy_node', arguments=('embodiment', 'real_time_factor')),
    NodeSpec('command_gate', arguments=('embodiment', 'real_time_factor')),
)
"""The lifecycle nodes, in the order in which they are activated: the gate comes last."""

BRINGUP = NodeSpec('bringup', arguments=('prompt',))
"""Configures and activates the others, also when one of them comes back; never comes back itself.

So it is the one who sets the task to begin with: that happens once.
"""


def parameter_files(use_sim: bool, own: Path | None = None) -> list[Path]:
    """The parameter files of all nodes; later ones count more.

    Args:
        use_sim: whether the robot is simulated.
        own: a file of the user's, which needs only what differs.

    Raises:
        FileNotFoundError: if the user's file is not there.
    """
    kind = 'simulation' if use_sim else 'robot'
    files = [share_path('config', 'graph.yaml'), share_path('config', f'{kind}.yaml')]
    if own is None:
        return files
    if not own.is_file():
        raise FileNotFoundError(f'{own} (--params-file) is not a file')
    return [*files, own.resolve()]


def node_parameters(arguments: Mapping[str, Value]) -> dict[str, dict[str, Value]]:
    """The values of launch arguments, as parameters of the nodes that take them."""
    assert set(arguments) <= {argument.name for argument in ARGUMENTS}
    return {
        node.name: {name: arguments[name] for name in node.arguments if name in arguments}
        for node in (*NODES, BRINGUP)
    }


def overrides(node: NodeSpec, parameters: Mapping[str, Value], namespace: str = '') -> str:
    """A ROS parameter file with values for one node, to be read after all others.

    `-p name:=value` would not do: whatever a file says of a node by name counts more than that.
    """
    name = f'/{namespace.strip("/")}/{node.name}'.replace('//', '/')
    return json.dumps({name: {'ros__parameters': dict(parameters)}})  # JSON is YAML, too


def command(node: NodeSpec, params_files: Sequence[Path], namespace: str = '') -> list[str]:
    """The program and arguments that run a node without ROS launch.

    The current folder is kept off Python's path: nothing that lies there is run.

    Args:
        node: which one.
        params_files: ROS parameter files; later ones count more.
        namespace: ROS namespace of the node and all its names.
    """
    files = [word for path in params_files for word in ('--params-file', str(path))]
    remap = ['-r', f'__ns:=/{namespace.strip("/")}'] if namespace.strip('/') else []
    remap += ['-r', '/clock:=clock']  # so that each namespace has a clock of its own
    return [
        *(sys.executable, '-P', '-m', f'genrl_ros.nodes.{node.name}'),
        *('--ros-args', *files, *remap),
    ]
