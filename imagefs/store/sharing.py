"""Stores that several users share by a group's permissions, and what keeps a user from writing to one."""

import grp
import os
import pwd
import stat
from collections.abc import Iterable
from pathlib import Path


def share(path: Path) -> None:
    """Let the group do with a new file or folder what its owner may, where the folder that it is in is the group's.

    That is one which is setgid and writable for its group; then no umask keeps anything from the group.
    """
    parent = path.parent.stat().st_mode
    if parent & stat.S_ISGID and parent & stat.S_IWGRP:
        mode = stat.S_IMODE(path.stat().st_mode)
        wanted = mode | (mode & stat.S_IRWXU) >> 3
        if wanted != mode:
            path.chmod(wanted)


def make_file(path: Path) -> None:
    """Make an empty file, unless it is there, that may be written to."""
    if path.exists():
        return
    try:
        # Not opened: where it is a database, to close it would take the locks of whoever has it open in this process.
        os.mknod(path, stat.S_IFREG | 0o666)
    except FileExistsError:
        return
    share(path)


def obstacle(folder: Path, parts: Iterable[Path]) -> str | None:
    """What keeps this user from writing to a folder and to some parts of it that may not be there; None for nothing."""
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        return f"{folder}: on a read-only file system"
    for part in (folder, *parts):
        if part.exists() and not os.access(part, os.W_OK | (os.X_OK if part.is_dir() else 0)):
            return f"{part}: read-only for {_user(os.geteuid())}, {owned(part)}"
    return None


def owned(path: Path) -> str:
    """Whose a file or folder is, and what they may do with it."""
    status = path.stat()
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = str(status.st_gid)
    return f"it is {_user(status.st_uid)}:{group}'s, {stat.filemode(status.st_mode)}"


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
