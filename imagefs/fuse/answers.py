"""What each request of the kernel is answered: the protocol's questions, put to a `tree.filesystem.FileSystem`.

Where nothing changes, the kernel is told once that files and directories need not be opened, and never asks again:
reads name an inode, listings are kept by the kernel. That saves two requests of three for a small file.
"""

import errno
import itertools
import os
import re
from collections.abc import Callable, Iterable, Sequence

from imagefs.errors import NoSuchEntry
from imagefs.fuse import stats, wire
from imagefs.fuse.wire import Request
from imagefs.tree.filesystem import FOREVER, VOLATILE, Attributes, FileSystem, OpenDirectory, OpenFile
from imagefs.tree.inode import ROOT
from imagefs.tree.owners import Owners
from imagefs.tree.recent import Recent

Reply = bytes | bytearray
"""A reply without its header."""

_FILES = 64
"""How many files that nobody opened are remembered from one read to the next: each keeps its layer open."""

_STATELESS = (5, 1)
"""The Linux from which on a file system may do without `OPEN` and `OPENDIR` (protocol 7.23 and 7.29)."""

_LISTED = 1 << 16
"""How many entries of directories that nobody opened."""


class Refused(Exception):  # an answer, no error of ours
    """The answer is an errno, and nothing worth a line in a log."""

    def __init__(self, number: int) -> None:
        super().__init__(errno.errorcode[number])
        self.number = number


class Waits(Exception):  # no error either
    """The answer is on the disk; `read` waits for it, and may do so in any thread."""

    def __init__(self, read: Callable[[], bytes | bytearray]) -> None:
        self.read = read


