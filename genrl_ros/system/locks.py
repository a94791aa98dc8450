"""Keeping a place on the disk from other processes, on network file systems, too."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout


@contextlib.contextmanager
def exclusive(folder: Path, name: str = '') -> Iterator[None]:
    """Keep a folder, or one name in it, from other processes that ask for the same.

    The lock is on a file `.lock`, or `.NAME.lock`, in the folder, which is made if need be: NFS
    locks only what is opened for writing. The file stays, and says who had it last; the lock on it
    ends with the process, however that ends.

    Args:
        folder: the folder.
        name: what is kept in it; the whole folder unless given.

    Raises:
        OSError: naming the place and the process that has it, if another one does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / (f'.{name}.lock' if name else '.lock')
    with file.open('a'):
        pass  # by the umask, so that those who share a folder share its lock
    lock = FileLock(file, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        message = f'another process is writing there{_holder(file)}'
        raise OSError(errno.EWOULDBLOCK, message, str(folder / name)) from None
    try:
        file.write_text(f'process {os.getpid()} on {socket.gethostname()}\n')
        yield
    finally:
        lock.release()


def _holder(file: Path) -> str:
    try:
        with file.open(errors='replace') as opened:
            said = opened.readline(200).strip()
    except OSError:
        return ''
    return f' ({said})' if said.isprintable() and said else ''
