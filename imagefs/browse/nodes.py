"""What an image holds at a place and below it, in one order: parents first, the names of a folder sorted.

A walk asks the merged chain folder by folder and remembers no path, so it goes as deep as an image does.
"""

import errno
import os
from collections.abc import Iterable, Iterator

import msgspec

from imagefs.browse.opened import OpenedImage
from imagefs.browse.paths import Found, find
from imagefs.errors import NoSuchEntry, NotADirectory, TreeError
from imagefs.layers.entry import Entry
from imagefs.tree import merge
from imagefs.tree.chain import Chain, Path
from imagefs.tree.openlayers import LayerFile, open_file


class Place(msgspec.Struct, frozen=True):
    """A place in a tree, by its last name and the place above; the top has none. It costs the same however deep it is,
    where a path of its own for every folder grows with the square of the depth.
    """

    name: bytes = b""
    above: "Place | None" = None

    @classmethod
    def at(cls, path: Iterable[bytes]) -> "Place":
        """The place that names lead to from the top."""
        place = cls()
        for name in path:
            place = cls(name, place)
        return place

    def path(self) -> Path:
        """The names that lead to it from the top."""
        names = []
        place = self
        while place.above is not None:
            names.append(place.name)
            place = place.above
        return tuple(names[::-1])


class Node(msgspec.Struct, frozen=True):
    """Something in an image: its name, how many folders below the start of a walk it is, and its entry, of a hard
    link the file's. `layer` counts from 0, the lowest; `above` is the folder that the walk came from.
    """

    depth: int
    name: bytes
    layer: int
    entry: Entry
    above: "Node | None" = None

    @property
    def key(self) -> tuple[int, int]:
        """Equal for all names of one file."""
        return self.layer, self.entry.node

    def names(self) -> list[bytes]:
        """The names from the start of the walk, its own too, to this one's."""
        names = []
        node: Node | None = self
        while node is not None:
            names.append(node.name)
            node = node.above
        return names[::-1]

    def has_further_names(self, chain: Chain) -> bool:
        """Whether the image may show it under more than one name."""
        return not (self.entry.is_directory or chain.has_one_name(self.layer, self.entry))

    def nlink(self, chain: Chain) -> int:
        """Under how many names the image shows it."""
        return chain.count_links(self.layer, self.entry) if self.has_further_names(chain) else 1

    def xattrs(self, chain: Chain) -> dict[bytes, bytes]:
        """Its extended attributes, sorted by name."""
        return chain.views[self.layer].xattrs(self.entry.node) if self.entry.xattrs else {}

    def open(self, chain: Chain) -> LayerFile:
        """Open it, a regular file."""
        return open_file(chain.layers[self.layer], chain.views[self.layer], self.entry)


class Trail:
    """The path of where a walk is, kept up as it goes: a string, changed in place."""

    def __init__(self, start: bytes = b"") -> None:
        self._path = bytearray(start)
        self._ends = [len(start)]

    def at(self, depth: int, name: bytes) -> bytes:
        """The path of a walk's next node: `start` at depth 0, `start/a/b` at depth 2."""
        del self._ends[max(depth, 1) :]
        del self._path[self._ends[-1] :]
        if depth:
            self._path += b"/" + name
            self._ends.append(len(self._path))
        return bytes(self._path)


def locate_folder(image: OpenedImage, path: bytes) -> Found:
    """What is at a path, over links at the end too, and is a folder.

    Raises `NotADirectory`, `NoSuchEntry`, `TreeError`.
    """
    found = find(image.chain, path, follow=True)
    if not found.merged.entry.is_directory:
        raise NotADirectory(f"{os.fsdecode(path)}: {os.strerror(errno.ENOTDIR)}")
    return found


def open_at(image: OpenedImage, path: bytes) -> LayerFile:
    """Open the regular file at a path, over links at the end too. Raises `TreeError` for anything else."""
    merged = find(image.chain, path, follow=True).merged
    if merged.entry.is_directory:
        raise TreeError(f"{os.fsdecode(path)}: {os.strerror(errno.EISDIR)}")
    if not merged.entry.is_regular:
        raise TreeError(f"{os.fsdecode(path)}: not a regular file")
    return open_file(image.chain.layers[merged.layer], image.chain.views[merged.layer], merged.entry)


def walk(chain: Chain, start: merge.Merged, name: bytes = b"") -> Iterator[Node]:
    """What `start` is, under a name, and all below it."""
    top = Node(0, name, start.layer, start.entry)
    yield top
    pending = [(top, listing(chain, start))] if start.entry.is_directory else []
    while pending:
        above, held = pending[-1]
        for name, merged in held:
            node = Node(above.depth + 1, name, merged.layer, merged.entry, above)
            yield node
            if merged.entry.is_directory:
                pending.append((node, listing(chain, merged)))
                break
        else:
            pending.pop()


def listing(chain: Chain, folder: merge.Merged) -> Iterator[tuple[bytes, merge.Merged]]:
    """What a folder holds, sorted by name; hard links to nothing, which no tool can extract, are left out."""
    for name, merged in chain.listing(folder).items():
        if merged.entry.link_path is None:
            yield name, merged
            continue
        try:
            yield name, chain.follow(merged)
        except NoSuchEntry:
            continue
