"""Of what tasks leave on the disk the newest are kept, and nothing that is needed is removed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from genrl_ros.nodes.task_files import new_task_id, prune

MIB = 1 / 1024


@pytest.fixture
def task(tmp_path: Path) -> Callable[..., Path]:
    """Make the folder of a task of half a MiB, the later called the newer."""
    count = 0

    def make(below: str = '', name: str = '', interrupted: bool = False) -> Path:
        nonlocal count
        count += 1
        folder = tmp_path / below / (name or f'20261122-120000-{count:03d}-open-it')
        folder.mkdir(parents=True)
        (folder / 'file').write_bytes(bytes(2**19))
        beside = folder.with_name(f'{folder.name}.csv')
        beside.write_text('1')
        if interrupted:
            folder.with_name(f'{folder.name}.learning.safetensors').touch()
        for path in (folder, beside):
            os.utime(path, (count, count))
        return folder

    return make


def left(folder: Path) -> set[Path]:
    return {path.parent for path in folder.rglob('file')}


def nothing(_: Path) -> bool:
    return False


def test_the_newest_are_kept_with_all_their_files(tmp_path: Path, task) -> None:
    tasks = [task() for _ in range(5)]
    assert set(prune(tmp_path, 2, 1.0, nothing)) == set(tasks[:3])
    assert {path.name.removesuffix('.csv') for path in tmp_path.iterdir()} == {
        tasks[3].name,
        tasks[4].name,
    }
    assert prune(tmp_path, 2, 1.0, nothing) == []
    assert prune(tmp_path / 'nowhere', 2, 1.0, nothing) == []


def test_they_may_not_be_larger_than_allowed_together(tmp_path: Path, task) -> None:
    tasks = [task() for _ in range(5)]
    prune(tmp_path, 9, 1.2 * MIB, nothing)
    assert left(tmp_path) == set(tasks[3:])


def test_what_is_needed_stays(tmp_path: Path, task) -> None:
    used, interrupted, _, newest = task(), task(interrupted=True), task(), task()
    prune(tmp_path, 3, 1.0, lambda path: path == used)
    assert left(tmp_path) == {used, interrupted, newest}
    prune(tmp_path, 1, 0.0, lambda path: path == used)
    assert left(tmp_path) == {used, interrupted}


def test_what_has_another_name_is_not_touched(tmp_path: Path, task) -> None:
    others = {
        task(name='policy'),
        task(name='20261122-120000'),  # of a demo
        task(name='train-all'),
        task('recordings', '20261122-120000-001-open-it'),
    }
    elsewhere = task('elsewhere')
    (tmp_path / '20261122-130000-001-link').symlink_to(elsewhere)
    prune(tmp_path, 0, 0.0, nothing)
    assert left(tmp_path) == {*others, elsewhere}


def test_a_policy_that_was_learned_again_counts_for_itself(tmp_path: Path, task) -> None:
    name = '20261122-120000-001-open-it'
    first, second, third = task('', name), task('2', name), task('3', name)
    prune(tmp_path, 2, 1.0, lambda path: path == first)
    assert left(tmp_path) == {first, third}
    assert not second.parent.exists()


def test_the_names_of_new_tasks_are_among_them(tmp_path: Path, task) -> None:
    tasks = [task(name=new_task_id(prompt)) for prompt in ('open it', '打开')]
    assert prune(tmp_path, 0, 0.0, nothing) == tasks[::-1]
