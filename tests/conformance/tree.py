"""What a file tree looks like from outside: everything that `lstat`, `readlink`, `read` and xattrs tell."""

import errno
import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Entry:
    """One path."""

    kind: str
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    size: int | None = None
    target: bytes | None = None
    rdev: int | None = None
    nlink: int | None = None  # not of directories: file systems count those as they like
    links: tuple[bytes, ...] = ()  # all paths of the same inode
    xattrs: tuple[tuple[str, bytes], ...] = ()
    content: str | None = None


LISTED_ONLY = Entry("listed, but not there", 0, 0, 0, 0)
"""What a directory lists and does not have."""

_KINDS = {
    stat.S_IFDIR: "directory",
    stat.S_IFREG: "file",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


def walk(root: Path | str) -> dict[bytes, Entry]:
    """All paths below a folder, and the folder itself as `b"."`, with what there is to know of them."""
    top = os.fsencode(root)
    entries = {}
    groups: dict[tuple[int, int], list[bytes]] = defaultdict(list)
    inodes = {}
    for path in _paths(top):
        name = os.path.relpath(path, top)
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            entries[name] = LISTED_ONLY
            continue
        entries[name] = _entry(path, status)
        if not stat.S_ISDIR(status.st_mode):
            inodes[name] = (status.st_dev, status.st_ino)
            groups[inodes[name]].append(name)
    for name, inode in inodes.items():
        entries[name] = replace(entries[name], links=tuple(sorted(groups[inode])))
    return entries


def _paths(top: bytes) -> Iterator[bytes]:
    yield top
    pending = [top]
    while pending:
        with os.scandir(pending.pop()) as found:
            for each in sorted(found, key=lambda each: each.name):
                yield each.path
                if each.is_dir(follow_symlinks=False):
                    pending.append(each.path)


def _entry(path: bytes, status: os.stat_result) -> Entry:
    kind = stat.S_IFMT(status.st_mode)
    return Entry(
        kind=_KINDS[kind],
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime_ns=status.st_mtime_ns,
        size=status.st_size if kind == stat.S_IFREG else None,
        target=os.readlink(path) if kind == stat.S_IFLNK else None,
        rdev=status.st_rdev if kind in (stat.S_IFCHR, stat.S_IFBLK) else None,
        nlink=status.st_nlink if kind != stat.S_IFDIR else None,
        xattrs=_xattrs(path),
        content=_sha256(path) if kind == stat.S_IFREG else None,
    )


def _xattrs(path: bytes) -> tuple[tuple[str, bytes], ...]:
    try:
        names = sorted(os.listxattr(path, follow_symlinks=False))
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        return ()  # a file system without any: the same as none here
    return tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names)


def _sha256(path: bytes) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def differences(
    expected: dict[bytes, Entry], actual: dict[bytes, Entry], *, ignoring: Collection[tuple[bytes, str]] = ()
) -> list[str]:
    """A line for each path and each property in which two trees differ, but for some (path, property)."""
    lines = [f"{name!r}: missing" for name in sorted(expected.keys() - actual.keys())]
    lines += [f"{name!r}: not expected" for name in sorted(actual.keys() - expected.keys())]
    for name in sorted(expected.keys() & actual.keys()):
        for field in fields(Entry):
            wanted, got = getattr(expected[name], field.name), getattr(actual[name], field.name)
            if wanted != got and (name, field.name) not in ignoring:
                lines.append(f"{name!r}: {field.name}: expected {wanted!r}, got {got!r}")
    return lines
