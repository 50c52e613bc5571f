"""Writing files so that a crash at any point leaves either the old state or the new one."""

import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from imagefs.store.sharing import share

_NOWAIT = getattr(os, "RWF_NOWAIT", 8)  # a Python that was built for another C library may not know it

_WRITEBACK = 8 << 20
"""After how many bytes the kernel is asked to begin with writing them to the disk."""

_START_ONLY = 2
"""`SYNC_FILE_RANGE_WRITE` of sync_file_range(2): begin, and do not wait."""


class NewFile:
    """A read-only file that is written front to back, once.

    The disk works while the content still arrives: what is written is on its way there at once, and `sync` has
    little left to wait for.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
        share(path)
        self._size = 0
        self._on_its_way = 0

    def write(self, data: bytes) -> None:
        """Append data."""
        view = memoryview(data)
        with naming(self._path):
            while view:  # one call to write(2) need not take all of it
                view = view[os.write(self._descriptor, view) :]
        self._size += len(data)
        if self._size - self._on_its_way >= _WRITEBACK:
            _start_writeback(self._descriptor, self._on_its_way, self._size - self._on_its_way)
            self._on_its_way = self._size

    def sync(self) -> None:
        """Make the content durable."""
        with naming(self._path):
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Let go of the file; once more is no error."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _start_writeback(descriptor: int, offset: int, size: int) -> None:
    """Ask for it. It is no more than a hint: whether it was heard, only `fsync` tells."""
    function = _sync_file_range()
    if function is not None:
        function(descriptor, offset, size, _START_ONLY)


@cache
def _sync_file_range() -> Any:  # noqa: ANN401  ctypes knows no better
    """The C library's sync_file_range, which the standard library does not have; None where there is none."""
    import ctypes

    try:
        function = ctypes.CDLL(None).sync_file_range
    except (AttributeError, OSError):
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return function


def make_folder(path: Path) -> None:
    """Make a folder, and those that it is in, durably; one that is there already is success."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    share(path)
    with suppress(PermissionError):  # who may write to a folder need not be one who may read it
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames and unlinks in a directory durable."""
    _sync(path, os.O_DIRECTORY)


def sync_file(path: Path) -> None:
    """Make a file's content durable."""
    _sync(path, 0)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        with naming(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Say in an `OSError` which file it is about, where a descriptor was all that the system knew of it."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def put_aside(path: Path, folder: Path, name: str) -> Path | None:
    """Move a file, or a directory, into a folder, durably, under a name that is free there.

    Answers where it is now, None where there is none. Raises `OSError`.
    """
    if not os.path.lexists(path):
        return None
    make_folder(folder)
    target = folder / name
    for number in itertools.count(1):
        if not os.path.lexists(target):
            break
        target = folder / f"{name}.{number}"
    try:
        path.rename(target)
    except FileNotFoundError:
        return None
    sync_directory(folder)
    sync_directory(path.parent)
    return target


def remove_all(path: Path) -> None:
    """Remove a file, or a directory with all that is in it, as far as it is there and can be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def size_of(path: Path) -> int | None:
    """A file's size in bytes, None when there is no such file."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def pread_cached(descriptor: int, size: int, offset: int) -> bytes | bytearray | None:
    """What pread(2) gives, where the page cache has all of it; None where the disk would have to be waited for.

    The kernel begins to read ahead then.
    """
    buffer = bytearray(size)
    try:
        count = os.preadv(descriptor, [buffer], offset, _NOWAIT)
    except (OSError, NotImplementedError):
        # EAGAIN; or nobody can tell, and whoever waits for it sees what else is wrong.
        return None
    return buffer if count == size else None
