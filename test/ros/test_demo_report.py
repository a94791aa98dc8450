"""What a demo says of the episodes that it drove."""

from __future__ import annotations

import numpy as np
import pytest
from rich.console import Console

from genrl_ros.cli.demo_report import report
from genrl_ros.cli.demo_run import DemoRun
from genrl_ros.nodes.clients.session import Recording

FAILED, REACHED = [0.75, 0.5, 0.26], [0.75, 0.1]


def recording(distances: list[float]) -> Recording:
    stamps = [80_000_000 * index for index in range(len(distances))]
    frames = [np.zeros((3, 4, 4), np.uint8)] * len(distances)
    reached = {'microwave': stamps[-1]} if distances[-1] < 0.25 else {}
    return Recording(frames, stamps, {'microwave': distances}, reached)


@pytest.mark.parametrize(
    ('driven', 'reached', 'said'),
    [
        ([REACHED], True, 'reached: microwave'),
        ([FAILED, REACHED], True, 'reached: microwave, in episode 2'),
        ([FAILED] * 3, False, 'not reached: microwave, in 3 episodes'),
        ([], False, 'not reached: microwave'),
    ],
)
def test_all_episodes_are_told(tmp_path, driven, reached, said) -> None:
    run = DemoRun(tmp_path, element='microwave', recordings=[recording(each) for each in driven])
    summary = report('open it', run)
    assert summary.reached == summary.as_json['reached'] == reached
    least = [episode['least_distance'] for episode in summary.as_json.get('episodes', [])]
    assert least == [min(distances) for distances in driven]
    console = Console(width=200, record=True)
    console.print(summary.table)
    shown = [line for line in console.export_text().splitlines() if 'task' in line]
    assert shown[0].strip('│ ').endswith(said)
