"""What a layer says of one path."""

import stat
from typing import Annotated

import msgspec

IMPLIED = 1
"""The directory has no entry of its own: entries below it imply it. Its attributes come from below."""

GHOST = 2
"""An implied directory that holds nothing but whiteouts: it exists only where a lower layer has it."""

OPAQUE = 4
"""The directory holds an opaque whiteout: nothing of lower layers shows in it."""

WHITEOUTS = 8
"""The directory holds whiteouts."""

ROOT = 1
"""The node number of a layer's root directory."""


_Natural = Annotated[int, msgspec.Meta(ge=0)]
_Natural32 = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A name in a layer's directory and the node (inode) behind it.

    `size` in bytes and `mtime_s` + `mtime_ns` since the epoch are the file's; `offset` is where a
    regular file's data begins in the layer's tar; `nlink` counts the names that the node has in this
    layer. An entry with `link_path` is a hard link to a path that this layer does not hold: it stands
    for whatever the layers below have there, and its mode says of no type.
    """

    name: bytes
    node: _Natural
    flags: _Natural32
    mode: _Natural32
    uid: _Natural32
    gid: _Natural32
    size: _Natural
    mtime_s: int
    mtime_ns: _Natural32
    rdev: _Natural
    offset: _Natural
    nlink: _Natural32
    blocks: _Natural
    target: bytes | None
    link_path: bytes | None
    xattrs: _Natural
    sparse: _Natural

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_regular(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_symlink(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.mode)


class LayerTotals(msgspec.Struct, frozen=True):
    """What a layer amounts to: uncompressed size in bytes, nodes, 512-byte blocks of file data."""

    size: int
    nodes: int
    blocks: int
    xattrs: bool
