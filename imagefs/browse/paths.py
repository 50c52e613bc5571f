"""Paths in an image: where they lead.

Links are followed inside the image: its root is where absolute ones begin and where climbing ends.
"""

import errno
import os

import msgspec

from imagefs.errors import NoSuchEntry, NotADirectory, TreeError
from imagefs.tree import merge
from imagefs.tree.chain import Chain, Path

_LINKS_FOLLOWED = 40


class Found(msgspec.Struct, frozen=True):
    """Something in an image: the names that lead to it, over no link, and what is there, of a hard link the file."""

    names: Path
    merged: merge.Merged

    @property
    def path(self) -> bytes:
        """Its path from the image's root, which is `/`."""
        return b"/" + b"/".join(self.names)


def find(chain: Chain, path: bytes, *, follow: bool = False) -> Found:
    """What a path means. Symbolic links on its way are followed, one at its end if the path goes on with a slash or
    with `follow`.

    Raises `NoSuchEntry`, `NotADirectory`, `TreeError` with the path in the text.
    """
    trail = _walk(chain, path, follow=follow, beyond=False)
    merged = trail[-1][1]
    assert merged is not None, "what is missing was refused"
    return Found(tuple(name for name, _ in trail[1:]), merged)


def meant(chain: Chain, path: bytes) -> Path:
    """The names that a path comes to, as with `find`; but from where nothing is any more, it is taken as it is written.

    Raises `TreeError` where links lead in circles, `NotADirectory` where a path goes on with `..`, or ends with a slash
    or `.`, after what is there and is no directory.
    """
    return tuple(name for name, _ in _walk(chain, path, follow=False, beyond=True)[1:])


def _walk(chain: Chain, path: bytes, *, follow: bool, beyond: bool) -> list[tuple[bytes, merge.Merged | None]]:
    """The names of a path over no link, and what is at each; with `beyond`, names of what is not there too."""
    # Names, and no path for each: few links to deep places lead a hundred thousand folders down.
    trail: list[tuple[bytes, merge.Merged | None]] = [(b"", chain.root())]
    names = path.split(b"/")[::-1]
    followed = 0
    while names:
        name = names.pop()
        here = trail[-1][1]
        goes_on = name not in (b"", b".", b"..")
        in_the_way = here is not None and not here.entry.is_directory
        # Beyond it, older layers may have had a directory there.
        if in_the_way and (not beyond or name == b".." or not (goes_on or names)):
            raise NotADirectory(f"{os.fsdecode(path)}: {os.strerror(errno.ENOTDIR)}")
        if not goes_on:
            if name == b".." and len(trail) > 1:
                trail.pop()
            continue
        found = _below(chain, here, name)
        if found is None and not beyond:
            raise NoSuchEntry(f"{os.fsdecode(path)}: {os.strerror(errno.ENOENT)}")
        if found is None or not found.entry.is_symlink or not (names or follow):
            trail.append((name, found))
            continue
        followed += 1
        if followed > _LINKS_FOLLOWED:
            raise TreeError(f"{os.fsdecode(path)}: {os.strerror(errno.ELOOP)}")
        target = found.entry.target or b""
        names += target.split(b"/")[::-1]
        if target.startswith(b"/"):
            trail = trail[:1]
    return trail


def _below(chain: Chain, folder: merge.Merged | None, name: bytes) -> merge.Merged | None:
    """What is in a folder under a name, of a hard link the file; None for nothing, and in what is no folder."""
    found = chain.lookup(folder, name) if folder is not None and folder.entry.is_directory else None
    try:
        return None if found is None else chain.follow(found)
    except NoSuchEntry:
        return None
