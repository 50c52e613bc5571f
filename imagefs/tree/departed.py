"""Images that were removed while somebody still had something of them.

What a running process holds stays valid: an open file, a mapped one, an open directory, its working directory, its
root. The kernel tells when a file or directory is closed, and when it forgets the numbers of a tree; a removed image
is let go when both are through. The kernel forgets what nobody holds as soon as it is told that the names are void: at
the removal, and once more for what was looked at since, when the last file is closed. What only a working directory
held, and what a listing from before brought in after the removal, it would remember until it needs the memory: so it
is told again, soon and then ever more seldom; see `tree.forgetting`.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from imagefs.digest import Digest
from imagefs.tree import inode
from imagefs.tree.image import ImageTree

_SELDOM = 128
"""After how many looks at the latest the kernel is told again."""

Target = tuple[str, Digest]
"""(media type, digest) of what a name stood for."""


class _Departed:
    """One image that is gone: its trees by slot, and the open files and directories that may be in them."""

    def __init__(self, target: Target, trees: Mapping[int, ImageTree], handles: set[int]) -> None:
        self.target = target
        self.trees = trees
        self.handles = handles
        self._looks = 0

    def is_due(self) -> bool:
        """Whether the kernel is to be told once more, at this look at it; not at the first, which is right after."""
        self._looks += 1
        return (
            not self.handles and self._looks > 1 and self._looks % min(_SELDOM, 1 << self._looks.bit_length() - 1) == 0
        )

    def has(self, ino: int) -> bool:
        """Whether a number is of its trees, or of a layer in them."""
        if inode.has_slot(ino):
            return inode.slot_of(ino) in self.trees
        return any(tree.has_layer_of(ino) for tree in self.trees.values())


class Departures:
    """Keeps account of what is in use. `let_go` is called with each target of which nothing is any more."""

    def __init__(self, let_go: Callable[[Target], None]) -> None:
        self._let_go = let_go
        self._known: Counter[int] = Counter()  # by slot: how often numbers of it were told to the kernel
        self._handles: set[int] = set()
        self._handle_numbers = itertools.count(1)
        self._departed: list[_Departed] = []
        self._closed: list[ImageTree] = []

    # -- what is in use

    def remember(self, slot: int) -> None:
        """A number of this slot's tree was told to the kernel."""
        self._known[slot] += 1

    def forget(self, slot: int, count: int) -> None:
        """The kernel forgot a number that it was told `count` times."""
        self._known[slot] -= count
        if self._known[slot] <= 0:
            del self._known[slot]
            self._sweep()

    def opened(self, ino: int) -> int:
        """A file or a directory was opened; answers a number for `closed`."""
        number = next(self._handle_numbers)
        self._handles.add(number)
        for each in self._departed:
            if each.has(ino):
                each.handles.add(number)
        return number

    def closed(self, number: int) -> None:
        """It was closed."""
        self._handles.discard(number)
        for each in self._departed:
            if number in each.handles:
                each.handles.discard(number)
                if not each.handles:
                    self._closed += each.trees.values()
        self._sweep()

    # -- who leaves

    def leave(self, target: Target, trees: Mapping[int, ImageTree]) -> None:
        """An image was removed. Which of the open files are its own is not worth knowing: any of them may be."""
        self._departed.append(_Departed(target, trees, set(self._handles)))
        self._sweep()

    def tree(self, slot: int) -> ImageTree | None:
        """The tree of an image that is removed and still in use."""
        return next((each.trees[slot] for each in self._departed if slot in each.trees), None)

    def trees(self) -> Iterator[ImageTree]:
        """All trees of images that are removed and still in use."""
        return itertools.chain.from_iterable(each.trees.values() for each in self._departed)

    def closed_trees(self) -> list[ImageTree]:
        """Removed trees that lost their last open file since this was asked last, and that the kernel still knows."""
        closed, self._closed = self._closed, []
        return [tree for tree in closed if self.tree(tree.slot) is tree]

    def lingering_trees(self) -> list[ImageTree]:
        """Removed trees without an open file that the kernel still knows after this was asked for a while: each comes
        soon, and then ever more seldom.
        """
        return [tree for each in self._departed if each.is_due() for tree in each.trees.values()]

    def _sweep(self) -> None:
        if not self._departed:
            return
        stay = [each for each in self._departed if each.handles or any(slot in self._known for slot in each.trees)]
        gone = {each.target for each in self._departed} - {each.target for each in stay}
        self._departed = stay
        for target in gone:
            self._let_go(target)
