"""What a live mount tells of itself, and how it is asked: by an ioctl on its root.

A socket would need a folder that every process of the machine agrees on, which a store on a read-only file system has
not; and an extended attribute the kernel stops to ask for where a mount has none. An ioctl reaches the serving process
from wherever its mount is seen, through the kernel's own check of who may look into it, and shows in no listing.
"""

import errno
import fcntl
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from imagefs.errors import MountError

SIZE = 16380
"""The largest answer in bytes: the command has 14 bits for it."""

COMMAND = 2 << 30 | SIZE << 16 | ord("i") << 8 | 1
"""ioctl(2)'s number of a command that only reads, as asm-generic/ioctl.h puts it together."""

_PATIENCE = 2.0
"""Seconds that a mount may take to answer. All that takes long it does beside its requests."""

State = Literal["live", "dead", "silent"]
"""Served; left behind by a process that is gone; or its process takes requests and does not answer."""


class Latency(msgspec.Struct, frozen=True):
    """How many requests of a kind there were, and how long they took in seconds: on average, and half and 99 of 100
    of them at most.
    """

    count: int
    mean: float
    p50: float
    p99: float


class MountStats(msgspec.Struct, frozen=True):
    """What a mount tells of itself.

    `images` are those that were named, None where it shows all; `more_images` is how many did not fit in. `pid` is
    the number of its process in the namespace that `pid_namespace` is the inode number of. `uptime` is in seconds,
    `memory` the resident bytes, and `cached_reads` those that no thread had to wait for the disk for.
    """

    mountpoint: str
    store: str
    view: str
    images: tuple[str, ...] | None
    more_images: int
    pid: int
    pid_namespace: int
    uptime: float
    memory: int
    open_files: int
    threads: int
    open_layers: int
    unpacked_layers: int
    reads: int
    cached_reads: int
    bytes_read: int
    errors: Mapping[str, int]
    requests: Mapping[str, Latency]


class Found(msgspec.Struct, frozen=True):
    """How a mount was found; `stats` is None where it cannot or does not want to be asked."""

    state: State
    stats: MountStats | None = None


def look(mountpoint: bytes) -> Found:
    """Look whether a mount lives, and ask it. Never waits long, and raises nothing: what cannot be seen is `live`."""
    found: list[Found] = []
    # Who waits for a process that was stopped waits for ever, and in the kernel.
    looking = threading.Thread(target=lambda: found.append(_look(mountpoint)), daemon=True)
    looking.start()
    looking.join(_PATIENCE)
    return found[0] if found else Found("silent")


def _look(mountpoint: bytes) -> Found:
    answer = bytearray(SIZE)
    try:
        root = os.open(mountpoint, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            size = fcntl.ioctl(root, COMMAND, answer)
        finally:
            os.close(root)
        return Found("live", msgspec.json.decode(answer[:size], type=MountStats))
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM):
            return Found("dead" if is_death(error) else "live")
    except msgspec.MsgspecError:  # of another version
        return Found("live")
    # Whoever may not read its root can still tell whether there is anybody behind it.
    try:
        os.statvfs(mountpoint)
    except OSError as error:
        if is_death(error):
            return Found("dead")
    return Found("live")


def is_death(error: OSError) -> bool:
    """Whether an error says that nobody serves the mount any more."""
    return error.errno in (errno.ENOTCONN, errno.ECONNABORTED)


def ask(mountpoint: bytes) -> MountStats:
    """What a mount tells of itself. Raises `MountError` where it does not."""
    found = look(mountpoint)
    if found.stats is not None:
        return found.stats
    raise MountError(
        f"{os.fsdecode(mountpoint)}: "
        + {
            "dead": "its process is gone; imagefs umount clears it away",
            "silent": "its process does not answer",
            "live": "it cannot be asked, or not by you",
        }[found.state]
    )


def pid_namespace() -> int:
    """Which namespace this process has its number in; 0 without /proc."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0