class Answers:
    """The handlers by operation; each raises what the file system raises, `Refused` or `Waits`."""

    def __init__(
        self,
        files: FileSystem,
        *,
        answer_xattrs: bool = True,
        owners: Owners | None = None,
        describe: Callable[[], bytes] | None = None,
    ) -> None:
        self._files = files
        self._answer_xattrs = answer_xattrs
        self._describe = describe
        self._owners = owners
        self._handles = itertools.count(1)
        self._open_files: dict[int, OpenFile] = {}
        self._open_directories: dict[int, OpenDirectory] = {}
        self._stateless = files.fixed and _linux() >= _STATELESS
        self._read_files: Recent[OpenFile] = Recent(_FILES)
        self._read_directories: Recent[OpenDirectory] = Recent(_LISTED, lambda directory: len(directory.entries) + 1)
        self.handlers: dict[int, Callable[[Request], Reply]] = {
            wire.LOOKUP: self._lookup,
            wire.GETATTR: self._getattr,
            wire.READLINK: self._readlink,
            wire.OPEN: self._open,
            wire.READ: self._read,
            wire.RELEASE: self._release,
            wire.OPENDIR: self._opendir,
            wire.READDIR: self._readdir,
            wire.READDIRPLUS: self._readdirplus,
            wire.RELEASEDIR: self._releasedir,
            wire.GETXATTR: self._getxattr,
            wire.LISTXATTR: self._listxattr,
            wire.STATFS: self._statfs,
            wire.IOCTL: self._ioctl,
            wire.DESTROY: lambda _: b"",
        }

    def forget(self, request: Request) -> None:
        """`FORGET` and `BATCH_FORGET`, which have no answer."""
        if request.operation == wire.FORGET:
            (count,) = wire.FORGET_IN.unpack_from(request.body)
            self._files.forget(request.inode, count)
        else:
            for inode, count in wire.forgets(request.body):
                self._files.forget(inode, count)

    # -- attributes and names

    def _shown(self, attributes: Attributes) -> Attributes:
        return attributes if self._owners is None else self._owners(attributes)

    def _getattr(self, request: Request) -> Reply:
        return wire.attr_out(self._shown(self._files.getattr(request.inode)))

    def _lookup(self, request: Request) -> Reply:
        try:
            found = self._files.lookup(request.inode, wire.name(request.body))
        except NoSuchEntry:
            return wire.miss_out(FOREVER if self._files.unchanging(request.inode) else VOLATILE)
        self._files.remember(found.ino)
        return wire.entry_out(self._shown(found))

    def _readlink(self, request: Request) -> Reply:
        return self._files.readlink(request.inode)

    # -- files

    def _open(self, request: Request) -> Reply:
        if self._stateless:
            raise Refused(errno.ENOSYS)
        handle = next(self._handles)
        self._open_files[handle] = self._files.open(request.inode)
        # Content never changes under a number: the kernel may keep the pages from one open to the next.
        return wire.open_out(handle, wire.KEEP_CACHE)

    def _read(self, request: Request) -> Reply:
        handle, offset, size = wire.READ_IN.unpack_from(request.body)
        file = self._open_files[handle] if handle else self._file(request.inode)
        data = file.read_cached(offset, size)
        if data is None:
            raise Waits(lambda: file.read(offset, size))
        return data

    def _file(self, inode: int) -> OpenFile:
        return self._read_files.get(inode) or self._read_files.add(inode, self._files.open(inode))

    def _release(self, request: Request) -> Reply:
        (handle,) = wire.HANDLE_IN.unpack_from(request.body)
        self._open_files.pop(handle).close()
        return b""

    # -- directories

    def _opendir(self, request: Request) -> Reply:
        if self._stateless:
            raise Refused(errno.ENOSYS)
        handle = next(self._handles)
        # A listing comes from one snapshot, however many requests it takes.
        self._open_directories[handle] = self._files.opendir(request.inode)
        # What is valid for ever the kernel may list by itself from now on.
        unchanging = self._files.unchanging(request.inode)
        return wire.open_out(handle, wire.CACHE_DIRECTORY | wire.KEEP_CACHE if unchanging else 0)

    def _releasedir(self, request: Request) -> Reply:
        (handle,) = wire.HANDLE_IN.unpack_from(request.body)
        self._open_directories.pop(handle).close()
        return b""

    def _listing(self, inode: int, handle: int) -> Sequence[tuple[bytes, Attributes]]:
        if handle:
            return self._open_directories[handle].entries
        directory = self._read_directories.get(inode)
        if directory is None:
            directory = self._read_directories.add(inode, self._files.opendir(inode))
        return directory.entries

    def _readdirplus(self, request: Request) -> Reply:
        handle, start, size = wire.READ_IN.unpack_from(request.body)
        listing = self._listing(request.inode, handle)
        records = []
        for position in range(start, len(listing)):
            name, attributes = listing[position]
            record = wire.direntry_plus(name, self._shown(attributes), position + 1)
            size -= len(record)
            if size < 0:
                break
            records.append(record)
            self._files.remember(attributes.ino)
        return b"".join(records)

    def _readdir(self, request: Request) -> Reply:
        handle, start, size = wire.READ_IN.unpack_from(request.body)
        listing = self._listing(request.inode, handle)
        records = []
        for position in range(start, len(listing)):
            record = wire.direntry(*listing[position], position + 1)
            size -= len(record)
            if size < 0:
                break
            records.append(record)
        return b"".join(records)

    # -- extended attributes

    def _getxattr(self, request: Request) -> Reply:
        if not self._answer_xattrs:
            raise Refused(errno.ENOSYS)  # the kernel never asks again
        return _sized(request, self._files.xattr(request.inode, wire.name(request.body, wire.XATTR_IN.size)))

    def _listxattr(self, request: Request) -> Reply:
        if not self._answer_xattrs:
            raise Refused(errno.ENOSYS)
        names = names_for(request.uid, self._files.xattrs(request.inode))
        return _sized(request, b"".join(name + b"\0" for name in names))

    def _statfs(self, request: Request) -> Reply:
        return wire.statfs_out(self._files.statistics())

    def _ioctl(self, request: Request) -> Reply:
        _, _, command, _, _, size = wire.IOCTL_IN.unpack_from(request.body)
        if command != stats.COMMAND or request.inode != ROOT or self._describe is None:
            raise Refused(errno.ENOTTY)
        return wire.ioctl_out(self._describe()[:size])


def names_for(uid: int, names: Iterable[bytes]) -> list[bytes]:
    """Those of a file's extended attributes that a user is told of.

    The kernel answers only root about trusted ones, so for others they are not there, as elsewhere.
    """
    return [name for name in names if uid == 0 or not name.startswith(b"trusted.")]


def _linux() -> tuple[int, int]:
    """The version of the kernel, as far as two numbers tell it."""
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _sized(request: Request, value: bytes) -> Reply:
    size, _ = wire.XATTR_IN.unpack_from(request.body)
    if size == 0:
        return wire.xattr_size_out(len(value))
    if size < len(value):
        raise Refused(errno.ERANGE)
    return value
