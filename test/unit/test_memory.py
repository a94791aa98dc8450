"""Training on 2.5 million frames, 31 GB, stays under 3 GB of memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sparse_training import make_sparse_store, train_on
from toy_training import processes

FRAMES, LIMIT = 2_500_000, 3 * 10**9


def train(path: Path, run: Path, updates: int, cgroup: Path | None = None) -> int:
    here, there = processes().Pipe(duplex=False)
    process = processes().Process(target=train_on, args=(path, run, updates, cgroup, there))
    process.start()
    there.close()
    peak = int(here.recv())
    process.join()
    assert process.exitcode == 0
    return peak


def test_memory_does_not_grow_with_the_dataset(tmp_path: Path) -> None:
    """Mapped pages of the files count here: they leave again with the windows they were for."""
    size = make_sparse_store(tmp_path / 'large', 100, FRAMES // 100)
    make_sparse_store(tmp_path / 'small', 100, 100)
    assert size > 30 * 10**9
    large = train(tmp_path / 'large', tmp_path / 'run1', 4)
    small = train(tmp_path / 'small', tmp_path / 'run2', 4)
    assert large < LIMIT
    assert large - small < 0.1 * LIMIT


@contextlib.contextmanager
def limited(name: str, limit: int) -> Iterator[Path]:
    """A control group whose processes, their share of the page cache included, get no more."""
    for place, file in (
        (Path('/sys/fs/cgroup/memory'), 'memory.limit_in_bytes'),
        (Path('/sys/fs/cgroup'), 'memory.max'),
    ):
        group = place / name
        try:
            group.mkdir()
            (group / file).write_text(str(limit))
        except OSError:
            continue
        break
    else:
        pytest.skip('only root can limit the memory of a control group')
    try:
        yield group
    finally:
        group.rmdir()


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_the_page_cache_needs_no_room_either(tmp_path: Path) -> None:
    """As many files as the kitchen's episodes would be, in a control group of 3 GB."""
    assert make_sparse_store(tmp_path / 'data', FRAMES // 141 + 1, 141) > 30 * 10**9
    with limited(f'genrl-{tmp_path.parent.name}', LIMIT) as group:
        peak = train(tmp_path / 'data', tmp_path / 'run', 400, group)
    assert peak < LIMIT
