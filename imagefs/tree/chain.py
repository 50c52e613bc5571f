"""A chain of layers and what they mean together: names in directories, paths from the root, hard links.

Positions count from 0, the lowest layer. Everything is asked by path or by merged directory; numbers are
`tree.image`'s.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property

from imagefs.errors import NoSuchEntry, NotADirectory
from imagefs.layers.entry import ROOT, Entry
from imagefs.layers.index import LayerIndex
from imagefs.tree import merge
from imagefs.tree.openlayers import OpenLayer

Path = tuple[bytes, ...]

Place = tuple[int, int, bytes]
"""A name in a layer: the layer's position, the directory's node there, the name."""

_DIRECTORIES = 4096
"""How many directories are remembered, by where a layer has them."""

_PATHS, _LONGEST_PATH = 256, 4096
"""How many folders of hard links' targets are remembered by path, and paths of how many bytes."""


class Chain:
    """The layers of an image, lowest first, or the lowest few of them."""

    def __init__(self, layers: Sequence[OpenLayer], views: Sequence[LayerIndex]) -> None:
        self.layers = layers
        self.views = views
        """Each layer's index, its own or the one made for this chain."""
        self._prefixes: dict[int, Chain] = {}
        self._directories: dict[tuple[int, int], merge.Merged | None] = {}
        self._by_path: dict[bytes, merge.Merged | None] = {}
        self._files: dict[tuple[int, int], merge.Merged | None] = {}  # behind hard links to other layers

    def __len__(self) -> int:
        return len(self.views)

    def prefix(self, count: int) -> "Chain":
        """The lowest `count` layers."""
        if count == len(self):
            return self  # not remembered: a layer is closed when the last chain that has it is forgotten
        if count not in self._prefixes:
            self._prefixes[count] = Chain(self.layers[:count], self.views[:count])
        return self._prefixes[count]

    def is_shared(self, layer: int) -> bool:
        """Whether every chain with this layer has it under the same node numbers."""
        return self.views[layer] is self.layers[layer].index

    # -- names and paths

    def root(self) -> merge.Merged:
        """The root directory."""
        return merge.root(self.views)

    def lookup(self, directory: merge.Merged, name: bytes) -> merge.Merged | None:
        """What a name in a directory means, None where there is no such name."""
        return merge.lookup(self.views, directory.parts, name)

    def listing(self, directory: merge.Merged) -> dict[bytes, merge.Merged]:
        """All that a directory holds, sorted by name; hard links to nothing included."""
        return merge.listing(self.views, directory.parts)

    def entries(self, directory: merge.Merged) -> Iterator[tuple[bytes, merge.Merged]]:
        """The same one by one, which for a directory of many files takes less memory."""
        return merge.entries(self.views, directory.parts)

    def walk(self, path: Sequence[bytes]) -> merge.Merged:
        """What a path means, following no link. Raises `NoSuchEntry`, `NotADirectory`."""
        merged = self.root()
        for name in path:
            if not merged.entry.is_directory:
                raise NotADirectory
            found = self.lookup(merged, name)
            if found is None:
                raise NoSuchEntry
            merged = found
        return merged

    def directory(self, layer: int, node: int) -> merge.Merged | None:
        """What has the path that a directory has in one of the layers; None where nothing has it."""
        view = self.views[layer]
        pending: list[tuple[int, bytes]] = []
        while node != ROOT and (layer, node) not in self._directories:
            place = view.place(node)
            if place is None:
                return None
            pending.append((node, place[1]))
            node = place[0]
        found = self.root() if node == ROOT else self._directories[layer, node]
        for below, name in reversed(pending):
            found = None if found is None else self.lookup(found, name)
            if len(self._directories) >= _DIRECTORIES:
                self._directories.clear()
            self._directories[layer, below] = found
        return found

    # -- hard links

    def follow(self, merged: merge.Merged) -> merge.Merged:
        """The file behind a hard link to a path that its layer did not hold. Raises `NoSuchEntry` where nothing is.

        That path is one of the layers below; or, which no extracting tool accepts but some writers rely on, of a
        later entry in the same layer.
        """
        if merged.entry.link_path is None:
            return merged
        found: merge.Merged | None = merged
        passed: dict[tuple[int, int], None] = {}
        while found is not None and (path := found.entry.link_path) is not None:
            link = (found.layer, found.entry.node)
            if link in self._files:
                found = self._files[link]
            elif link in passed:
                found = None
            else:
                passed[link] = None
                found = self.prefix(found.layer).at(path) or self.prefix(found.layer + 1).at(path)
                if found is not None and found.entry.is_directory:
                    found = None
        self._files.update(dict.fromkeys(passed, found))
        if found is None:
            raise NoSuchEntry
        return found

    def at(self, path: bytes) -> merge.Merged | None:
        """What a path means, following no link; None for nothing. The folder is remembered for the next path."""
        folder, _, name = path.rpartition(b"/")
        if folder in self._by_path:
            directory = self._by_path[folder]
        else:
            try:
                directory = self.walk(folder.split(b"/") if folder else ())
            except (NoSuchEntry, NotADirectory):
                directory = None
            if len(folder) <= _LONGEST_PATH:
                if len(self._by_path) >= _PATHS:
                    self._by_path.clear()
                self._by_path[folder] = directory
        return None if directory is None else self.lookup(directory, name)

    @cached_property
    def _further_places(self) -> dict[tuple[int, int], list[Place]]:
        """Where files have names from hard links that their own layer does not hold, hidden ones included."""
        further: dict[tuple[int, int], list[Place]] = {}
        for position, view in enumerate(self.views):
            for parent, name, _ in view.outward_links():
                entry = view.lookup(parent, name)
                assert entry is not None, "the index says so"
                try:
                    file = self.follow(merge.Merged(position, entry))
                except NoSuchEntry:
                    continue
                further.setdefault((file.layer, file.entry.node), []).append((position, parent, name))
        return further

    @cached_property
    def _only_places(self) -> dict[tuple[int, int], Place]:
        """Of the files with such names, those that have one name in their layer: where that is."""
        wanted: dict[int, set[int]] = {}
        for layer, node in self._further_places:
            wanted.setdefault(layer, set()).add(node)
        return {
            (layer, node): (layer, parent, name)
            for layer, nodes in wanted.items()
            for node, parent, name in self.views[layer].places_of(nodes)
        }

    def has_one_name(self, layer: int, entry: Entry) -> bool:
        """Whether no image with this layer sees a second name of the file, or has lost one."""
        further = self._further_places
        return entry.nlink == 1 and (not further or (layer, entry.node) not in further)

    def count_links(self, layer: int, entry: Entry) -> int:
        """How many names of a file show: st_nlink as it would be after extracting."""
        if self.has_one_name(layer, entry):
            return 1
        return max(len({key for key, _ in self._showing(layer, entry)}), 1)

    def names(self, layer: int, entry: Entry) -> frozenset[Path]:
        """All names of a file that show: what is no directory, and no hard link to another layer's path."""
        return frozenset(
            (*(self.views[position].directory_path(parent) or ()), name)
            for _, (position, parent, name) in self._showing(layer, entry)
        )

    def _showing(self, layer: int, entry: Entry) -> Iterator[tuple[tuple[tuple[int, int], bytes], Place]]:
        """The places of a file's names that lead to it, each with what is equal for equal paths."""
        file = (layer, entry.node)
        places = list(self._further_places.get(file, ()))
        if entry.nlink > 1:
            places += [(layer, parent, name) for parent, name in self.views[layer].names_of(entry.node)]
        elif places:
            places.append(self._only_places[file])
        else:
            places += [(layer, parent, name) for _, parent, name in self.views[layer].places_of({entry.node})]
        for place in places:
            position, parent, name = place
            directory = self.directory(position, parent)
            found = None if directory is None else self.lookup(directory, name)
            if directory is None or found is None or found.entry.is_directory:
                continue
            try:
                found = self.follow(found)
            except NoSuchEntry:
                continue
            if (found.layer, found.entry.node) == file:
                yield (directory.identity, name), place
