"""A chain of layers and what they mean together: names in directories, paths from the root, hard links.

Positions count from 0, the lowest layer. Everything is asked by path or by merged directory; numbers are
`tree.image`'s.
"""

from collections.abc import Sequence
from functools import cached_property

from imagefs.digest import Digest
from imagefs.errors import NoSuchEntry, NotADirectory
from imagefs.layers.entry import Entry
from imagefs.layers.index import LayerIndex
from imagefs.oci.model import Descriptor
from imagefs.tree import merge
from imagefs.tree.context import in_context
from imagefs.tree.openlayers import Layers, OpenLayer

Path = tuple[bytes, ...]


class Chain:
    """The layers of an image, lowest first, or the lowest few of them."""

    def __init__(self, layers: Sequence[OpenLayer], views: Sequence[LayerIndex]) -> None:
        self.layers = layers
        self.views = views
        """Each layer's index, its own or the one made for this chain."""
        self._files: dict[tuple[int, int], merge.Merged] = {}  # behind hard links to other layers
        self._names: dict[tuple[int, int], frozenset[Path]] = {}

    def __len__(self) -> int:
        return len(self.layers)

    def prefix(self, count: int) -> "Chain":
        """The lowest `count` layers."""
        return Chain(self.layers[:count], self.views[:count])

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

    # -- hard links

    def follow(self, merged: merge.Merged) -> merge.Merged:
        """The file behind a hard link to a path that its layer did not hold. Raises `NoSuchEntry` where nothing is.

        That path is one of the layers below; or, which no extracting tool accepts but some writers rely on, of a
        later entry in the same layer.
        """
        passed = []
        while (link_path := merged.entry.link_path) is not None:
            place = (merged.layer, merged.entry.node)
            if place in self._files:
                merged = self._files[place]
                continue
            if place in passed:
                raise NoSuchEntry
            passed.append(place)
            path = link_path.split(b"/")
            found = self._find(merged.layer, path) or self._find(merged.layer + 1, path)
            if found is None or found.entry.is_directory:
                raise NoSuchEntry
            merged = found
        self._files.update(dict.fromkeys(passed, merged))
        return merged

    def _find(self, count: int, path: Sequence[bytes]) -> merge.Merged | None:
        try:
            return Chain(self.layers[:count], self.views[:count]).walk(path)
        except (NoSuchEntry, NotADirectory):
            return None

    @cached_property
    def _further_names(self) -> dict[tuple[int, int], list[Path]]:
        """The names that files get from hard links which their own layer does not hold, hidden ones included."""
        further: dict[tuple[int, int], list[Path]] = {}
        for position, view in enumerate(self.views):
            for parent, name, _ in view.outward_links():
                entry = view.lookup(parent, name)
                assert entry is not None, "the index says so"
                try:
                    file = self.follow(merge.Merged(position, entry))
                except NoSuchEntry:
                    continue
                path = (*(view.directory_path(parent) or ()), name)
                further.setdefault((file.layer, file.entry.node), []).append(path)
        return further

    def has_one_name(self, layer: int, entry: Entry) -> bool:
        """Whether no image with this layer sees a second name of the file, or has lost one."""
        return entry.nlink == 1 and (layer, entry.node) not in self._further_names

    def names(self, layer: int, entry: Entry) -> frozenset[Path]:
        """All names of a file that show: what is no directory, and no hard link to another layer's path."""
        key = (layer, entry.node)
        if key not in self._names:
            paths = {*self._names_in_layer(layer, entry), *self._further_names.get(key, ())}
            self._names[key] = frozenset(path for path in paths if self._leads_to(path, key))
        return self._names[key]

    def _names_in_layer(self, layer: int, entry: Entry) -> list[Path]:
        view = self.views[layer]
        if entry.nlink > 1:
            places = view.names_of(entry.node)
        else:
            place = view.name_of(entry.node)
            places = [] if place is None else [place]
        return [(*(view.directory_path(parent) or ()), name) for parent, name in places]

    def _leads_to(self, path: Path, file: tuple[int, int]) -> bool:
        try:
            merged = self.follow(self.walk(path))
        except (NoSuchEntry, NotADirectory):
            return False
        return (merged.layer, merged.entry.node) == file


def open_chain(layers: Layers, manifest: Sequence[tuple[Digest, Descriptor]]) -> Chain:
    """Open the (diff ID, blob) of a manifest's layers, lowest first. Raises `NotUnpacked`, `ContentMissing`."""
    opened = [layers.open(diff_id, blob.digest) for diff_id, blob in manifest]
    views: list[LayerIndex] = []
    for layer in opened:
        views.append(in_context(layer, views))
    return Chain(opened, views)
