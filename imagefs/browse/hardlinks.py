"""Which names in an image, or in a folder of one, are hard links of each other."""

from imagefs.errors import NoSuchEntry, NotADirectory
from imagefs.tree import merge
from imagefs.tree.chain import Chain, Path


class HardLinks:
    """The names of the files of a chain, at a place and below it; names count from there."""

    def __init__(self, chain: Chain, start: Path) -> None:
        self._chain = chain
        self._start = start

    def find(self, path: Path) -> merge.Merged | None:
        """What is under a name, of a hard link the file; None for nothing."""
        try:
            return self._chain.follow(self._chain.walk((*self._start, *path)))
        except (NoSuchEntry, NotADirectory):
            return None

    def names(self, file: merge.Merged) -> frozenset[Path]:
        """All names of a file that is no directory."""
        depth = len(self._start)
        names = self._chain.names(file.layer, file.entry)
        return frozenset(path[depth:] for path in names if path[:depth] == self._start) if depth else names
