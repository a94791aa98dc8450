"""Record the runs of a robot while it is driven: one MCAP bag an episode, for `genrl ingest`.

Runs until Ctrl-C, on the ROS graph that the environment variables name. An episode also ends with
`ros2 service call /recorder/next std_srvs/srv/Trigger`, when a simulator is reset, and after
`--max-episode-s`. If the recorder is killed, the last bag stays in `unfinished/`, and is read by
`genrl ingest` as far as it goes.
"""

from __future__ import annotations

import functools
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from genrl_ros.cli.options import Robot
from genrl_ros.cli.processes import end_in_order
from genrl_ros.deploy.graph import NodeSpec, Value, command, overrides
from genrl_ros.deploy.robot import absolute_name, load_robot
from genrl_ros.system.processes import die_with_parent

RECORDER = NodeSpec('recorder_node')


@dataclass(frozen=True)
class Config:
    """Arguments of `genrl record`."""

    robot: Robot
    """Embodiment file of the robot, or the name of a shipped one, such as `kitchen`."""
    out: Path = Path('runs/recordings')
    """Folder of the bags; a new recording goes on with the next number."""
    namespace: str = ''
    """ROS namespace of the robot's topics."""
    max_episode_s: float = 300.0
    """Seconds after which the next episode begins."""
    min_free_gib: float = 1.0
    """GiB that stay free on the disk: with less, recording stops and says so."""

    def __post_init__(self) -> None:
        if not 1.0 <= self.max_episode_s <= 86_400.0:
            raise ValueError(f'--max-episode-s must be in [1, 86400], got {self.max_episode_s}')
        if not self.min_free_gib >= 0.0:
            raise ValueError(f'--min-free-gib must be at least 0, got {self.min_free_gib}')


def main(config: Config) -> int:
    """Run the recorder node until it ends."""
    end_in_order()
    load_robot(config.robot)  # to say what is wrong with it
    parameters: dict[str, Value] = {
        'embodiment': absolute_name(config.robot),
        'folder': str(config.out.resolve()),
        'max_episode_s': config.max_episode_s,
        'min_free_gib': config.min_free_gib,
    }
    with tempfile.TemporaryDirectory(prefix='genrl-') as folder:
        params_file = Path(folder) / 'recorder.yaml'
        params_file.write_text(overrides(RECORDER, parameters, config.namespace))
        arguments = command(RECORDER, [params_file], config.namespace)
        # A session of its own, so that a terminal's Ctrl-C comes from here, and comes once.
        recorder = subprocess.Popen(
            arguments,
            start_new_session=True,
            preexec_fn=functools.partial(die_with_parent, signal.SIGTERM),
        )
        try:
            return recorder.wait()
        except KeyboardInterrupt:
            print('finishing the episode', file=sys.stderr)
            recorder.send_signal(signal.SIGTERM)
            return recorder.wait()
