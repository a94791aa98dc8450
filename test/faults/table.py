"""The table of faults: its rows, what the tests found, and docs/faults.md."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass, field
from pathlib import Path

ROWS: dict[int, str] = {
    1: 'camera stalls',
    2: 'camera stuck: same stamp, same pixels',
    3: 'delayed, out-of-order and future stamps',
    4: 'malformed images (encoding, 0x0, step, 100 MP, truncated)',
    5: 'values that are not finite in joint states; float images',
    6: 'commands that are not finite, too large or too fast',
    7: 'policy node killed (SIGKILL), and hanging (SIGSTOP)',
    8: 'inference overruns the period',
    9: 'damaged policy bundle',
    10: 'malicious pickle in place of a model',
    11: 'policy of another embodiment',
    12: 'writer of policies killed 100 times',
    13: 'disk full (a file that cannot grow)',
    14: 'GPU lost or out of memory',
    15: 'prompt empty, 1 MB, invalid, control characters',
    16: 'unknown prompt',
    17: 'bad video',
    18: 'set_task flood while driving',
    19: 'a participant lost; 30 % of the images lost',
    20: 'clock jumps by an hour; simulation reset',
    21: 'joint states missing, renamed, reordered',
    22: 'bad parameter; lifecycle call in the wrong state',
    23: 'recorder killed mid-episode',
    24: 'unauthorised client',
    25: 'soak',
    26: 'emergency stop',
    27: 'gate killed',
    28: 'policy that never answers',
    29: 'somebody else commands joints towards their limits of position',
}
"""Rows 1 to 25 are the project's fault matrix; the others are added."""


@dataclass
class Report:
    """What the tests have found, by row."""

    outcomes: dict[int, list[str]] = field(default_factory=dict)
    figures: dict[int, list[str]] = field(default_factory=dict)


ELSEWHERE = {
    12: 'test/unit/test_kills.py (`make test-full` for the hundred kills)',
    14: (
        'test/ros/test_trainer_node.py: no GPU where one is asked for; policies run on the CPU in '
        'any case. Running out of its memory was not tried'
    ),
    16: 'test/ros/test_prompt_node.py: the answer names score and margin, and warns',
    17: 'test/unit/test_video.py, test/ros/test_prompt_node.py',
    23: 'test/ros/test_recorder.py, test/unit/test_ingest.py',
    24: 'docs/security.md; the SROS2 policy was not run against an enforcing graph here',
    25: '`make soak HOURS=8`',
}


def write_report(path: Path, report: Report) -> None:
    """The table, as docs/faults.md has it."""
    lines = []
    for row, title in ROWS.items():
        outcomes = report.outcomes.get(row)
        if outcomes is None:
            result, found = 'elsewhere', ELSEWHERE.get(row, 'not run')
        else:
            result = 'holds' if set(outcomes) == {'passed'} else 'FAILS'
            found = '; '.join(report.figures.get(row, []))
        lines.append(f'| {row} | {title} | {result} | {found} |')
    text = TEMPLATE.format(
        date=time.strftime('%Y-%m-%d'),
        cores=os.cpu_count(),
        machine=platform.machine(),
        load=os.getloadavg()[1],
        rows='\n'.join(lines),
    )
    path.write_text(text)


TEMPLATE = """\
# Faults, and what happens then

`make faults` breaks a running graph in these ways and writes this page; a row that says
"elsewhere" names the test that has it instead. Encoder, policy node, gate and bring-up are real
processes over real Fast DDS, killed for real; the test's process is the robot and records every
command.

The robot has the kitchen's joints, topics and rates, and tighter limits than the shipped kitchen:
positions of ±2.9 rad, 2 rad/s, and an acceleration of 12.5 rad/s2, of which the shipped kitchen
has none ([why](ros.md#drive)). Its embodiment file is in `test/faults/conftest.py`. After each row
all recorded commands are checked: finite, and within the limits of velocity and acceleration.

T is the control period, 80 ms; images and joint states are too old after 160 ms. "Safe action" is
the reaction that the embodiment declares: here zero velocity, reached within the limits. Times are
steady times in the recording process, from the fault to the first command that brakes.

Last run: {date}, on {cores} {machine} cores, shared with other work at a load of {load:.1f}.

| # | fault | result | measured |
|---|---|---|---|
{rows}

This is no certified functional safety: a robot needs its own emergency stop and its controllers'
own limits besides.
"""
