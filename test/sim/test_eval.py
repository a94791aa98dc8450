"""`genrl eval` learns with the shipped model and counts successes in the simulator."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from genrl_ros.cli.eval import Config, main
from genrl_ros.cli.evaluate_tasks import Runs, learn_and_run
from genrl_ros.cli.learn import Config as Learn
from genrl_ros.cli.learn import learn_prompt
from genrl_ros.config import LearnConfig
from genrl_ros.envs.registry import env_spec, paraphrases
from genrl_ros.share import shipped_model
from genrl_ros.training.run import StoppedError


def test_a_task_and_its_paraphrases_are_measured_once(tmp_path: Path) -> None:
    report_path, bundles = tmp_path / 'scores' / 'out.json', tmp_path / 'bundles'
    config = Config(
        domain='kitchen',
        tasks=('light',),
        paraphrases=True,
        episodes=1,
        out=bundles,
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
    made = {path: path.stat().st_mtime_ns for path in bundles.iterdir()}
    assert [path.name for path in sorted(made) if path.is_dir()] == [
        'light', 'light-1', 'light-2', 'light-3'
    ]  # fmt: skip

    assert main(config) == 0
    assert json.loads(report_path.read_text()) == report
    assert {path: path.stat().st_mtime_ns for path in bundles.iterdir()} == made
    otherwise = replace(config, learning=LearnConfig(updates=2, starts=4))
    with pytest.raises(ValueError, match='light was learned otherwise: learning.updates was 1'):
        main(otherwise)


def test_a_measurement_that_is_stopped_goes_on(tmp_path: Path) -> None:
    learning = Learn(
        'kitchen', 'switch light on', name='light', out=tmp_path,
        model=shipped_model('kitchen'), learning=LearnConfig(updates=2, starts=4),
    )  # fmt: skip
    task, runs = env_spec('kitchen').task('light'), Runs(episodes=2, seed=7, workers=1)
    with pytest.raises(StoppedError, match='learning light after 1 of 2 updates'):
        learn_and_run(learning, task, runs, lambda: True)
    with pytest.raises(StoppedError, match='light after 1 of 2 episodes'):
        learn_and_run(learning, task, runs, (tmp_path / 'light').exists)
    row = learn_and_run(learning, task, runs)
    assert (row['episodes'], row['prompt']) == (2, 'switch light on')
    assert learn_and_run(learning, task, runs, lambda: True) == row
    (tmp_path / 'light.json').unlink()
    with pytest.raises(FileExistsError, match='made by something else'):
        learn_and_run(learning, task, runs)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'episodes': 0}, '--episodes must be at least 1, got 0'),
        ({'workers': 0}, '--workers must be at least 1'),
        ({'seed': -1}, '--seed must be at least 0'),
        ({'prompt': 'a', 'video': Path('b')}, 'give one of --prompt, --video and --policy'),
        ({'prompt': 'a', 'paraphrases': True}, 'leave out --prompt'),
        ({'json': Path('.')}, 'is a folder: name a file'),
    ],
)
def test_what_cannot_be_measured_is_told_at_once(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config('kitchen', **wrong)


def test_a_prompt_that_is_about_something_else_is_learned_only_on_demand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cake = Learn(
        'kitchen', 'bake a chocolate cake', out=tmp_path, learning=LearnConfig(updates=1, starts=4)
    )
    with pytest.raises(ValueError, match='resembles nothing that the embedder knows.*--force'):
        learn_prompt(cake)
    assert list(tmp_path.iterdir()) == []
    assert learn_prompt(replace(cake, force=True)) == tmp_path / 'policy'
    assert 'this resembles nothing' in capsys.readouterr().out


@pytest.mark.parametrize('name', ['', '..', '../x', '/x'])
def test_a_bundle_is_not_put_elsewhere(name: str) -> None:
    with pytest.raises(ValueError, match='--name must be the name of a folder'):
        Learn('kitchen', 'open the microwave', name=name)


def test_each_task_has_three_paraphrases() -> None:
    for task in env_spec('kitchen').tasks:
        ways = paraphrases('kitchen', task.name)
        assert len({*ways, task.prompt}) == 4
