"""Check a running graph against an embodiment file, before anything moves.

It checks each topic: presence, type, rate, and age of the stamps; encoding, size and frame of the
image; that all joints are there and within their limits; that a controller takes the commands,
with its joints in the same order; and that no other node sends commands. It publishes nothing. The
exit status is 0 only if everything is as the file says.
"""

from __future__ import annotations

from dataclasses import dataclass

from genrl_ros.cli.options import Robot
from genrl_ros.deploy.robot import load_robot
from genrl_ros.serving.robot.embodiment import EmbodimentError
from genrl_ros.serving.robot.preflight import Finding, check


@dataclass(frozen=True)
class Config:
    """Arguments of `genrl preflight`."""

    robot: Robot
    """Embodiment file of the robot, or the name of a shipped one, such as `kitchen`."""
    namespace: str = ''
    """ROS namespace of the robot."""
    seconds: float = 3.0
    """How long to count messages."""

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= 600:
            raise ValueError(f'--seconds must be in (0, 600], got {self.seconds}')


def main(config: Config) -> int:
    """Look, compare and report."""
    from genrl_ros.nodes.clients.probe import run_probe

    try:
        robot = load_robot(config.robot)
    except EmbodimentError as error:
        print(error)
        return 1
    seen = run_probe(robot, config.namespace, config.seconds)
    findings = check(robot, seen, config.namespace)
    print('\n'.join(line for finding in findings for line in _lines(finding)))
    bad = sum(not finding.is_good for finding in findings)
    print(f'{robot.name}: {f"{bad} to mend" if bad else "ready"}')
    return 1 if bad else 0


def _lines(finding: Finding) -> list[str]:
    if finding.is_good:
        return [f'ok    {finding.what}']
    return [f'WRONG {finding.what}', f'      {finding.mend}']
