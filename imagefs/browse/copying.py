"""Copying out of an image with everything that a file system keeps: what `cp -a` makes of a mount.

Owners are kept by root alone. Where an owner is not kept, the setuid and setgid bits are not either; extended
attributes that may not be set are passed over; both as `cp -a` has it. Unlike `cp`, nothing is written
through a symbolic link at the destination, however it is named: the link is replaced.
"""

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress

from imagefs.browse import transfer
from imagefs.browse.destination import Folders, replacing
from imagefs.browse.nodes import Node, walk
from imagefs.browse.opened import OpenedImage
from imagefs.browse.paths import find
from imagefs.tree import merge

Failed = Callable[[OSError], None]
"""Takes what became of one path: `filename` is the path in the image, `filename2` that of the copy."""

_HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE)  # as for this file, so for the next

_UNSETTABLE = (errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.EINVAL, errno.ERANGE)
"""Why an extended attribute may not be set: not by this user, not on this file system, or no such name on Linux."""


def copy_out(
    image: OpenedImage, path: bytes, destination: str | os.PathLike[str], *, failed: Failed | None = None
) -> None:
    """Copy what is at a path of an image, with all that is below it.

    Into `destination` where that is a folder, and as `destination` where there is no folder. A path without a last
    name of its own, such as `/` or `/etc/.`, puts its content into a folder that is there, whose own attributes stay.
    A link at the end of the path is copied as a link; a path that goes on with a slash follows it.

    Raises `TreeError` where there is nothing to copy, and for the first path that could not be copied `OSError` with
    the path in the image as `filename` and that of the copy as `filename2`. With `failed`, that gets those, and the
    rest is copied; only where the rest would fail likewise, as on a full disk, it is raised. Raises `ContentMissing`
    where a layer is not whole.
    """
    found = find(image.chain, path)
    start = found.merged
    wanted = os.fsencode(destination)
    name = path.rstrip(b"/").rpartition(b"/")[2]
    if os.path.isdir(wanted):
        folder, name = wanted, b"" if name in (b".", b"..") else name
    else:
        folder, name = os.path.split(wanted.rstrip(b"/"))
        if not name:
            raise _failure(FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)), found.path, wanted)
        if wanted.endswith(b"/") and not start.entry.is_directory:
            raise _failure(NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)), found.path, wanted)
    try:
        first = os.open(folder or b".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _failure(error, found.path, wanted) from None
    copying = _Copying(image, found.path.rstrip(b"/"), start, Folders(first), folder, name, failed)
    try:
        copying.run()
    finally:
        copying.folders.close()


class _Copying:
    """One copy on its way. `name` is what its top gets in the first folder; without one, only its content is copied."""

    def __init__(
        self,
        image: OpenedImage,
        source: bytes,
        start: merge.Merged,
        folders: Folders,
        target: bytes,
        name: bytes,
        failed: Failed | None,
    ) -> None:
        self.folders = folders
        self._chain = image.chain
        self._source = source
        self._start = start
        self._target = target
        self._name = name
        self._without_top = 0 if name else 1
        self._failed = failed
        self._is_root = os.geteuid() == 0
        self._entered: list[Node] = []  # what the folders that are being filled are copies of
        self._first: dict[tuple[int, int], Node] = {}  # of files with several names, the one that is copied

    def run(self) -> None:
        """Copy everything. A folder gets its own attributes when its content is there: it may be unwritable."""
        without_top = self._without_top
        failed_at: int | None = None
        for node in walk(self._chain, self._start, self._name):
            depth = node.depth - without_top
            if failed_at is not None and depth > failed_at:
                continue  # in a folder that could not be made
            failed_at = None
            if depth < 0:
                continue
            while self.folders.depth > depth:
                self._leave()
            try:
                self._make(node)
            except OSError as error:
                failed_at = depth
                self._report(error, node)
        while self.folders.depth:
            self._leave()

    def _leave(self) -> None:
        node = self._entered.pop()
        try:
            folder = self.folders.leave()
        except OSError as error:  # there is no way back to where the rest belongs
            raise self._failure(error, node) from error
        try:
            self._settle(folder, node)
        except OSError as error:
            self._report(error, node)
        finally:
            os.close(folder)

    def _make(self, node: Node) -> None:
        if node.entry.is_directory:
            self.folders.enter(node.name)
            self._entered.append(node)
            return
        has_further_names = node.has_further_names(self._chain)
        if has_further_names and self._link(node):
            return
        if node.entry.is_regular:
            self._make_file(node)
        elif node.entry.is_symlink:
            self._make_symlink(node)
        else:
            self._make_special(node)
        if has_further_names:
            self._first[node.key] = node

    def _link(self, node: Node) -> bool:
        """Make it a further name of what is copied already, if it is; where no link can be, it is copied again."""
        first = self._first.get(node.key)
        if first is None:
            return False
        here = self.folders.current
        there = here if first.above is node.above else self.folders.reach(self._names(first)[:-1])
        try:
            replacing(
                lambda: os.link(first.name, node.name, src_dir_fd=there, dst_dir_fd=here, follow_symlinks=False),
                node.name,
                here,
            )
        except OSError as error:
            if error.errno in (errno.EXDEV, errno.EMLINK):
                return False
            raise
        finally:
            if there != here:
                os.close(there)
        return True

    def _make_file(self, node: Node) -> None:
        here = self.folders.current
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        made: int | None = None
        try:
            try:
                made = replacing(lambda: os.open(node.name, flags, 0o600, dir_fd=here), node.name, here)
                transfer.copy(node.open(self._chain), made)
            except BaseException as error:
                # An interruption can come when the file is made and before that is known here; it is empty then.
                interrupted = made is None and not isinstance(error, OSError)
                with suppress(OSError):
                    if made is not None or (interrupted and os.lstat(node.name, dir_fd=here).st_size == 0):
                        os.unlink(node.name, dir_fd=here)
                raise
            self._settle(made, node)
        finally:
            if made is not None:
                os.close(made)

    def _make_symlink(self, node: Node) -> None:
        entry, here = node.entry, self.folders.current
        target = entry.target
        assert target is not None, "a symbolic link has one"
        replacing(lambda: os.symlink(target, node.name, dir_fd=here), node.name, here)
        with suppress(*(() if self._is_root else (PermissionError,))):
            os.chown(node.name, entry.uid, entry.gid, dir_fd=here, follow_symlinks=False)
        if entry.xattrs:
            self._set_xattrs(b"/proc/self/fd/%d/%b" % (here, node.name), node, follow=False)
        os.utime(node.name, ns=_times(node), dir_fd=here, follow_symlinks=False)

    def _make_special(self, node: Node) -> None:
        """A device or a FIFO. It cannot be opened, but what it is by a descriptor that names it can be changed."""
        entry, here = node.entry, self.folders.current
        mode = stat.S_IFMT(entry.mode) | 0o600
        replacing(lambda: os.mknod(node.name, mode, entry.rdev, dir_fd=here), node.name, here)
        named = os.open(node.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
        try:
            self._settle(b"/proc/self/fd/%d" % named, node)
        finally:
            os.close(named)

    def _settle(self, made: int | bytes, node: Node) -> None:
        """Give it its attributes, in the order in which none undoes another."""
        entry = node.entry
        mode = stat.S_IMODE(entry.mode)
        try:
            os.chown(made, entry.uid, entry.gid)
        except OSError as error:
            if self._is_root or error.errno not in (errno.EPERM, errno.EINVAL):
                raise
            mode &= 0o1777 if entry.is_directory else 0o777
        if entry.xattrs:
            self._set_xattrs(made, node)
        os.chmod(made, mode)  # noqa: PTH101 - it has no path
        os.utime(made, ns=_times(node))

    def _set_xattrs(self, made: int | bytes, node: Node, *, follow: bool = True) -> None:
        for name, value in node.xattrs(self._chain).items():
            if b"\0" in name:
                continue
            try:
                os.setxattr(made, name, value, follow_symlinks=follow)
            except OSError as error:
                if error.errno not in _UNSETTABLE:
                    raise

    def _names(self, node: Node) -> list[bytes]:
        """The names that lead to a node's copy from the first folder."""
        return node.names()[self._without_top :]

    def _report(self, error: OSError, node: Node) -> None:
        failure = self._failure(error, node)
        if self._failed is None or error.errno in _HOPELESS:
            raise failure from error
        self._failed(failure)

    def _failure(self, error: OSError, node: Node) -> OSError:
        source = b"/".join([self._source, *node.names()[1:]]) or b"/"
        return _failure(error, source, os.path.join(self._target, *self._names(node)))


def _failure(error: OSError, source: bytes, target: bytes) -> OSError:
    return OSError(error.errno, error.strerror, os.fsdecode(source), None, os.fsdecode(target))


def _times(node: Node) -> tuple[int, int]:
    moment = node.entry.mtime_s * 1_000_000_000 + node.entry.mtime_ns
    return moment, moment
