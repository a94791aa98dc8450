"""Where there is no terminal, a bar is a line now and then."""

from __future__ import annotations

import itertools

import pytest

from genrl_ros.cli import progress
from genrl_ros.cli.progress import LINE_EVERY_S, bar


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four seconds pass at each look at it."""
    seconds = itertools.count(0, 4)
    monkeypatch.setattr(progress.time, 'monotonic', lambda: float(next(seconds)))


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().out.splitlines() if ' left  ' in line]


def test_a_line_now_and_then(clock: None, capsys: pytest.CaptureFixture[str]) -> None:
    with bar('learn', 20) as show:
        for done in range(1, 13):
            show(done, f'loss {done}')
    said = lines(capsys)
    assert [line.split()[1] for line in said[:2]] == ['1/20', '4/20']
    assert said[0].endswith('loss 1')
    assert 4 * 2 < LINE_EVERY_S < 4 * 4


def test_what_becomes_known_later_is_shown(
    clock: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with bar('starting') as show:
        show(0)
        for done in range(10, 60, 10):
            show(done, 'return 1.0', 200, 'learning')
    first, *rest = lines(capsys)
    assert first.startswith('starting 0  ')
    assert rest and all(' 0/200' not in line and 'learning' in line for line in rest)
