from __future__ import annotations

import json
from pathlib import Path

import pytest

from genrl_ros.cli.commands import doctor
from genrl_ros.cli.commands.doctor import GIB, CheckResult, Config
from genrl_ros.cli.main import main


def test_a_probe_says_what_it_found() -> None:
    found = doctor.probe('Thing', 'print("well")', 'mend it', prefix='very ')
    assert found == CheckResult('Thing', 'ok', 'very well')


def test_a_crash_is_a_finding() -> None:
    found = doctor.probe('Thing', 'import os; os.abort()', 'mend it')
    assert found == CheckResult('Thing', 'fail', 'exit status -6: it said nothing', 'mend it')


def test_an_error_is_a_finding_in_its_own_words() -> None:
    found = doctor.probe('Thing', 'raise RuntimeError("no such GPU")', 'mend it')
    assert (found.status, found.detail) == ('fail', 'exit status 1: RuntimeError: no such GPU')


def test_a_probe_that_hangs_is_ended() -> None:
    found = doctor.probe('Thing', 'while True: pass', 'mend it', timeout_s=0.2)
    assert found == CheckResult('Thing', 'fail', 'no answer within 0.2 s', 'mend it')


@pytest.mark.parametrize(('free', 'status'), [(8, 'ok'), (6, 'ok'), (5.9, 'warn'), (1, 'fail')])
def test_room_is_judged(free: float, status: str) -> None:
    found = doctor.room('Memory', free * GIB, 6 * GIB, 3 * GIB, 'buy more')
    assert found.status == status
    assert bool(found.mend) == (status != 'ok')


def test_damaged_models_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, 'share_path', tmp_path.joinpath)
    (tmp_path / 'models').mkdir()
    assert 'manifest.json' in doctor.check_models().detail
    (tmp_path / 'models' / 'manifest.json').write_text('{"format_version": 1, "files": []}')
    assert doctor.check_models().status == 'ok'
    (tmp_path / 'models' / 'stray.onnx').write_bytes(b'')
    found = doctor.check_models()
    assert (found.status, found.detail) == ('fail', 'stray.onnx is not in the manifest')
    assert 'git checkout' in found.mend


def test_without_shared_memory_it_warns(tmp_path: Path) -> None:
    assert doctor.check_shared_memory(tmp_path / 'none').status == 'warn'


@pytest.mark.parametrize(('status', 'code'), [('ok', 0), ('warn', 0), ('fail', 1)])
def test_the_exit_status_tells_failure(
    status: doctor.Status,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = CheckResult('Thing', status, 'as it is', 'mend it')
    monkeypatch.setattr(doctor, 'CHECKS', (lambda: found,))
    assert doctor.main(Config(json=True)) == code
    assert json.loads(capsys.readouterr().out) == [
        {'name': 'Thing', 'status': status, 'detail': 'as it is', 'mend': 'mend it'}
    ]
    assert main(['doctor']) == code
    assert '-> mend it' in capsys.readouterr().out
