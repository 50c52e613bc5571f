"""Writing files so that a crash at any point leaves either the old state or the new one."""

import os
from pathlib import Path


def sync_directory(path: Path) -> None:
    """Make renames and unlinks in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make a file's content durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, which one call to write(2) need not do."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


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
        count = os.preadv(descriptor, [buffer], offset, os.RWF_NOWAIT)
    except OSError:  # EAGAIN; or the file system cannot tell, and whoever waits for it sees what else is wrong
        return None
    return buffer if count == size else None
