"""`genrl eval` learns with the shipped model and counts successes in the simulator."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genrl_ros.cli.commands.eval import Config, main
from genrl_ros.cli.evaluate_tasks import Trials, learn_and_run
from genrl_ros.cli.learn_prompt import Config as Learn
from genrl_ros.cli.learn_prompt import learn_prompt
from genrl_ros.config.learning import LearnConfig
from genrl_ros.domains import registry
from genrl_ros.evaluation.episodes import evaluate
from genrl_ros.serving.policy.bundle import BundleError, PolicyBundle, load_bundle
from genrl_ros.system.share import shipped_model
from genrl_ros.training.engine.run import StoppedError

ROOT = Path(__file__).resolve().parents[2]
LIGHT = registry.get('kitchen').task('light')


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
        rows=('both', 'start'),
        learning_seeds=2,
        learning=LearnConfig(updates=1, starts=4),
    )
    assert main(config) == 0
    report = json.loads(report_path.read_text())
    assert list(report['rows']) == ['start', 'both']
    assert report['rows']['start']['tasks']['light']['learning_seeds'] == 1
    both = report['rows']['both']
    row = both['tasks']['light']
    asked = [other['prompt'] for other in row['paraphrases']]
    assert (row['episodes'], tuple(asked)) == (1, LIGHT.paraphrases)
    assert row['learning_seeds'] == 2 and np.shape(row['scores']) == (2, 1)
    assert row['at_end'] in (0.0, 0.5, 1.0)
    low, high = row['interval']
    assert 0 <= low <= row['score'] <= high <= 1
    assert both['mean'] == row['score'] == pytest.approx(np.mean(row['scores']))
    assert (report['domain'], report['seed']) == ('kitchen', config.seed)
    assert re.fullmatch(r'20\d\d-\d\d-\d\d', report['date']) and report['machine']['name']
    scores = [other['score'] for other in row['paraphrases']]
    assert both['paraphrases_mean'] == pytest.approx(sum(scores) / 3)
    made = {path: path.stat().st_mtime_ns for path in bundles.glob('*/[!.]*')}
    four = ['light', 'light-1', 'light-2', 'light-3']
    assert [str(path.relative_to(bundles)) for path in sorted(made) if path.is_dir()] == [
        f'{folder}/{name}' for folder in ('both', 'both-8', 'start') for name in four
    ]

    assert main(config) == 0
    assert json.loads(report_path.read_text()) == report
    assert {path: path.stat().st_mtime_ns for path in bundles.glob('*/[!.]*')} == made
    otherwise = replace(config, learning=LearnConfig(updates=2, starts=4))
    with pytest.raises(ValueError, match='light was learned otherwise .learning.updates was 1'):
        main(otherwise)


def test_a_measurement_that_is_stopped_goes_on(tmp_path: Path) -> None:
    learning = Learn(
        'kitchen', 'switch light on', name='light', out=tmp_path,
        model=shipped_model('kitchen'), learning=LearnConfig(updates=2, starts=4),
    )  # fmt: skip
    task, runs = LIGHT, Trials(episodes=2, seed=7, workers=1)
    with pytest.raises(StoppedError, match='learning light after 1 of 2 updates'):
        learn_and_run(learning, task, runs, lambda: True)
    with pytest.raises(StoppedError, match='light after 1 of 2 episodes'):
        learn_and_run(learning, task, runs, (tmp_path / 'light').exists)
    row = learn_and_run(learning, task, runs)
    assert (row['episodes'], row['prompt']) == (2, 'switch light on')
    assert learn_and_run(learning, task, runs, lambda: True) == row
    record = tmp_path / 'light.evaluation.json'
    known = record.read_text()
    killed = {name: value for name, value in json.loads(known).items() if name == 'learned'}
    record.write_text(json.dumps(killed))  # between the bundle and what is said of it
    assert learn_and_run(learning, task, runs)['score'] == row['score']
    for content in (
        '', '{}', known.replace(json.loads(known)['bundle'], 'f' * 64),
        json.dumps(killed).replace('"updates": 2', '"updates": 3'),
    ):  # fmt: skip
        record.write_text(content)
        with pytest.raises((FileExistsError, ValueError), match='not learned here|is damaged'):
            learn_and_run(learning, task, runs)


def test_what_was_not_learned_to_its_end_may_be_learned_otherwise(tmp_path: Path) -> None:
    """The file of the learning refuses what cannot go on, and nothing else does."""
    learning = Learn(
        'kitchen', video=tmp_path / 'nothing.mp4', name='light', out=tmp_path / 'out',
        model=shipped_model('kitchen'), learning=LearnConfig(updates=2, starts=4),
    )  # fmt: skip
    task, runs = LIGHT, Trials(episodes=1, seed=7, workers=1)
    (tmp_path / 'nothing.mp4').write_bytes(b'nothing')
    with pytest.raises(ValueError, match=r'nothing\.mp4'):
        learn_and_run(learning, task, runs)
    words = replace(learning, video=None, prompt='switch light on')
    with pytest.raises(StoppedError, match='after 1 of 2 updates'):
        learn_and_run(words, task, runs, lambda: True)
    longer = replace(words, learning=LearnConfig(updates=3, starts=4, threads=2))
    assert learn_and_run(longer, task, runs)['episodes'] == 1
    assert load_bundle(tmp_path / 'out' / 'light').description.updates == 3


def test_an_evaluation_that_cannot_run_ends_with_a_word(
    tmp_path: Path, make_bundle: Callable[..., PolicyBundle]
) -> None:
    with pytest.raises(BundleError, match='nothing-there'):
        next(evaluate('kitchen', 'light', tmp_path / 'nothing-there', 1, 0, 1))
    bundle = make_bundle().path
    with pytest.raises(ValueError, match="there is no domain 'nowhere'"):
        next(evaluate('nowhere', 'light', bundle, 1, 0, 1))
    with pytest.raises(ValueError, match="kitchen has no task 'dance'"):
        next(evaluate('kitchen', 'dance', bundle, 1, 0, 1))


def test_what_is_not_there_is_told_before_a_folder_is_made(tmp_path: Path) -> None:
    out, nothing = tmp_path / 'out', tmp_path / 'nothing'
    for wrong, error in (({'model': nothing}, ValueError), ({'video': nothing}, OSError)):
        with pytest.raises(error, match='nothing'):
            main(Config('kitchen', tasks=('light',), out=out, **wrong))
    assert not out.exists()


def child_processes(parent: int) -> set[int]:
    found = set()
    for status in Path('/proc').glob('[0-9]*/stat'):
        with contextlib.suppress(OSError):
            if int(status.read_text().rpartition(')')[2].split()[1]) == parent:
                found.add(int(status.parent.name))
    return found


@pytest.mark.parametrize('command', ['collect', 'eval'])
def test_ctrl_c_while_simulators_begin_ends_in_order(tmp_path: Path, command: str) -> None:
    words = {
        'collect': ['--frames', '9000', '--workers', '2', '--out', 'data'],
        'eval': ['--tasks', 'light', '--learning.updates', '1', '--out', 'out', '--workers', '2'],
    }
    with subprocess.Popen(
        [sys.executable, '-m', 'genrl_ros.cli.main', command, 'kitchen', *words[command]],
        cwd=tmp_path, env=os.environ | {'PYTHONPATH': str(ROOT)}, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        while len(child_processes(process.pid)) < 2 and process.poll() is None:
            pass  # the first is what multiprocessing keeps for itself
        os.killpg(process.pid, signal.SIGINT)
        out, error = process.communicate()
    assert 'Stopped: ' in out
    assert 'Traceback' not in error
    if command == 'eval':
        assert 'With --out out, the same command goes on' in out
    assert process.returncode == {'collect': 0, 'eval': 130}[command]


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
    for task in registry.get('kitchen').tasks:
        assert len({*task.paraphrases, task.prompt}) == 4
