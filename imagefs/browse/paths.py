"""Paths in an image: where they lead.

Links are followed inside the image: its root is where absolute ones begin and where climbing ends.
"""

import errno
import os

import msgspec

from imagefs.errors import NoSuchEntry, NotADirectory, TreeError
from imagefs.tree.filesystem import Attributes
from imagefs.tree.image import ImageTree

_LINKS_FOLLOWED = 40


class Found(msgspec.Struct, frozen=True):
    """Something in an image: the names that lead to it, over no link, and its attributes."""

    names: tuple[bytes, ...]
    attributes: Attributes

    @property
    def path(self) -> bytes:
        """Its path from the image's root, which is `/`."""
        return b"/" + b"/".join(self.names)


def find(tree: ImageTree, path: bytes, *, follow: bool = False) -> Found:
    """What a path means. Symbolic links on its way are followed, one at its end if the path goes on with a slash or
    with `follow`.

    Raises `NoSuchEntry`, `NotADirectory`, `TreeError` with the path in the text.
    """
    shown = os.fsdecode(path)
    # Names, and no path for each: few links to deep places lead a hundred thousand folders down.
    trail: list[tuple[bytes, Attributes]] = [(b"", tree.root())]
    names = path.split(b"/")[::-1]
    followed = 0
    while names:
        name = names.pop()
        here = trail[-1][1]
        if not here.is_directory:
            raise NotADirectory(f"{shown}: {os.strerror(errno.ENOTDIR)}")
        if name in (b"", b"."):
            continue
        if name == b"..":
            trail = trail[:-1] or trail
            continue
        try:
            found = tree.lookup(here.ino, name)
        except NoSuchEntry:
            raise NoSuchEntry(f"{shown}: {os.strerror(errno.ENOENT)}") from None
        if not found.is_symlink or not (names or follow):
            trail.append((name, found))
            continue
        followed += 1
        if followed > _LINKS_FOLLOWED:
            raise TreeError(f"{shown}: {os.strerror(errno.ELOOP)}")
        target = tree.readlink(found.ino)
        names += target.split(b"/")[::-1]
        if target.startswith(b"/"):
            trail = trail[:1]
    return Found(tuple(name for name, _ in trail[1:]), trail[-1][1])
