"""The part of a file system that is in the images' trees: inode numbers of the forms TREE and LAYER."""

from collections.abc import Mapping, Sequence

from imagefs.errors import NotADirectory, NotASymlink
from imagefs.tree import inode
from imagefs.tree.files import TrackedFile
from imagefs.tree.filesystem import FOREVER, Attributes, OpenFile, Statistics
from imagefs.tree.image import ImageTree, layer_attributes
from imagefs.tree.mounted import MountedImages
from imagefs.tree.openlayers import open_file


class TreeFiles:
    """The part of a file system that is in the images' trees: numbers of the forms TREE and LAYER."""

    def __init__(self, images: MountedImages) -> None:
        self.images = images
        totals = images.totals()
        self.has_xattrs = not images.fixed or any(each is None or each.xattrs for each in totals)

    def getattr(self, ino: int) -> Attributes:
        """The attributes of a number in a tree."""
        if inode.kind(ino) == inode.LAYER:
            return layer_attributes(ino, self.images.layers.by_number(inode.layer_parts(ino)[0]))
        return self._tree(ino).getattr(ino)

    def lookup(self, parent: int, name: bytes) -> Attributes:
        """A name in a directory of a tree."""
        return self._tree(parent).lookup(parent, name)

    def listdir(self, ino: int) -> Sequence[tuple[bytes, Attributes]]:
        """A directory of a tree."""
        return self._tree(ino).listdir(ino)

    def readlink(self, ino: int) -> bytes:
        """The target of a symbolic link in a tree."""
        return self._tree(ino, NotASymlink).readlink(ino)

    def xattrs(self, ino: int) -> Mapping[bytes, bytes]:
        """The extended attributes of a number in a tree."""
        if inode.kind(ino) == inode.LAYER:
            number, node = inode.layer_parts(ino)
            return self.images.layers.by_number(number).index.xattrs(node)
        return self._tree(ino).xattrs(ino)

    def open(self, ino: int) -> OpenFile:
        """Open a regular file in a tree."""
        if inode.kind(ino) == inode.LAYER:
            number, node = inode.layer_parts(ino)
            layer = self.images.layers.by_number(number)
            opened = open_file(layer, layer.index, layer.index.node(node))
        else:
            opened = self._tree(ino).open(ino)
        return TrackedFile(opened, self.images, opened.diff_id)

    def statistics(self) -> Statistics:
        """The blocks and inodes of the mounted images, each layer counted once."""
        totals = [each for each in self.images.totals() if each is not None]
        return Statistics(sum(each.blocks for each in totals), sum(each.nodes for each in totals))

    def _tree(self, ino: int, otherwise: type[Exception] = NotADirectory) -> ImageTree:
        if inode.kind(ino) != inode.TREE:
            raise otherwise
        return self.images.tree(inode.tree_parts(ino).slot)


def replaced(attributes: Attributes, ino: int | None, valid: float = FOREVER) -> Attributes:
    """The attributes under another number, where one is given, and for another time."""
    return Attributes(
        attributes.ino if ino is None else ino, attributes.mode, attributes.nlink, attributes.uid, attributes.gid,
        attributes.rdev, attributes.size, attributes.blocks, attributes.mtime_ns, valid,
    )  # fmt: skip
