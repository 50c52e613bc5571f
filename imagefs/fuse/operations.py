"""The handlers of pyfuse3's own loop: what `fuse.answers` is to ours, where this pyfuse3 cannot be taken over.

Every handler goes through one wrapper: no exception but `FUSEError` ever reaches pyfuse3's loop, which would end
the mount.
"""

import errno
import functools
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pyfuse3
import trio

from imagefs import errors
from imagefs.fuse.answers import names_for
from imagefs.fuse.errnos import errno_of
from imagefs.fuse.wire import BLOCK_SIZE, NAME_MAX
from imagefs.tree.filesystem import FOREVER, VOLATILE, Attributes, FileSystem, OpenDirectory, OpenFile
from imagefs.tree.owners import Owners


def _answering(handler: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Make an asynchronous handler of a plain one: errors become errnos, waits happen in threads."""

    @functools.wraps(handler)
    async def wrapper(self: "FuseOperations", *args: Any) -> Any:  # noqa: ANN401  as many types as handlers
        try:
            while True:
                try:
                    return handler(self, *args)
                except errors.NotUnpacked as waiting:
                    # Uncompressing a layer takes seconds: other requests go on meanwhile.
                    async with self.preparing.setdefault(waiting.diff_id, trio.Lock()):
                        # Only with the mount it ends half done, and leaves what nobody's lease protects.
                        await trio.to_thread.run_sync(waiting.prepare, abandon_on_cancel=True)
        except pyfuse3.FUSEError:
            raise
        except Exception as error:
            raise pyfuse3.FUSEError(errno_of(error, handler.__name__)) from None

    return wrapper


class FuseOperations(pyfuse3.Operations):
    """pyfuse3's handlers over a `FileSystem`. What is left out, pyfuse3 refuses: the mount is read-only."""

    supports_dot_lookup = False
    enable_writeback_cache = False
    enable_acl = False

    def __init__(self, files: FileSystem, *, answer_xattrs: bool = True, owners: Owners | None = None) -> None:
        super().__init__()
        self.preparing: dict[str, trio.Lock] = {}
        self._files = files
        self._answer_xattrs = answer_xattrs
        # All attributes go out through here, and owners that stay as they are cost nothing.
        self._entry = _entry if owners is None else lambda attributes: _entry(owners(attributes))
        self._open: dict[int, OpenFile | OpenDirectory] = {}
        self._next_handle = 1
        self.negotiated = False

    def init(self) -> None:
        """The kernel and libfuse have agreed on a session."""
        self.negotiated = True

    def _keep(self, opened: Any) -> int:  # noqa: ANN401  a file or a listing
        handle = self._next_handle
        self._next_handle += 1
        self._open[handle] = opened
        return handle

    @_answering
    def getattr(self, inode: int, ctx: object = None) -> pyfuse3.EntryAttributes:
        return self._entry(self._files.getattr(inode))

    @_answering
    def lookup(self, parent_inode: int, name: bytes, ctx: object = None) -> pyfuse3.EntryAttributes:
        try:
            found = self._files.lookup(parent_inode, name)
            self._files.remember(found.ino)
            return self._entry(found)
        except errors.NoSuchEntry:
            # Inode 0 with a timeout is the answer that the kernel remembers; ENOENT it asks for again.
            missing = pyfuse3.EntryAttributes()
            missing.st_ino = 0
            missing.entry_timeout = missing.attr_timeout = FOREVER if self._files.unchanging(parent_inode) else VOLATILE
            return missing

    @_answering
    def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        for inode, count in inode_list:
            try:
                self._files.forget(inode, count)
            except Exception as error:  # nobody waits for an answer, and pyfuse3 expects none
                errno_of(error, f"forget of inode {inode}")

    @_answering
    def opendir(self, inode: int, ctx: object = None) -> int:
        # A listing comes from one snapshot, however many requests it takes.
        return self._keep(self._files.opendir(inode))

    @_answering
    def readdir(self, fh: int, start_id: int, token: Any) -> None:  # noqa: ANN401  pyfuse3's token
        listing = self._open[fh].entries  # type: ignore[union-attr]  # the kernel lists what it opened
        for position in range(start_id, len(listing)):
            name, attributes = listing[position]
            if not pyfuse3.readdir_reply(token, name, self._entry(attributes), position + 1):
                break
            self._files.remember(attributes.ino)

    @_answering
    def releasedir(self, fh: int) -> None:
        self._open.pop(fh).close()

    @_answering
    def readlink(self, inode: int, ctx: object = None) -> bytes:
        return self._files.readlink(inode)

    @_answering
    def open(self, inode: int, flags: int, ctx: object = None) -> pyfuse3.FileInfo:
        # Content never changes under a number: the kernel may keep the pages from one open to the next.
        return pyfuse3.FileInfo(fh=self._keep(self._files.open(inode)), keep_cache=True)

    @_answering
    def read(self, fh: int, off: int, size: int) -> bytes | bytearray:
        return self._open[fh].read(off, size)  # type: ignore[union-attr]  # the kernel reads what it opened

    @_answering
    def release(self, fh: int) -> None:
        self._open.pop(fh).close()

    @_answering
    def getxattr(self, inode: int, name: bytes, ctx: object = None) -> bytes:
        if not self._answer_xattrs:
            raise pyfuse3.FUSEError(errno.ENOSYS)  # the kernel never asks again
        return self._files.xattr(inode, name)

    @_answering
    def listxattr(self, inode: int, ctx: pyfuse3.RequestContext) -> Sequence[bytes]:
        if not self._answer_xattrs:
            raise pyfuse3.FUSEError(errno.ENOSYS)
        return names_for(ctx.uid, self._files.xattrs(inode))

    @_answering
    def statfs(self, ctx: object = None) -> pyfuse3.StatvfsData:
        totals = self._files.statistics()
        answer = pyfuse3.StatvfsData()
        answer.f_bsize = answer.f_frsize = BLOCK_SIZE
        answer.f_blocks, answer.f_files = totals.blocks, totals.inodes
        answer.f_bfree = answer.f_bavail = answer.f_ffree = answer.f_favail = 0
        answer.f_namemax = NAME_MAX
        return answer


def _entry(attributes: Attributes) -> pyfuse3.EntryAttributes:
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = attributes.ino
    entry.st_mode = attributes.mode
    entry.st_nlink = attributes.nlink
    entry.st_uid = attributes.uid
    entry.st_gid = attributes.gid
    entry.st_rdev = attributes.rdev
    entry.st_size = attributes.size
    entry.st_blocks = attributes.blocks
    entry.st_atime_ns = entry.st_mtime_ns = entry.st_ctime_ns = attributes.mtime_ns
    entry.entry_timeout = entry.attr_timeout = attributes.valid
    return entry
