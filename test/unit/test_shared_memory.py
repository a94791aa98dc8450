"""Only what no process uses is removed from shared memory, whoever starts meanwhile."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from genrl_ros.cli import shared_memory
from genrl_ros.cli.shared_memory import ours, remove_dead


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shared_memory, 'FOLDER', tmp_path)
    return tmp_path


def segment(folder: Path, name: str) -> Path:
    """The files of a Fast DDS segment; gives the one that its process locks."""
    (folder / name).write_bytes(b'segment')
    (folder / f'{name}_el').touch()
    return folder / f'{name}_el'


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_is_locked_or_was_there_before_or_is_not_ours_stays(folder: Path) -> None:
    segment(folder, 'fastdds_before')
    before = ours()
    used = segment(folder, 'fastdds_used')
    segment(folder, 'fastdds_dead')
    for name in ('sem.fastdds_dead_mutex', 'lttng-ust-wait-8', 'other'):
        (folder / name).touch()
    with used.open('rb') as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        removed = remove_dead(before, grace_s=0.0)
    assert removed == ['fastdds_dead', 'fastdds_dead_el', 'sem.fastdds_dead_mutex']
    assert names(folder) == {
        *('fastdds_before', 'fastdds_before_el', 'fastdds_used', 'fastdds_used_el'),
        *('lttng-ust-wait-8', 'other'),
    }


def test_what_a_graph_that_starts_has_not_locked_yet_stays(folder: Path) -> None:
    lock = segment(folder, 'fastdds_starts')
    segment(folder, 'fastdds_dead')
    with lock.open('rb') as file:
        # As Fast DDS does: first the files are made, and then they are locked.
        later = threading.Timer(0.1, fcntl.flock, (file, fcntl.LOCK_EX))
        later.start()
        removed = remove_dead(set(), grace_s=1.0)
        later.join()
    assert removed == ['fastdds_dead', 'fastdds_dead_el']
    assert names(folder) == {'fastdds_starts', 'fastdds_starts_el'}


def test_a_port_that_is_made_anew_meanwhile_stays(folder: Path) -> None:
    segment(folder, 'fastdds_port7411')

    def make_anew() -> None:
        new = folder / 'new'
        new.write_bytes(b'segment')
        os.replace(new, folder / 'fastdds_port7411')

    later = threading.Timer(0.1, make_anew)
    later.start()
    assert remove_dead(set(), grace_s=1.0) == []
    later.join()


def test_nobody_waits_where_nothing_is_dead(folder: Path) -> None:
    assert remove_dead(set(), grace_s=1e9) == []
