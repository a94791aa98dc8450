"""Start the nodes of a domain where there is no ROS launch: same nodes, same parameter files.

The graph keeps to the loopback, in a ROS domain that is free. A node that ends by itself is
started again. Ctrl-C ends all of it.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from genrl_ros.cli.discovery import check_ros_domain, private_domain
from genrl_ros.cli.options import DomainName
from genrl_ros.cli.processes import NodeFailedError, NodeProcesses, end_in_order
from genrl_ros.config.training import Device
from genrl_ros.deploy.graph import BRINGUP, NODES, node_parameters, parameter_files
from genrl_ros.deploy.running import announced
from genrl_ros.domains import registry

WATCH_S = 0.2


@dataclass(frozen=True)
class Config:
    """Arguments of `genrl up`."""

    domain: DomainName
    """The scene to simulate."""
    prompt: str = ''
    """A task to begin with, such as "open the microwave"."""
    params_file: Path | None = None
    """ROS parameter file that is laid over the shipped ones; what differs is enough."""
    namespace: str = ''
    """ROS namespace of all nodes and topics."""
    device: Device = 'cpu'
    """What the trainer computes on."""
    embodiment: str = ''
    """The robot: an embodiment file, or the name of a shipped one; the domain's unless given."""
    model: str = ''
    """World model: a path, or the name of a shipped one; the domain's unless given."""
    real_time_factor: float = 1.0
    """Simulated seconds a second, at most; 1 on a robot."""
    use_sim: bool = True
    """The simulator; `--no-use-sim` where a robot has drivers with the same topics."""
    ros_domain: int | None = None
    """ROS domain; without it, ROS_DOMAIN_ID or else a free one."""

    def __post_init__(self) -> None:
        registry.get(self.domain)  # to say that there is none
        if self.ros_domain is not None:
            check_ros_domain(self.ros_domain, '--ros-domain')


def main(config: Config) -> int:
    """Run the graph until Ctrl-C (status 0), or until it cannot be kept up (status 1)."""
    end_in_order()
    params_files = parameter_files(config.use_sim, config.params_file)
    parameters = node_parameters(
        {
            **{'domain': config.domain, 'prompt': config.prompt, 'device': config.device},
            'embodiment': config.embodiment or config.domain,
            'model': config.model or config.domain,
            'real_time_factor': config.real_time_factor,
        }
    )
    parameters[BRINGUP.name]['use_sim'] = config.use_sim
    nodes = [node for node in NODES if config.use_sim or not node.simulates]
    nodes.append(BRINGUP)
    try:
        with private_domain(config.ros_domain) as environment:
            print('To set a task, in another terminal: genrl task "open the microwave"')
            print('To talk to this graph from there with other tools:')
            print(''.join(f'  export {name}={value}\n' for name, value in environment.items()))
            with (
                announced(config.domain, config.namespace, environment),
                NodeProcesses(
                    nodes, params_files, parameters, environment, config.namespace, respawn=True
                ) as processes,
            ):
                while True:
                    processes.check()
                    time.sleep(WATCH_S)
    except KeyboardInterrupt:
        print('\nEverything has ended.')
        return 0
    except NodeFailedError as error:
        print(f'genrl up: {error}; so everything was ended', file=sys.stderr)
        return 1
