"""Which names in an image are hard links of each other."""

from functools import cached_property

from imagefs.errors import NoSuchEntry, NotADirectory
from imagefs.tree import merge
from imagefs.tree.chain import Chain, Path

File = tuple[int, int]
"""What all names of a file have in common: the position (0 the lowest) of its layer, and its node there."""


class HardLinks:
    """The names of the files of a chain, at a place and below it; names count from there."""

    def __init__(self, chain: Chain, start: Path) -> None:
        self._chain = chain
        self._start = start
        self._known: dict[File, frozenset[Path]] = {}

    def find(self, path: Path) -> merge.Merged | None:
        """What is under a name, of a hard link the file; None for nothing."""
        try:
            return self._chain.follow(self._chain.walk((*self._start, *path)))
        except (NoSuchEntry, NotADirectory):
            return None

    def names(self, file: merge.Merged) -> frozenset[Path]:
        """All names of a file that is no directory."""
        key = (file.layer, file.entry.node)
        if key not in self._known:
            self._known[key] = self._names(file, key)
        return self._known[key]

    def _names(self, file: merge.Merged, key: File) -> frozenset[Path]:
        view = self._chain.views[file.layer]
        if file.entry.nlink > 1:
            places = view.names_of(file.entry.node)
        else:
            place = view.name_of(file.entry.node)
            places = [] if place is None else [place]
        paths = {(*(view.directory_path(parent) or ()), name) for parent, name in places}
        depth = len(self._start)
        inside = (path[depth:] for path in {*paths, *self._further.get(key, ())} if path[:depth] == self._start)
        return frozenset(path for path in inside if self._leads_to(path, key))

    def _leads_to(self, path: Path, key: File) -> bool:
        found = self.find(path)
        return found is not None and (found.layer, found.entry.node) == key

    @cached_property
    def _further(self) -> dict[File, list[Path]]:
        """The names that files have from layers above their own."""
        further: dict[File, list[Path]] = {}
        for position, view in enumerate(self._chain.views):
            for parent, name, _ in view.outward_links():
                path = (*(view.directory_path(parent) or ()), name)
                entry = view.lookup(parent, name)
                assert entry is not None, "the index says so"
                try:
                    file = self._chain.follow(merge.Merged(position, entry))
                except NoSuchEntry:
                    continue
                further.setdefault((file.layer, file.entry.node), []).append(path)
        return further
