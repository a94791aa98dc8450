"""`genrl eval` learns with the shipped model and counts successes in the simulator."""

import json
from pathlib import Path

import pytest

from genrl_ros.cli.eval import Config, main
from genrl_ros.config import LearnConfig
from genrl_ros.envs.registry import env_spec, paraphrases


def test_a_task_and_its_paraphrases_are_measured(tmp_path: Path) -> None:
    report_path = tmp_path / 'out.json'
    config = Config(
        domain='kitchen',
        tasks=('light',),
        paraphrases=True,
        episodes=1,
        out=tmp_path / 'bundles',
        json=report_path,
        workers=1,
        learning=LearnConfig(updates=1, starts=4),
    )
    assert main(config) == 0
    report = json.loads(report_path.read_text())
    row = report['tasks']['light']
    asked = [other['prompt'] for other in row['paraphrases']]
    assert (row['episodes'], tuple(asked)) == (1, paraphrases('kitchen', 'light'))
    assert report['mean'] == row['score']
    scores = [other['score'] for other in row['paraphrases']]
    assert report['paraphrases_mean'] == pytest.approx(sum(scores) / 3)
    bundles = sorted(path.name for path in (tmp_path / 'bundles').iterdir() if path.is_dir())
    assert bundles == ['light', 'light-1', 'light-2', 'light-3']


def test_paraphrases_and_a_prompt_of_ones_own_exclude_each_other() -> None:
    with pytest.raises(ValueError, match='leave out'):
        main(Config('kitchen', tasks=('light',), paraphrases=True, prompt='switch it on'))


def test_each_task_has_three_paraphrases() -> None:
    for task in env_spec('kitchen').tasks:
        ways = paraphrases('kitchen', task.name)
        assert len({*ways, task.prompt}) == 4
