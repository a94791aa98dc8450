"""Drives the simulated kitchen for hours while the trainer learns, and stops it now and then.

`python test/faults/soak.py --hours 8`: exit status 0 if memory does not grow, no stop was missed,
and commands keep their rhythm.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from std_msgs.msg import Float64MultiArray

from genrl_ros.cli.discovery import private_domain
from genrl_ros.cli.processes import NodeProcesses, end_in_order
from genrl_ros.cli.progress import bar
from genrl_ros.deploy.graph import BRINGUP, NODES, parameter_files
from genrl_ros.nodes.clients.session import Session
from genrl_ros.system.files import write_json

PROMPTS = ('open the microwave', 'turn on the light', 'slide the cabinet door open')
PERIOD_S = 0.08
EPISODE_S = 140 * 2 * PERIOD_S
STOP_LIMIT_S = 2 * PERIOD_S + 0.1
SAMPLE_S = 5.0
WARM_UP = 0.2
"""Share of the time in which memory may still grow."""
MEMORY_LIMIT_MB_H = 1.0
PERIOD_LIMIT = 1.2
ACTING = ('sim_node', 'encoder_node', 'policy_node', 'command_gate')


class Soak:
    """Samples memory, records the rhythm of commands, and presses the stop."""

    def __init__(self, session: Session, processes: NodeProcesses) -> None:
        self._session, self._processes = session, processes
        self.commands: list[tuple[float, bool]] = []
        self.memory: list[tuple[float, dict[str, int]]] = []
        self.stops: list[float] = []
        session.node.create_subscription(
            Float64MultiArray, 'joint_velocity_controller/commands', self._on_command, 100
        )

    def _on_command(self, message: Float64MultiArray) -> None:
        self.commands.append((time.monotonic(), any(message.data)))

    def sample(self) -> None:
        page = os.sysconf('SC_PAGE_SIZE')
        pids = self._processes.pids
        sizes = {
            name: int(Path(f'/proc/{pids[name]}/statm').read_text().split()[1]) * page
            for name in ACTING
        }
        self.memory.append((time.monotonic(), sizes))

    def note(self) -> str:
        """The last sample, for people."""
        sizes = ' '.join(f'{name} {size / 1e6:.1f}' for name, size in self.memory[-1][1].items())
        return f'MB: {sizes}  stops {len(self.stops)}'

    def stop_once(self) -> None:
        """Press the stop; how long until the first command of zeros, if it comes at all."""
        began, count = time.monotonic(), len(self.commands)
        self._session.gate('emergency_stop')
        deadline = began + 5.0
        while time.monotonic() < deadline:
            zeros = [when for when, moves in self.commands[count:] if not moves and when > began]
            if zeros:
                self.stops.append(zeros[0] - began)
                break
            self._session.spin()
        else:
            self.stops.append(float('inf'))
        self._session.gate('release')

    def slopes_mb_h(self) -> dict[str, float]:
        """Growth of each process after the warm-up."""
        begin, end = self.memory[0][0], self.memory[-1][0]
        late = [sample for sample in self.memory if sample[0] >= begin + WARM_UP * (end - begin)]
        hours = np.array([when for when, _ in late]) / 3600
        return {
            name: float(np.polyfit(hours, [sizes[name] / 1e6 for _, sizes in late], 1)[0])
            for name in ACTING
        }

    def periods(self) -> np.ndarray:
        """Seconds between two commands that move the robot."""
        return np.array(
            [
                after - before
                for (before, a), (after, b) in zip(self.commands, self.commands[1:], strict=False)
                if a and b
            ]
        )


def soak(hours: float, updates: int, folder: Path) -> dict:
    """Run it; what was found."""
    end_in_order()
    policies = {'policies': str(folder / 'policies')}
    parameters = {
        'prompt_node': {'runs': str(folder)},
        'trainer_node': {**policies, 'updates': updates},
        'policy_node': {**policies, 'drive_on': True},
    }
    with private_domain() as environment:
        os.environ.update(environment)
        processes = NodeProcesses(
            (*NODES, BRINGUP),
            parameter_files(True),
            parameters,
            environment,
            logs=folder / 'log',
            respawn=True,
        )
        domain = int(environment['ROS_DOMAIN_ID'])
        with processes, Session(domain, processes.check) as session:
            session.wait_for_graph(180.0)
            return drive(Soak(session, processes), session, hours)


def drive(soak: Soak, session: Session, hours: float) -> dict:
    """Learn one task after another and drive with the newest policy; the figures."""
    prompts = itertools.cycle(PROMPTS)
    task = session.set_task(next(prompts), 60.0).task_id
    session.wait_for_policy(task, 600.0)
    learned, begin = 0, time.monotonic()
    end, sample_due, stop_due, reset_due = begin + hours * 3600, begin, begin, begin
    with bar('soak', round(hours * 3600)) as show:
        while (now := time.monotonic()) < end:
            session.spin()
            if session.task_in_charge == task:
                task, learned = session.set_task(next(prompts), 60.0).task_id, learned + 1
            if now >= sample_due:
                soak.sample()
                show(round(now - begin), soak.note())
                sample_due = now + SAMPLE_S
            if now >= reset_due:
                session.reset()
                reset_due, stop_due = now + EPISODE_S, now + EPISODE_S / 2
            if now >= stop_due:
                soak.stop_once()
                stop_due = end
    periods, stops = soak.periods(), np.array(soak.stops)
    return {
        'hours': hours,
        'policies_learned': learned,
        'commands': len(soak.commands),
        'period_p50_s': float(np.percentile(periods, 50)),
        'period_p99_s': float(np.percentile(periods, 99)),
        'stops': len(stops),
        'stops_missed': int((~np.isfinite(stops)).sum()),
        'stop_worst_s': float(stops.max()),
        'memory_mb_per_hour': soak.slopes_mb_h(),
    }


def verdict(found: dict) -> list[str]:
    """What is not as it should be."""
    problems = []
    if found['stops_missed']:
        problems.append(f'{found["stops_missed"]} stops were missed')
    if found['stop_worst_s'] > STOP_LIMIT_S:
        problems.append(f'a stop took {found["stop_worst_s"]:.3f} s')
    if found['period_p99_s'] > PERIOD_LIMIT * PERIOD_S:
        problems.append(f'p99 of the period is {found["period_p99_s"]:.3f} s')
    for name, slope in found['memory_mb_per_hour'].items():
        if slope > MEMORY_LIMIT_MB_H and found['hours'] >= 1:
            problems.append(f'{name} grows by {slope:.2f} MB an hour')
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--hours', type=float, default=8.0)
    parser.add_argument('--updates', type=int, default=60, help='of each policy')
    parser.add_argument('--json', type=Path, help='file for what was found')
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix='soak-') as folder:
        found = soak(arguments.hours, arguments.updates, Path(folder))
    problems = verdict(found)
    report = found | {'problems': problems}
    if arguments.json is not None:
        write_json(arguments.json, report)
    sys.stdout.write(json.dumps(report, indent=2) + '\n')
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
