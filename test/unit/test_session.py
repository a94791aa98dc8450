"""Long commands stop in time, say so, and do no stage twice; every option is explained."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import get_type_hints

import pytest

from genrl_ros.cli import main as cli
from genrl_ros.cli.session import Deadline, training_session, work_through
from genrl_ros.config.training import RecordConfig
from genrl_ros.system.processes import age_s
from genrl_ros.training.engine.run import Run, StoppedError
from genrl_ros.training.engine.stages import Stages
from genrl_ros.world_model.ranks import ALONE


def test_a_budget_counts_from_the_start_of_the_process() -> None:
    assert age_s() > 0
    with Deadline(age_s()) as deadline:
        assert deadline.passed()
    with Deadline(age_s() + 1000) as deadline:
        assert not deadline.passed()
    with pytest.raises(ValueError, match='--budget-s must be positive'):
        Deadline(0.0)


@pytest.mark.parametrize('signum', [signal.SIGINT, signal.SIGTERM])
def test_a_first_signal_is_noted_and_a_second_interrupts(signum: int) -> None:
    before = signal.getsignal(signum)
    with Deadline(None) as deadline:
        os.kill(os.getpid(), signum)
        assert deadline.passed()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signum)
    assert signal.getsignal(signum) is before


def test_stopping_early_is_said_and_is_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with training_session(tmp_path, RecordConfig(), 'cpu', 'float32', None) as run:
        os.kill(os.getpid(), signal.SIGTERM)
        work_through('embed', 3, iter([1, 1, 1]), run)
        raise AssertionError('it went on')
    assert 'Stopped: embed is not finished. All is saved' in capsys.readouterr().out


INTERRUPTED = """
import os, signal
from genrl_ros.cli import main

def load(name):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        pass  # as libraries do while they are imported
    print('it went on')

main.load = load
main.main(['learn', 'kitchen'])
"""


def test_an_interrupt_while_a_command_is_loaded_is_not_lost() -> None:
    done = subprocess.run(
        [sys.executable, '-c', INTERRUPTED], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (cli.INTERRUPTED, '')
    assert done.stderr == 'genrl: interrupted before it began\n'


def test_an_interrupt_while_a_command_runs_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(name: str, arguments: object) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError('it went on')

    monkeypatch.setattr(cli, 'run', run)
    assert cli.main(['learn', 'kitchen']) == cli.INTERRUPTED
    assert capsys.readouterr().err == 'genrl learn: interrupted\n'


def test_work_without_a_limit_is_finished(tmp_path: Path) -> None:
    done = []
    work_through('embed', 3, (done.append(i) or 1 for i in range(3)), Run(tmp_path))
    assert done == [0, 1, 2]


def test_a_stage_is_done_once_for_its_settings(tmp_path: Path) -> None:
    said: list[str] = []
    calls = 0

    def work() -> dict[str, int]:
        nonlocal calls
        calls += 1
        product.write_text('made')
        return {'calls': calls}

    product = tmp_path / 'product'
    for settings, expected in (
        ({'frames': 3, 'place': Path('a')}, 1),
        ({'frames': 3, 'place': Path('a')}, 1),
        ({'frames': 4, 'place': Path('a')}, 2),
        ({'frames': 4, 'place': Path('b')}, 3),
    ):
        stages = Stages(tmp_path / 'stages', ALONE, said.append)
        assert stages.do('collect', settings, work, (product,)) == {'calls': expected}
    product.unlink()
    assert stages.do('collect', settings, work, (product,)) == {'calls': 4}
    assert said == [
        'collect: begins', 'collect: done already', 'collect: begins', 'collect: begins',
        'collect: begins',
    ]  # fmt: skip


def test_a_stage_that_stops_is_begun_again(tmp_path: Path) -> None:
    stages = Stages(tmp_path, ALONE, lambda _: None)

    def stop() -> dict[str, int]:
        raise StoppedError

    with pytest.raises(StoppedError):
        stages.do('embed', {}, stop, ())
    assert not list(tmp_path.iterdir())
    assert stages.do('embed', {}, lambda: {'a': 1}, ()) == {'a': 1}
    assert json.loads((tmp_path / 'embed.json').read_text())['result'] == {'a': 1}


def explained(kind: type) -> set[str]:
    """Fields of a dataclass and those that it inherits that are followed by a docstring."""
    inherited = [explained(base) for base in kind.__bases__ if dataclasses.is_dataclass(base)]
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    return set().union(*inherited) | {
        field.target.id
        for field, text in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


def unexplained(kind: type) -> list[str]:
    missing = []
    for field in dataclasses.fields(kind):
        if field.name not in explained(kind):
            missing.append(f'{kind.__name__}.{field.name}')
        hint = get_type_hints(kind)[field.name]
        if dataclasses.is_dataclass(hint):
            missing += unexplained(hint)  # type: ignore[arg-type]
    return missing


@pytest.mark.parametrize('command', ['pretrain', 'connect', 'train-all', 'collect', 'learn'])
def test_help_explains_every_option(command: str) -> None:
    assert unexplained(cli.load(command).Config) == []
