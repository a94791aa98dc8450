"""Files appear whole or not at all, and say what stood in their way."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from toy_training import SPEC, TINY

from genrl_ros.data.store.episode_file import Episode, write_episode
from genrl_ros.system.files import atomic_folder, check_writable, write_tensors
from genrl_ros.training.engine.state_file import save_state
from genrl_ros.world_model.checkpoint import save_mfwm
from genrl_ros.world_model.mfwm import MFWM

WRITE = """
import resource, signal, sys, numpy
from pathlib import Path
from genrl_ros.system.files import write_tensors
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # what grows too large kills, in the middle of it
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
write_tensors(Path(sys.argv[1]), {'large': numpy.zeros(1_000_000, numpy.uint8)})
"""


def test_a_killed_process_leaves_nothing_but_what_is_named_after_the_file(tmp_path: Path) -> None:
    path = tmp_path / 'model.safetensors'
    path.write_bytes(b'old')
    process = subprocess.run([sys.executable, '-c', WRITE, str(path)])
    assert process.returncode == -signal.SIGXFSZ
    assert path.read_bytes() == b'old'
    (left,) = (each for each in tmp_path.iterdir() if each != path)
    assert left.name.startswith('.model.safetensors.') and left.suffix == '.tmp'


@contextlib.contextmanager
def no_room() -> Iterator[None]:
    """No file may be larger than a hundred bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _episode(path: Path) -> None:
    image, rest = np.zeros((9, 3, 4, 4), np.uint8), np.zeros((9, 3), np.float32)
    write_episode(path, Episode(image, rest, rest, 'kind', '0'))


def _model(path: Path) -> None:
    save_mfwm(path.parent, MFWM(TINY), SPEC, 'embedded', 'f' * 64, {})


@pytest.mark.parametrize(
    'write', [_episode, _model, lambda path: save_state(path, {'x': torch.zeros(99)})]
)
def test_what_cannot_be_written_is_named(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / 'mfwm.safetensors'
    with no_room(), pytest.raises(OSError, match='File too large') as failure:
        write(path)
    assert str(path) in str(failure.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_nothing_can_be_put_into_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_writable(tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, 'Read-only file system')

    monkeypatch.setattr(tempfile, 'TemporaryFile', refuse)
    with pytest.raises(OSError, match='Read-only') as caught:
        check_writable(tmp_path)
    assert caught.value.filename == str(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('umask', 'file', 'folder'), [(0o077, 0o600, 0o700), (0o002, 0o664, 0o775)]
)
def test_who_may_read_a_file_is_up_to_the_umask(
    tmp_path: Path, umask: int, file: int, folder: int
) -> None:
    before = os.umask(umask)
    try:
        _model(tmp_path / 'mfwm.safetensors')
        with atomic_folder(tmp_path / 'bundle') as unfinished:
            (unfinished / 'policy.json').write_text('{}')
    finally:
        os.umask(before)
    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob('*')}
    assert found == {
        'mfwm.safetensors': file,
        'mfwm.json': file,
        'bundle': folder,
        'policy.json': file,
    }


def test_arrays_are_written_as_they_are_and_not_as_they_lie(tmp_path: Path) -> None:
    arrays = {
        'transposed': np.arange(6.0).reshape(2, 3).T,
        'every_second': np.arange(10)[::2],
        'scalar': np.array(3.0),
    }
    write_tensors(tmp_path / 'file', arrays)
    for name, found in load_file(tmp_path / 'file').items():
        assert found.shape == arrays[name].shape
        assert np.array_equal(found, arrays[name]), name
