"""One layer of a chain alone, as overlayfs keeps a layer in a folder.

What the layer removes shows as character devices 0/0, what hides all below it by an extended attribute: the kernel's
documentation, "Overlay Filesystem", sections "whiteouts and opaque directories" and "User xattr". Stacked by
overlayfs, the views of a chain are the image's tree. As in the folders that containerd makes, a directory that the
layer only implies has the attributes that it has below.
"""

import stat
from collections.abc import Mapping

from imagefs.errors import IsADirectory, NoSuchAttribute, NoSuchEntry, NotADirectory, NotASymlink
from imagefs.layers.entry import OPAQUE, ROOT, Entry
from imagefs.layers.index import LayerIndex
from imagefs.tree import inode, merge
from imagefs.tree.chain import Chain
from imagefs.tree.filesystem import Attributes
from imagefs.tree.image import ImageTree, attributes_of
from imagefs.tree.openlayers import LayerFile, open_file

OPAQUE_XATTRS = {b"trusted.overlay.opaque": b"y", b"user.overlay.opaque": b"y"}
"""What marks an opaque directory, for overlayfs mounted by root and by a user."""

_OVERLAY = (b"trusted.overlay.", b"user.overlay.")
_WHITEOUT_NODE = 0
"""All whiteouts of a layer are one node, as hard links to one device; the numbers of a layer's own begin at 1."""


class LayerView:
    """The layer at a position (0 the lowest) of an image's chain, under numbers of the VIEW form."""

    def __init__(self, image: ImageTree, position: int) -> None:
        self._image = image
        self._slot = image.slot
        self._position = position

    @property
    def _view(self) -> LayerIndex:
        return self._image.chain.views[self._position]

    @property
    def _stack(self) -> Chain:
        """The layer and what is below it."""
        return self._image.chain.prefix(self._position + 1)

    @property
    def root_ino(self) -> int:
        """The number of the root, known without opening a layer."""
        return inode.of_view(self._slot, self._position, ROOT)

    def root(self) -> Attributes:
        """The attributes of the layer's root."""
        return self.getattr(self.root_ino)

    def _entry(self, ino: int) -> Entry:
        entry = self._view.node(inode.place_of(ino)[1])
        if entry is None:
            raise NoSuchEntry
        return entry

    def _directory(self, node: int) -> merge.Merged:
        merged = self._stack.directory(self._position, node)
        if merged is None or not merged.entry.is_directory:
            raise NotADirectory if self._view.place(node) is None else NoSuchEntry
        return merged

    def _file(self, entry: Entry) -> merge.Merged:
        return self._stack.follow(merge.Merged(self._position, entry))

    # -- the questions of `FileSystem`

    def getattr(self, ino: int) -> Attributes:
        """The attributes of one of this view's numbers."""
        if inode.place_of(ino)[1] == _WHITEOUT_NODE:
            return Attributes(ino, stat.S_IFCHR)
        entry = self._entry(ino)
        if entry.is_directory:
            return attributes_of(ino, self._directory(entry.node).entry, 1)
        return attributes_of(ino, self._file(entry).entry, entry.nlink)

    def lookup(self, parent: int, name: bytes) -> Attributes:
        """What the layer has, or removes, under a name."""
        node = inode.place_of(parent)[1]
        directory = self._directory(node)
        found = self._child(directory, name, self._view.lookup(node, name))
        if found is None and self._view.hides(node, name):
            found = self._whiteout()
        if found is None:
            raise NoSuchEntry
        return found

    def listdir(self, ino: int) -> list[tuple[bytes, Attributes]]:
        """All that the layer has, or removes, in a directory, sorted."""
        node = inode.place_of(ino)[1]
        directory = self._directory(node)
        names = dict.fromkeys(self._view.whiteouts(node), self._whiteout())
        for entry in self._view.listing(node):
            found = self._child(directory, entry.name, entry)
            if found is not None:
                names[entry.name] = found
        return sorted(names.items())

    def _child(self, directory: merge.Merged, name: bytes, entry: Entry | None) -> Attributes | None:
        if entry is None:
            return None
        number = inode.of_view(self._slot, self._position, entry.node)
        if not entry.is_directory:
            try:
                return attributes_of(number, self._file(entry).entry, entry.nlink)
            except NoSuchEntry:
                return None  # a hard link to nothing
        merged = self._stack.lookup(directory, name)
        # A folder for nothing but whiteouts is there only if it is below.
        if merged is None or merged.identity != (self._position, entry.node):
            return None
        return attributes_of(number, merged.entry, 1)

    def _whiteout(self) -> Attributes:
        return self.getattr(inode.of_view(self._slot, self._position, _WHITEOUT_NODE))

    def readlink(self, ino: int) -> bytes:
        """The target of a symbolic link."""
        entry = self._file(self._entry(ino)).entry
        if entry.target is None:
            raise NotASymlink
        return entry.target

    def xattrs(self, ino: int) -> Mapping[bytes, bytes]:
        """The extended attributes of a number of this view; overlayfs' own only where they are ours."""
        node = inode.place_of(ino)[1]
        if node == _WHITEOUT_NODE:
            return {}
        entry = self._entry(ino)
        merged = self._directory(node) if entry.is_directory else self._file(entry)
        own = self._image.chain.views[merged.layer].xattrs(merged.entry.node) if merged.entry.xattrs else {}
        shown = {name: value for name, value in own.items() if not name.startswith(_OVERLAY)}
        return {**shown, **OPAQUE_XATTRS} if entry.is_directory and self._is_opaque(entry) else shown

    def _is_opaque(self, entry: Entry) -> bool:
        """Whether nothing from below shows in a directory: by its marker, or because the layer made it anew."""
        if entry.flags & OPAQUE:
            return True
        place = self._view.place(entry.node)
        return place is not None and self._view.hides(*place)

    def open(self, ino: int) -> LayerFile:
        """Open a regular file."""
        if inode.place_of(ino)[1] == _WHITEOUT_NODE:
            raise NoSuchAttribute
        entry = self._entry(ino)
        if entry.is_directory:
            raise IsADirectory
        merged = self._file(entry)
        chain = self._image.chain
        return open_file(chain.layers[merged.layer], chain.views[merged.layer], merged.entry)
