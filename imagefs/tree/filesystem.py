"""What a file system has to answer. `fuse.answers` asks these questions and knows nothing of images."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

FOREVER = 365.0 * 86400
"""Seconds of validity of what never changes."""

VOLATILE = 1.0
"""Seconds of validity of what changes with the images in the store."""


class Attributes(msgspec.Struct, frozen=True, gc=False):
    """A file's attributes: stat(2)'s, and how many seconds they, and the name they were found by, are valid."""

    ino: int
    mode: int
    nlink: int = 1
    uid: int = 0
    gid: int = 0
    rdev: int = 0
    size: int = 0
    blocks: int = 0
    mtime_ns: int = 0
    valid: float = FOREVER


class OpenFile(Protocol):
    """An open file; what it reads stays as it was when it was opened."""

    def read(self, offset: int, size: int) -> bytes | bytearray:
        """Up to `size` bytes at `offset`."""

    def read_cached(self, offset: int, size: int) -> bytes | bytearray | None:
        """The same where it is in memory; None where the disk would have to be waited for."""

    def close(self) -> None:
        """Let go of it."""


class OpenDirectory(Protocol):
    """An open directory; `entries` stay as they were when it was opened."""

    entries: Sequence[tuple[bytes, Attributes]]

    def close(self) -> None:
        """Let go of it."""


class Statistics(msgspec.Struct, frozen=True):
    """What statfs(2) tells: 512-byte blocks and inodes in use."""

    blocks: int
    inodes: int


class FileSystem(Protocol):
    """A read-only file system. Inode 1 is its root. All methods raise `TreeError` where the answer is no."""

    fixed: bool
    """Whether all of it stays as it is for as long as it is mounted: then nobody has to say what is in use."""

    has_xattrs: bool
    """False only where no file has an extended attribute, now and for as long as it is mounted."""

    def open_ahead(self) -> None:
        """Open what the first to look would have to wait for, as far as it is known and little."""

    def refresh(self) -> None:
        """Look for new and removed images."""

    def outdated(self) -> Sequence[tuple[int, bytes]]:
        """(directory, name) of every name that means something else, or nothing, since this was asked last."""

    def remember(self, ino: int) -> None:
        """The kernel was told of an inode: by a lookup, or in a listing."""

    def forget(self, ino: int, count: int) -> None:
        """The kernel forgot an inode that it was told of `count` times."""

    def getattr(self, ino: int) -> Attributes:
        """The attributes of an inode."""

    def lookup(self, parent: int, name: bytes) -> Attributes:
        """The attributes behind a name. `NoSuchEntry` where there is none."""

    def unchanging(self, ino: int) -> bool:
        """Whether a directory holds the same names for ever."""

    def opendir(self, ino: int) -> OpenDirectory:
        """Open a directory: a snapshot of it, in a fixed order."""

    def readlink(self, ino: int) -> bytes:
        """The target of a symbolic link."""

    def xattrs(self, ino: int) -> Mapping[bytes, bytes]:
        """The extended attributes of an inode, as they are listed."""

    def xattr(self, ino: int, name: bytes) -> bytes:
        """One extended attribute, listed or not. `NoSuchAttribute` where there is none."""

    def open(self, ino: int) -> OpenFile:
        """Open a regular file for reading."""

    def statistics(self) -> Statistics:
        """Its size in all."""
