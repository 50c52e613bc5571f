"""What a mount remembers of the directories that were looked at, in all its images: bounded, by inode number.

Nothing in an image changes, so what is remembered stays true; what was used last stays.
"""

from collections import OrderedDict

from imagefs.tree.filesystem import Attributes
from imagefs.tree.merge import Merged

_DIRECTORIES = 8192
"""How many merged directories are remembered."""

_LISTED_ENTRIES = 16384
"""How many entries of listings are remembered, each of some 300 bytes; one listing can have more."""

Listing = list[tuple[bytes, Attributes]]


class Remembered:
    """Merged directories, and listings of directories."""

    def __init__(self) -> None:
        self._directories: OrderedDict[int, Merged] = OrderedDict()
        self._listings: OrderedDict[int, Listing] = OrderedDict()
        self._listed = 0

    def directory(self, ino: int) -> Merged | None:
        """What the directory with this number is, None where that is not known any more."""
        merged = self._directories.get(ino)
        if merged is not None:
            self._directories.move_to_end(ino)
        return merged

    def add_directory(self, ino: int, merged: Merged) -> None:
        """Remember a directory."""
        self._directories[ino] = merged
        if len(self._directories) > _DIRECTORIES:
            self._directories.popitem(last=False)

    def listing(self, ino: int) -> Listing | None:
        """What the directory with this number holds, None where that is not known any more."""
        listing = self._listings.get(ino)
        if listing is not None:
            self._listings.move_to_end(ino)
        return listing

    def add_listing(self, ino: int, listing: Listing) -> None:
        """Remember what a directory holds, in place of what is remembered of it."""
        self._listed += len(listing) - len(self._listings.pop(ino, ()))
        self._listings[ino] = listing
        while self._listed > _LISTED_ENTRIES and len(self._listings) > 1:
            self._listed -= len(self._listings.popitem(last=False)[1])
