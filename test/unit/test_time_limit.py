"""Work that may never end is waited for so long and no longer."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from genrl_ros.system.time_limit import within


def test_the_result_is_given_and_the_work_s_own_errors_too() -> None:
    assert within(20.0, 'adding', lambda: 1 + 1) == 2
    with pytest.raises(ZeroDivisionError):
        within(20.0, 'dividing', lambda: 1 // 0)

    def its_own() -> None:
        raise TimeoutError('nobody answers')

    with pytest.raises(TimeoutError, match='nobody answers'):
        within(20.0, 'asking', its_own)


def test_work_that_never_ends_is_given_up() -> None:
    never = threading.Event()
    with pytest.raises(TimeoutError, match=r'waiting takes longer than 0\.1 s'):
        within(0.1, 'waiting', never.wait)
    never.set()


def test_work_that_never_ends_does_not_keep_a_process_from_ending() -> None:
    code = (
        'import threading\n'
        'from genrl_ros.system.time_limit import within\n'
        "within(0.1, 'waiting', threading.Event().wait)"
    )
    ended = subprocess.run([sys.executable, '-c', code], capture_output=True, timeout=60)
    assert b'TimeoutError: waiting takes longer than 0.1 s' in ended.stderr
