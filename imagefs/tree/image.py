"""One image's tree: a chain of layers, merged when and where somebody looks.

Layers are opened at the first look into the image, and uncompressed then where they are not yet.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from imagefs.errors import NoSuchEntry, NotADirectory, NotASymlink
from imagefs.layers.entry import ROOT, Entry
from imagefs.layers.index import LayerIndex
from imagefs.store.contents import PresentManifest
from imagefs.store.store import Store
from imagefs.tree import inode, merge
from imagefs.tree.filesystem import Attributes
from imagefs.tree.openlayers import LayerFile, Layers, OpenLayer, open_file

_DIRECTORIES = 4096
"""How many merged directories are remembered."""

_LISTED_ENTRIES = 65536
"""How many entries of merged listings are remembered."""

_LINKS_FOLLOWED = 40


class ImageTree:
    """The merged tree of one manifest, under one slot's inode numbers."""

    def __init__(self, store: Store, layers: Layers, manifest: PresentManifest, slot: int) -> None:
        self.slot = slot
        self.manifest = manifest
        self._layers = layers
        self._chain: list[OpenLayer] | None = None
        self._views: list[LayerIndex] = []
        self._outside: dict[tuple[int, int], list[tuple[bytes, ...]]] = {}
        self._links: dict[tuple[int, int], int] = {}
        self._directories: OrderedDict[tuple[int, int], merge.Merged] = OrderedDict()
        self._listings: OrderedDict[tuple[int, int], list[tuple[bytes, Attributes]]] = OrderedDict()
        self._listed = 0

    # -- the chain

    def _open(self) -> list[OpenLayer]:
        if self._chain is None:
            chain = [self._layers.open(diff_id, blob.digest) for diff_id, blob in self.manifest.layers]
            self._views = [layer.index for layer in chain]
            self._chain = chain
            self._find_outward_links()
        return self._chain

    def _find_outward_links(self) -> None:
        """Which files of lower layers get further names from hard links in higher ones."""
        for position, view in enumerate(self._views):
            for parent, name, _ in view.outward_links():
                path = (*(view.directory_path(parent) or ()), name)
                try:
                    merged = self._walk(path)
                    resolved = self._follow(merged)
                except (NoSuchEntry, NotADirectory):
                    continue
                if merged.layer == position and merged.entry.link_path is not None:
                    self._outside.setdefault((resolved.layer, resolved.entry.node), []).append(path)

    def _follow(self, merged: merge.Merged, budget: int = _LINKS_FOLLOWED) -> merge.Merged:
        """The node behind a hard link to a path of the layers below."""
        while merged.entry.link_path is not None:
            budget -= 1
            if budget < 0:
                raise NoSuchEntry
            below = self._views[: merged.layer]
            found = merge.root(below) if below else None
            for step in merged.entry.link_path.split(b"/"):
                found = merge.lookup(below, found.parts, step) if found is not None else None
            if found is None or found.parts or found.entry.is_directory:
                raise NoSuchEntry
            merged = found
        return merged

    def _walk(self, path: Sequence[bytes]) -> merge.Merged:
        merged = merge.root(self._views)
        for name in path:
            if not merged.entry.is_directory:
                raise NotADirectory
            found = merge.lookup(self._views, merged.parts, name)
            if found is None:
                raise NoSuchEntry
            merged = found
        return merged

    # -- from numbers to nodes and back

    def root(self) -> Attributes:
        """The attributes of the tree's root directory."""
        self._open()
        merged = merge.root(self._views)
        self._remember(merged)
        return self._attributes(merged)

    @property
    def root_ino(self) -> int:
        """The number of the root, known without opening a layer: every layer has a root, so the topmost one's."""
        return inode.of_tree(self.slot, max(len(self.manifest.layers) - 1, 0), ROOT)

    def _remember(self, merged: merge.Merged) -> None:
        self._directories[merged.identity] = merged
        if len(self._directories) > _DIRECTORIES:
            self._directories.popitem(last=False)

    def _directory(self, ino: int) -> merge.Merged:
        self._open()
        parts = inode.tree_parts(ino)
        identity = (parts.layer, parts.node)
        merged = self._directories.get(identity)
        if merged is not None:
            self._directories.move_to_end(identity)
            return merged
        if parts.layer >= len(self._views) and not (parts.layer == 0 and not self._views):
            raise NoSuchEntry
        # Forgotten: a directory has one path in the layer that it is named after, and so in the image.
        path = self._views[parts.layer].directory_path(parts.node) if self._views else []
        if path is None:
            raise NotADirectory
        merged = self._walk(path)
        if merged.identity != identity or not merged.entry.is_directory:
            raise NoSuchEntry
        self._remember(merged)
        return merged

    def _node(self, ino: int) -> tuple[int, Entry]:
        """(position in the chain, entry) of a number of this tree."""
        self._open()
        parts = inode.tree_parts(ino)
        if not self._views:
            return 0, self._directory(ino).entry
        if parts.layer >= len(self._views):
            raise NoSuchEntry
        entry = self._views[parts.layer].node(parts.node)
        if entry is None:
            raise NoSuchEntry
        if entry.is_directory:
            merged = self._directory(ino)
            return merged.layer, merged.entry
        return parts.layer, entry

    def _attributes(self, merged: merge.Merged) -> Attributes:
        entry = merged.entry
        if entry.is_directory:
            number = inode.of_tree(self.slot, *merged.identity)
            return _attributes(number, entry, 1)
        if entry.link_path is not None:
            merged = self._follow(merged)
            entry = merged.entry
        assert self._chain is not None
        alone = entry.nlink == 1 and (merged.layer, entry.node) not in self._outside
        if alone and entry.is_regular:
            # No image decides anything about it: all images with this layer share it and its page cache.
            return _attributes(inode.of_layer(self._chain[merged.layer].number, entry.node), entry, 1)
        number = inode.of_tree(self.slot, merged.layer, entry.node)
        return _attributes(number, entry, 1 if alone else self._count_links(merged.layer, entry))

    def _count_links(self, layer: int, entry: Entry) -> int:
        """How many of a node's names show in the image: st_nlink as it would be after extracting."""
        key = (layer, entry.node)
        known = self._links.get(key)
        if known is None:
            view = self._views[layer]
            paths = [(*(view.directory_path(parent) or ()), name) for parent, name in view.names_of(entry.node)]
            if entry.nlink == 1:
                paths = self._single_name(layer, entry)
            known = sum(self._leads_to(path, key) for path in {*paths, *self._outside.get(key, ())})
            self._links[key] = known = max(known, 1)
        return known

    def _single_name(self, layer: int, entry: Entry) -> list[tuple[bytes, ...]]:
        row = self._views[layer].name_of(entry.node)
        if row is None:
            return []
        parent, name = row
        return [(*(self._views[layer].directory_path(parent) or ()), name)]

    def _leads_to(self, path: tuple[bytes, ...], node: tuple[int, int]) -> bool:
        try:
            merged = self._follow(self._walk(path))
        except (NoSuchEntry, NotADirectory):
            return False
        return (merged.layer, merged.entry.node) == node

    # -- the questions of `FileSystem`

    def getattr(self, ino: int) -> Attributes:
        """The attributes of one of this tree's numbers."""
        layer, entry = self._node(ino)
        if entry.is_directory:
            return _attributes(ino, entry, 1)
        return self._attributes(merge.Merged(layer, entry))

    def lookup(self, parent: int, name: bytes) -> Attributes:
        """What a directory holds under a name."""
        merged = merge.lookup(self._views, self._directory(parent).parts, name)
        if merged is None:
            raise NoSuchEntry
        if merged.entry.is_directory:
            self._remember(merged)
        return self._attributes(merged)

    def listdir(self, ino: int) -> list[tuple[bytes, Attributes]]:
        """All that a directory holds, sorted."""
        directory = self._directory(ino)
        known = self._listings.get(directory.identity)
        if known is not None:
            self._listings.move_to_end(directory.identity)
            return known
        found = []
        for name, merged in merge.listing(self._views, directory.parts).items():
            if merged.entry.is_directory:
                self._remember(merged)
            try:
                found.append((name, self._attributes(merged)))
            except NoSuchEntry:
                continue  # a hard link to a path that no layer below has
        self._listings[directory.identity] = found
        self._listed += len(found)
        while self._listed > _LISTED_ENTRIES and len(self._listings) > 1:
            self._listed -= len(self._listings.popitem(last=False)[1])
        return found

    def readlink(self, ino: int) -> bytes:
        """The target of a symbolic link."""
        _, entry = self._node(ino)
        if entry.target is None:
            raise NotASymlink
        return entry.target

    def xattrs(self, ino: int) -> Mapping[bytes, bytes]:
        """The extended attributes of a number of this tree."""
        layer, entry = self._node(ino)
        return self._views[layer].xattrs(entry.node) if entry.xattrs else {}

    def open(self, ino: int) -> LayerFile:
        """Open a regular file."""
        layer, entry = self._node(ino)
        return open_file(self._open()[layer], entry)


def layer_attributes(ino: int, layer: OpenLayer) -> Attributes:
    """The attributes of a number of the LAYER form."""
    entry = layer.index.node(inode.layer_parts(ino)[1])
    if entry is None:
        raise NoSuchEntry
    return _attributes(ino, entry, 1)


def _attributes(ino: int, entry: Entry, nlink: int) -> Attributes:
    return Attributes(
        ino, entry.mode, nlink, entry.uid, entry.gid, entry.rdev, entry.size, entry.blocks,
        entry.mtime_s * 1_000_000_000 + entry.mtime_ns,
    )  # fmt: skip
