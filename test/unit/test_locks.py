"""One process at a time writes to a place, and the others are told which one does."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from toy_training import SPEC, make_model, make_store

from genrl_ros.cli import main
from genrl_ros.cli.commands import embed
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.system.locks import exclusive
from genrl_ros.training.behavior import learn_worker
from genrl_ros.training.behavior.learn_worker import LearnRequest

HOLD = """
import sys
from pathlib import Path
from genrl_ros.system.locks import exclusive
with exclusive(Path(sys.argv[1])):
    print('held', flush=True)
    sys.stdin.read()
"""


def test_two_processes_do_not_write_to_one_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / 'data'
    with subprocess.Popen(
        [sys.executable, '-c', HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b'held\n'
        command = ['pretrain', 'kitchen', '--run', str(folder)]
        assert main.main(command) == 1
        assert [file.name for file in folder.iterdir()] == ['.lock']
        said = capsys.readouterr().err
        assert 'another process is writing there' in said
        assert f'process {other.pid} on ' in said
        other.kill()
        other.wait()
    with exclusive(folder), exclusive(folder, 'a name in it'):
        pass


def test_a_lock_holds_where_only_files_that_are_written_can_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS emulates flock by locks on ranges of bytes, which ask for a file that is open to write.

    A file system of this machine stands in for it: it refuses what NFS refuses, flock(2).
    """
    local: Callable[[int, int], None] = fcntl.flock

    def as_nfs_does(fd: int, operation: int) -> None:
        writable = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
        if operation & fcntl.LOCK_EX and not writable:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        local(fd, operation)

    monkeypatch.setattr(fcntl, 'flock', as_nfs_does)
    with (
        exclusive(tmp_path),
        pytest.raises(OSError, match='another process is writing there'),
        exclusive(tmp_path),
    ):
        raise AssertionError('it was locked twice')


def test_two_commands_do_not_learn_under_one_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ['learn', 'kitchen', '--prompt', 'open the microwave', '--name', 'mine']
    with exclusive(tmp_path, 'mine'):
        assert main.main([*command, '--out', str(tmp_path), '--learning.updates', '1']) == 1
        assert (
            f'another process is writing there (process {os.getpid()}' in capsys.readouterr().err
        )
        assert [file.name for file in tmp_path.iterdir()] == ['.mine.lock']


def test_two_workers_do_not_learn_one_task(tmp_path: Path) -> None:
    model = make_model(tmp_path / 'model')
    embedding = np.eye(32, dtype=np.float32)[0].tolist()
    settings = {'updates': 1, 'starts': 8, 'threads': 1, 'critic_first': 0}
    request = LearnRequest(str(model), embedding, 'task', 'do it', str(tmp_path), settings)

    def work(request: LearnRequest) -> str:
        return learn_worker.serve(request, lambda **_: None, lambda: False)['path']

    with exclusive(tmp_path, 'task'):
        with pytest.raises(OSError, match='another process is writing there'):
            work(request)
        other = dataclasses.replace(request, task_id='other')
        assert work(other) == str(tmp_path / 'other')
    assert work(request) == str(tmp_path / 'task')


def test_two_commands_do_not_embed_one_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Embedder:
        identity = 'f' * 64

        def embed_windows(self, images: np.ndarray) -> np.ndarray:
            return np.zeros((len(images), 4), np.float32)

    monkeypatch.setattr(embed, 'load_embedder', lambda _: Embedder())
    store = EpisodeStore.open(make_store(tmp_path / 'data'))
    config = embed.Config(SPEC.name, store.path)
    with (
        exclusive(store.path, 'embeddings'),
        pytest.raises(OSError, match='another process is writing there'),
    ):
        embed.main(config)
    assert embed.main(config) == 0
    assert store.embedding(Embedder.identity, store.episode_ids[0]).shape == (12, 4)
