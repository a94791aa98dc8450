"""Writing files so that a reader sees the old one or the new one, never a half."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import save_file

_KINDS = {
    stat.S_IFIFO: 'a FIFO',
    stat.S_IFCHR: 'a device',
    stat.S_IFBLK: 'a device',
    stat.S_IFSOCK: 'a socket',
    stat.S_IFDIR: 'a folder',
}
MAX_JSON_BYTES = 64 * 2**20
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # renameat2(2)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary path, which takes the place of `path` when the block ends well.

    It lies in a folder `.<name>.*.tmp` beside `path`, as does whatever else a library puts beside
    the file that it writes: all that a killed process leaves. Who may read the file is up to the
    umask, whatever a library thinks.

    Raises:
        OSError: naming the path, if it is there and no file, such as a device; it stays then.
    """
    if path.exists() and not path.is_file():
        raise _no_file(path, path.stat())
    folder = _beside(path)
    temporary = folder / path.name
    try:
        yield temporary
        sync(temporary)
        temporary.chmod(folder.stat().st_mode & 0o666)
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)  # a full disk does not say by itself where it is
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`, which takes its place when the block ends well.

    Who may read it is up to the umask.

    Raises:
        FileExistsError: if `path` exists already; folders are never overwritten.
    """
    if path.exists():
        raise FileExistsError(f'{path} exists already')
    temporary = _beside(path)
    try:
        yield temporary
        for file in temporary.rglob('*'):
            sync(file)
        os.rename(temporary, path)
        sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def replace_folder(path: Path, new: Path) -> None:
    """Put a finished folder in the place of another one, which is removed.

    Linux exchanges the two at once, so that there is one at any moment. A file system that cannot
    (NFS) renames twice; what a kill between leaves, `recover_folder` puts back.

    Args:
        path: the place; nothing need be there.
        new: the folder that goes there, on the same file system.
    """
    recover_folder(path)
    old = _old(path)
    if not path.exists():
        os.rename(new, path)
    elif _exchange(new, path):
        os.rename(new, old)
    else:
        os.rename(path, old)
        os.rename(new, path)
    sync(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def recover_folder(path: Path) -> None:
    """Mend what a kill in the middle of `replace_folder` has left."""
    old = _old(path)
    if old.is_dir() and not path.exists():
        os.rename(old, path)
    shutil.rmtree(old, ignore_errors=True)


def _old(path: Path) -> Path:
    return path.with_name(f'.{path.name}.old')


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two names at once; whether the file system can."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, 'renameat2'):
        return False
    names = (os.fsencode(first), os.fsencode(second))
    if libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    error = ctypes.get_errno()
    if error in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
        return False
    raise OSError(error, os.strerror(error), str(first), None, str(second))


def _beside(path: Path) -> Path:
    """A new folder `.<name>.*.tmp` beside a path, for whomever the umask lets in."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            folder = path.parent / f'.{path.name}.{secrets.token_hex(4)}.tmp'
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                return folder
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def check_writable(folder: Path) -> None:
    """Check that files can be put into a folder, before hours of work whose result goes there.

    Raises:
        OSError: naming the folder, if they cannot.
    """
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error


def clean(folder: Path, stem: str) -> None:
    """Remove what `atomic_file` left half-written in a folder, of names that begin with `stem`."""
    for torn in folder.glob(f'.{stem}*.tmp'):
        shutil.rmtree(torn) if torn.is_dir() else torn.unlink()


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading, but never a FIFO, a device or a socket, which may block or act.

    The path is looked up once: what was checked is what is opened, even if somebody puts another
    file into its place.

    Raises:
        OSError: naming the path, if it is no regular file or cannot be read.
    """
    found = os.open(path, os.O_PATH | os.O_CLOEXEC)  # finds the file and does not open it
    try:
        status = os.fstat(found)
        if not stat.S_ISREG(status.st_mode):
            raise _no_file(path, status)
        return open(f'/proc/self/fd/{found}', 'rb')
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        os.close(found)


def _no_file(path: Path, status: os.stat_result) -> OSError:
    what = _KINDS.get(stat.S_IFMT(status.st_mode), 'something else')
    return OSError(errno.EINVAL, f'it is {what}, not a file', str(path))


def check_regular(path: Path) -> None:
    """Check a file that a library is going to open by its name; see `open_regular`.

    Raises:
        OSError: naming the path, if it is no regular file or cannot be read.
    """
    open_regular(path).close()


def read_at_most(path: Path, limit: int) -> bytes:
    """The contents of a file that must not be larger than `limit` bytes.

    Raises:
        ValueError: if it is larger; nothing is read then.
        OSError: if it cannot be read, or is no regular file.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise ValueError(f'{path} has {size} bytes, larger than the {limit} that are allowed')
        content = file.read(size + 1)
    if len(content) > size:
        raise ValueError(f'{path} grows while it is read')
    return content


def read_json(path: Path, limit: int = MAX_JSON_BYTES) -> Any:
    """The value that a JSON file holds, which must not be larger than `limit` bytes.

    Raises:
        ValueError: if it is no JSON, too large, or nested too deeply.
        OSError: if it cannot be read, or is no regular file.
    """
    content = read_at_most(path, limit)
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError(f'{path} is nested too deeply') from None


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + '\n')


def write_tensors(
    path: Path, tensors: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file atomically, of arrays however they lie in memory.

    Raises:
        OSError: naming the file, if it cannot be written; one that was there before stays.
    """
    # The library writes memory as it lies, also that of a transposed array.
    ordered = {name: np.asarray(tensor, order='C') for name, tensor in tensors.items()}
    with atomic_file(path) as temporary:
        try:
            save_file(ordered, temporary, dict(metadata or {}))
        except SafetensorError as error:
            raise OSError(errno.EIO, str(error), str(path)) from error


def sha256(path: Path) -> str:
    """Hex digest of a file's contents.

    Raises:
        OSError: if it cannot be read, or is no regular file.
    """
    with open_regular(path) as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
