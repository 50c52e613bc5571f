"""Making the kernel forget removed trees that it still knows though nobody uses them.

When a name is void, the kernel drops what it knows below it, but what is in use just then it keeps, without a name by
which it could be reached from above; and when that is in use no more, it stays. So every name of the tree is told
again, in its own directory, a few at a time.
"""

import itertools
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress

from imagefs.errors import ImagefsError
from imagefs.tree.image import ImageTree
from imagefs.tree.layerview import LayerView

_AT_ONCE = 1000
"""How many names at once: requests wait meanwhile, for some tens of milliseconds."""

Name = tuple[int, bytes]
"""A name in a directory, by the directory's number."""


class Forgetting:
    """The trees that are being forgotten, each by its slot."""

    def __init__(self) -> None:
        self._going_on: dict[int, Iterator[Name]] = {}

    def begin(self, slot: int, places: Iterable[Name], roots: Iterable[ImageTree | LayerView]) -> None:
        """Begin with a tree: the places where it was, and all that is below its roots; not again before it is done."""
        if slot not in self._going_on:
            below = itertools.chain.from_iterable(map(_names, roots))
            self._going_on[slot] = itertools.chain(list(places), below)

    def end(self, slots: Iterable[int]) -> None:
        """Do no more for trees that the kernel has forgotten."""
        for slot in slots:
            self._going_on.pop(slot, None)

    def names(self) -> list[Name]:
        """The next names to tell."""
        found: list[Name] = []
        for slot, names in list(self._going_on.items()):
            # The layers may be gone or damaged: then the kernel forgets when it likes.
            with suppress(ImagefsError, OSError, sqlite3.Error):
                found += itertools.islice(names, _AT_ONCE - len(found))
                if len(found) >= _AT_ONCE:
                    break
            del self._going_on[slot]
        return found


def _names(tree: ImageTree | LayerView) -> Iterator[Name]:
    waiting = [tree.root_ino]
    while waiting:
        directory = waiting.pop()
        for name, attributes in tree.listdir(directory):
            yield directory, name
            if stat.S_ISDIR(attributes.mode):
                waiting.append(attributes.ino)
