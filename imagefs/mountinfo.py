"""The imagefs mounts of this mount namespace (proc(5), "/proc/pid/mountinfo")."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

_ESCAPES = ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\043", b"#"), (b"\\134", b"\\"))
"""What the kernel writes for what separates fields; the backslash comes last."""


class Mounted(msgspec.Struct, frozen=True):
    """One mount: the device number of its files, where it is, and its source, which is the store's folder."""

    device: int
    mountpoint: bytes
    source: bytes


def mounts() -> Iterator[Mounted]:
    """All of them, in the order in which they were made."""
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        fields, _, rest = line.partition(b" - ")
        if rest.startswith(b"fuse.imagefs "):
            _, _, device, _, mountpoint, *_ = fields.split(b" ")
            major, _, minor = device.partition(b":")
            yield Mounted(os.makedev(int(major), int(minor)), _plain(mountpoint), _plain(rest.split(b" ")[1]))


def mounted_at(mountpoint: str | os.PathLike[str]) -> Mounted | None:
    """The imagefs that is mounted on exactly this folder, the last one where there are several; None for none."""
    # A mount whose process is gone answers nothing more, not even to whether it is a link: its path is as it was.
    wanted = os.fsencode(os.path.realpath(mountpoint))
    return next((mount for mount in reversed(list(mounts())) if mount.mountpoint == wanted), None)


def _plain(field: bytes) -> bytes:
    for escape, plain in _ESCAPES:
        field = field.replace(escape, plain)
    return field
