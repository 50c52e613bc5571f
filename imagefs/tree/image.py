"""One image's tree: a chain of layers, merged when and where somebody looks, under inode numbers.

Layers are opened at the first look into the image, and uncompressed then where they are not yet.
"""

from collections import OrderedDict
from collections.abc import Mapping

from imagefs.errors import NoSuchEntry, NotADirectory, NotASymlink
from imagefs.layers.entry import ROOT, Entry
from imagefs.store.contents import PresentManifest
from imagefs.tree import inode, merge
from imagefs.tree.chain import Chain
from imagefs.tree.context import open_chain
from imagefs.tree.filesystem import Attributes
from imagefs.tree.openlayers import LayerFile, Layers, OpenLayer, open_file

_DIRECTORIES = 4096
"""How many merged directories are remembered."""

_LISTED_ENTRIES = 65536
"""How many entries of merged listings are remembered."""


class ImageTree:
    """The merged tree of one manifest, under one slot's inode numbers.

    With `sharing`, files that no image decides anything about have the numbers that all images with their layer
    give them, and so share the kernel's page cache.
    """

    def __init__(self, layers: Layers, manifest: PresentManifest, slot: int, *, sharing: bool = True) -> None:
        self.slot = slot
        self.manifest = manifest
        self._layers = layers
        self._sharing = sharing
        self._chain: Chain | None = None
        self._directories: OrderedDict[tuple[int, int], merge.Merged] = OrderedDict()
        self._listings: OrderedDict[tuple[int, int], list[tuple[bytes, Attributes]]] = OrderedDict()
        self._listed = 0

    @property
    def chain(self) -> Chain:
        """The layers, open. Raises `NotUnpacked`, `ContentMissing`."""
        if self._chain is None:
            self._chain = open_chain(self._layers, self.manifest.layers)
        return self._chain

    def has_layer_of(self, ino: int) -> bool:
        """Whether a number of the LAYER form can be of this tree; None is while nobody has looked into it."""
        number = inode.layer_parts(ino)[0]
        return self._chain is not None and any(layer.number == number for layer in self._chain.layers)

    # -- from numbers to nodes and back

    def root(self) -> Attributes:
        """The attributes of the tree's root directory."""
        merged = self.chain.root()
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

    def directory(self, ino: int) -> merge.Merged:
        """The merged directory behind one of this tree's numbers. Raises `NotADirectory`, `NoSuchEntry`."""
        chain = self.chain
        parts = inode.tree_parts(ino)
        identity = (parts.layer, parts.node)
        merged = self._directories.get(identity)
        if merged is not None:
            self._directories.move_to_end(identity)
            return merged
        if parts.layer >= max(len(chain), 1):
            raise NoSuchEntry
        # Forgotten: a directory has one path in the layer that it is named after, and so in the image.
        merged = chain.directory(parts.layer, parts.node) if len(chain) else chain.root()
        if merged is None:
            raise NotADirectory
        if merged.identity != identity or not merged.entry.is_directory:
            raise NoSuchEntry
        self._remember(merged)
        return merged

    def node(self, ino: int) -> tuple[int, Entry]:
        """(position in the chain, entry) of a number of this tree. Raises `NoSuchEntry`."""
        chain = self.chain
        parts = inode.tree_parts(ino)
        if not len(chain):
            return 0, self.directory(ino).entry
        if parts.layer >= len(chain):
            raise NoSuchEntry
        entry = chain.views[parts.layer].node(parts.node)
        if entry is None:
            raise NoSuchEntry
        if entry.is_directory:
            merged = self.directory(ino)
            return merged.layer, merged.entry
        return parts.layer, entry

    def _attributes(self, merged: merge.Merged) -> Attributes:
        if merged.entry.is_directory:
            return attributes_of(inode.of_tree(self.slot, *merged.identity), merged.entry, 1)
        chain = self.chain
        merged = chain.follow(merged)
        layer, entry = merged.layer, merged.entry
        alone = chain.has_one_name(layer, entry)
        if alone and entry.is_regular and self._sharing and chain.is_shared(layer):
            # No image decides anything about it: all images with this layer share it and its page cache.
            return attributes_of(inode.of_layer(chain.layers[layer].number, entry.node), entry, 1)
        number = inode.of_tree(self.slot, layer, entry.node)
        return attributes_of(number, entry, 1 if alone else chain.count_links(layer, entry))

    # -- the questions of `FileSystem`

    def getattr(self, ino: int) -> Attributes:
        """The attributes of one of this tree's numbers."""
        layer, entry = self.node(ino)
        if entry.is_directory:
            return attributes_of(ino, entry, 1)
        return self._attributes(merge.Merged(layer, entry))

    def lookup(self, parent: int, name: bytes) -> Attributes:
        """What a directory holds under a name."""
        merged = self.chain.lookup(self.directory(parent), name)
        if merged is None:
            raise NoSuchEntry
        if merged.entry.is_directory:
            self._remember(merged)
        return self._attributes(merged)

    def listdir(self, ino: int) -> list[tuple[bytes, Attributes]]:
        """All that a directory holds, sorted."""
        directory = self.directory(ino)
        known = self._listings.get(directory.identity)
        if known is not None:
            self._listings.move_to_end(directory.identity)
            return known
        found = []
        for name, merged in self.chain.listing(directory).items():
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
        _, entry = self.node(ino)
        if entry.target is None:
            raise NotASymlink
        return entry.target

    def xattrs(self, ino: int) -> Mapping[bytes, bytes]:
        """The extended attributes of a number of this tree."""
        layer, entry = self.node(ino)
        return self.chain.views[layer].xattrs(entry.node) if entry.xattrs else {}

    def open(self, ino: int) -> LayerFile:
        """Open a regular file."""
        layer, entry = self.node(ino)
        return open_file(self.chain.layers[layer], self.chain.views[layer], entry)


def layer_attributes(ino: int, layer: OpenLayer) -> Attributes:
    """The attributes of a number of the LAYER form."""
    entry = layer.index.node(inode.layer_parts(ino)[1])
    if entry is None:
        raise NoSuchEntry
    return attributes_of(ino, entry, 1)


def attributes_of(ino: int, entry: Entry, nlink: int) -> Attributes:
    """A node's attributes under a number."""
    return Attributes(
        ino, entry.mode, nlink, entry.uid, entry.gid, entry.rdev, entry.size, entry.blocks,
        entry.mtime_s * 1_000_000_000 + entry.mtime_ns,
    )  # fmt: skip
