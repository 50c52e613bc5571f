"""One image's tree: a chain of layers, merged when and where somebody looks, under inode numbers.

Layers are opened at the first look into the image, and uncompressed then where they are not yet.
"""

from collections.abc import Mapping

from imagefs.errors import NoSuchEntry, NotADirectory, NotASymlink
from imagefs.layers.entry import ROOT, Entry
from imagefs.store.contents import PresentManifest
from imagefs.tree import inode, merge
from imagefs.tree.chain import Chain
from imagefs.tree.context import open_chain
from imagefs.tree.filesystem import Attributes
from imagefs.tree.openlayers import LayerFile, Layers, OpenLayer, open_file
from imagefs.tree.recent import Recent

DIRECTORIES = 8192
"""How many merged directories are worth remembering."""


class ImageTree:
    """The merged tree of one manifest, under one slot's inode numbers.

    With `sharing`, files that no image decides anything about have the numbers that all images with their layer
    give them, and so share the kernel's page cache. `directories` are those that are remembered, of all images.
    """

    def __init__(
        self,
        layers: Layers,
        manifest: PresentManifest,
        slot: int,
        *,
        sharing: bool = True,
        directories: Recent[merge.Merged] | None = None,
    ) -> None:
        self.slot = slot
        self.manifest = manifest
        self._layers = layers
        self._sharing = sharing
        self._chain: Chain | None = None
        self._positions: dict[int, int] = {}  # by layer number, known from the first look on
        self._directories = Recent[merge.Merged](DIRECTORIES) if directories is None else directories

    @property
    def chain(self) -> Chain:
        """The layers, open. Raises `NotUnpacked`, `ContentMissing`."""
        return self.open_layers() if self._chain is None else self._chain

    def open_layers(self) -> Chain:
        """Open the layers, unless they are open. Raises `NotUnpacked`, `ContentMissing`."""
        if self._chain is None:
            self._chain = open_chain(self._layers, self.manifest.layers)
            self._positions = {layer.number: position for position, layer in enumerate(self._chain.layers)}
        return self._chain

    def close(self) -> None:
        """Let go of the layers, until somebody looks into the image again; what is open in them stays open."""
        self._chain = None

    def layer(self, number: int) -> OpenLayer | None:
        """The layer with a number, opened again where it was closed; None where the tree has told nobody of it.

        Raises `NotUnpacked`, `ContentMissing`.
        """
        position = self._positions.get(number)
        if position is None:
            return None
        diff_id, blob = self.manifest.layers[position]
        return self._layers.open(diff_id, blob.digest)

    def has_layer_of(self, ino: int) -> bool:
        """Whether a number of the LAYER form can be of this tree; none is while nobody has looked into it."""
        return inode.layer_parts(ino)[0] in self._positions

    # -- from numbers to nodes and back

    def root(self) -> Attributes:
        """The attributes of the tree's root directory."""
        return self._attributes(self.chain.root())

    @property
    def root_ino(self) -> int:
        """The number of the root, known without opening a layer: every layer has a root, so the topmost one's."""
        return inode.of_tree(self.slot, max(len(self.manifest.layers) - 1, 0), ROOT)

    def directory(self, ino: int) -> merge.Merged:
        """The merged directory behind one of this tree's numbers. Raises `NotADirectory`, `NoSuchEntry`."""
        merged = self._directories.get(ino)
        if merged is not None:
            return merged
        chain = self.chain
        layer, node = inode.place_of(ino)
        if layer >= max(len(chain), 1):
            raise NoSuchEntry
        # Forgotten: a directory has one path in the layer that it is named after, and so in the image.
        merged = chain.directory(layer, node) if len(chain) else chain.root()
        if merged is None:
            raise NotADirectory
        if merged.identity != (layer, node) or not merged.entry.is_directory:
            raise NoSuchEntry
        self._directories.add(ino, merged)
        return merged

    def node(self, ino: int) -> tuple[int, Entry]:
        """(position in the chain, entry) of a number of this tree. Raises `NoSuchEntry`."""
        chain = self.chain
        layer, node = inode.place_of(ino)
        if not len(chain):
            return 0, self.directory(ino).entry
        if layer >= len(chain):
            raise NoSuchEntry
        entry = chain.views[layer].node(node)
        if entry is None:
            raise NoSuchEntry
        if entry.is_directory:
            merged = self.directory(ino)
            return merged.layer, merged.entry
        return layer, entry

    def _attributes(self, merged: merge.Merged) -> Attributes:
        """The attributes of what a name means; a directory is remembered, for the next question is about it."""
        chain = self.chain
        layer, entry = merged.layer, merged.entry
        if entry.is_directory:
            ino = inode.of_tree(self.slot, *merged.identity)
            self._directories.add(ino, merged)
            return attributes_of(ino, entry, 1)
        if entry.link_path is not None:
            merged = chain.follow(merged)
            layer, entry = merged.layer, merged.entry
        alone = chain.has_one_name(layer, entry)
        if alone and self._sharing and entry.is_regular and chain.is_shared(layer):
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
        return self._attributes(merged)

    def listdir(self, ino: int) -> list[tuple[bytes, Attributes]]:
        """All that a directory holds, sorted."""
        found = []
        for name, merged in self.chain.entries(self.directory(ino)):
            try:
                found.append((name, self._attributes(merged)))
            except NoSuchEntry:
                continue  # a hard link to a path that no layer below has
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
