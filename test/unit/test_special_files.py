"""What is no file is never opened: a FIFO would block, a device may act."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from test_hostile_files import LOADERS
from toy_training import TINY

from genrl_ros.system.files import open_regular, read_at_most, sha256, write_json
from genrl_ros.training.behavior.export import export_policy
from genrl_ros.world_model.checkpoint import CheckpointError
from genrl_ros.world_model.mfwm import MFWM


def opens(fifo: Path, attempt: Callable[[], object]) -> bool:
    """Whether `attempt` opens a FIFO, which a waiting writer tells and then sets free."""

    def wait_for_a_reader() -> None:
        writer = os.open(fifo, os.O_WRONLY)
        try:
            os.write(writer, b'x')
        except BrokenPipeError:  # that reader is gone already
            pass
        finally:
            os.close(writer)

    waiting = threading.Thread(target=wait_for_a_reader, daemon=True)
    waiting.start()
    try:
        attempt()
    finally:
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        waiting.join()
        untouched = os.read(reader, 1) == b'x'
        os.close(reader)
    return not untouched


@pytest.mark.parametrize(('make', 'name', 'load'), LOADERS, ids=[name for _, name, _ in LOADERS])
def test_a_fifo_in_place_of_a_file_is_refused_unopened(tmp_path, make, name, load) -> None:
    folder = make(tmp_path / 'files')
    fifo = folder / name
    fifo.unlink(missing_ok=True)
    os.mkfifo(fifo)

    def attempt() -> None:
        with pytest.raises((ValueError, OSError)):
            load(folder)

    assert not opens(fifo, attempt)


def test_a_fifo_in_place_of_a_model_s_encoder_is_refused_unopened(tmp_path) -> None:
    def attempt() -> None:
        with pytest.raises(CheckpointError, match='it is a FIFO, not a file'):
            export_policy(tmp_path, MFWM(TINY), None)

    os.mkfifo(tmp_path / 'encoder.onnx')
    assert not opens(tmp_path / 'encoder.onnx', attempt)


def test_the_test_notices_a_fifo_that_is_opened(tmp_path) -> None:
    fifo = tmp_path / 'fifo'
    os.mkfifo(fifo)
    assert opens(fifo, fifo.read_bytes)


@pytest.mark.parametrize('read', [open_regular, sha256, lambda path: read_at_most(path, 100)])
def test_what_is_no_file_is_named(tmp_path, read) -> None:
    os.mkfifo(tmp_path / 'fifo')
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / 'socket'))
    (tmp_path / 'link').symlink_to('/dev/zero')
    for name, what in (
        ('fifo', 'a FIFO'),
        ('socket', 'a socket'),
        ('link', 'a device'),
        ('.', 'a folder'),
    ):
        with pytest.raises(OSError, match=f'it is {what}, not a file') as refused:
            read(tmp_path / name)
        assert refused.value.filename == str(tmp_path / name)
    listening.close()
    with pytest.raises(FileNotFoundError, match='nothing'):
        read(tmp_path / 'nothing')


def test_what_is_no_file_is_not_replaced_by_one(tmp_path) -> None:
    os.mkfifo(tmp_path / 'fifo')
    (tmp_path / 'device').symlink_to('/dev/null')
    for name in ('fifo', 'device'):
        with pytest.raises(OSError, match='not a file'):
            write_json(tmp_path / name, {})
    assert (tmp_path / 'fifo').is_fifo()
    assert (tmp_path / 'device').is_char_device()
    assert sorted(path.name for path in tmp_path.iterdir()) == ['device', 'fifo']


def test_a_file_that_is_swapped_after_the_check_is_not_opened(tmp_path, monkeypatch) -> None:
    path = tmp_path / 'file'
    path.write_bytes(b'checked')
    checked = os.fstat

    def swap(handle: int) -> os.stat_result:
        os.replace(other, path)
        return checked(handle)

    other = tmp_path / 'other'
    other.write_bytes(b'swapped in')
    monkeypatch.setattr(os, 'fstat', swap)
    with open_regular(path) as file:
        monkeypatch.undo()
        assert file.read() == b'checked'
