"""What a demo says of the episodes that it drove."""

from __future__ import annotations

import numpy as np
import pytest
from rich.console import Console

from genrl_ros.cli.commands.demo import Config, what_to_do
from genrl_ros.cli.demo_report import report
from genrl_ros.cli.demo_run import DemoRun
from genrl_ros.domains.base import Score, Task
from genrl_ros.nodes.clients.session import Recording

MICROWAVE = Task('microwave', 'open it', readings=('microwave',))
WALK = Task('walk', 'walk', score=Score('return', random=1.0, expert=5.0))
FAILED, REACHED = [0.0, -0.2, -0.4], [0.0, -0.7]


def recording(angles: list[float]) -> Recording:
    stamps = [80_000_000 * index for index in range(len(angles))]
    frames = [np.zeros((3, 4, 4), np.uint8)] * len(angles)
    done = [angle < -0.5 for angle in angles]
    return Recording(
        frames,
        stamps,
        rewards={'microwave': [float(each) for each in done], 'walk': [1.0] * len(angles)},
        reached_ns={'microwave': stamps[-1]} if done[-1] else {},
        readings={'microwave': angles},
        units={'microwave': 'rad'},
    )


def said(run: DemoRun) -> str:
    console = Console(width=200, record=True)
    console.print(report(run).table)
    shown = [line for line in console.export_text().splitlines() if 'task' in line]
    return shown[0].strip('│ ')


@pytest.mark.parametrize(
    ('driven', 'reached', 'words'),
    [
        ([REACHED], True, 'reached: microwave'),
        ([FAILED, REACHED], True, 'reached: microwave, in episode 2'),
        ([FAILED] * 3, False, 'not reached: microwave, in 3 episodes'),
        ([], False, 'not reached: microwave'),
    ],
)
def test_all_episodes_are_told(tmp_path, driven, reached, words) -> None:
    run = DemoRun(tmp_path, 'open it', MICROWAVE, recordings=[*map(recording, driven)])
    summary = report(run)
    assert summary.reached == summary.as_json['reached'] == reached
    last = [each['readings']['microwave']['last'] for each in summary.as_json.get('episodes', [])]
    assert last == [angles[-1] for angles in driven]
    assert said(run).endswith(words)


@pytest.mark.parametrize(('steps', 'reached'), [(2, False), (4, True)])
def test_a_task_without_an_end_is_done_by_its_score(tmp_path, steps, reached) -> None:
    run = DemoRun(tmp_path, 'walk', WALK, recordings=[recording([0.0] * steps)])
    assert report(run).reached == reached
    assert report(run).as_json['scores'] == [(steps - 1) / 4]


def test_rewards_between_two_images_count_as_much_as_those_at_images(tmp_path) -> None:
    """A return is over control steps, of which a walker makes two from image to image."""
    run = DemoRun(
        tmp_path, 'walk', WALK, steps_per_image=2, recordings=[recording([0.0] * 2)]
    )  # fmt: skip
    assert report(run).as_json['scores'] == [(2 * 2 - 1) / 4] and report(run).reached


def test_what_no_task_measures_is_not_reached(tmp_path) -> None:
    run = DemoRun(tmp_path, 'dance', None, recordings=[recording(REACHED)])
    assert not report(run).reached
    assert 'cannot be measured' in said(run)


@pytest.mark.parametrize(
    ('asked', 'prompt', 'task'),
    [
        ({}, 'opening the microwave fully open', 'microwave'),
        ({'prompt': 'Open the microwave.'}, 'Open the microwave.', 'microwave'),
        ({'prompt': 'switch  light on'}, 'switch  light on', 'light'),
        ({'task': 'burner'}, 'switch on red burner', 'burner'),
        ({'prompt': 'do something nice', 'task': 'slide'}, 'do something nice', 'slide'),
        ({'prompt': 'reach for the microwave'}, 'reach for the microwave', None),
    ],
)
def test_the_task_is_asked_for_and_never_guessed(asked, prompt, task) -> None:
    found = what_to_do(Config('kitchen', **asked))
    assert (found[0], found[1] and found[1].name) == (prompt, task)


def test_a_task_that_is_none_is_told() -> None:
    with pytest.raises(ValueError, match="no task 'hinge'; it has: microwave, light"):
        Config('kitchen', task='hinge')
