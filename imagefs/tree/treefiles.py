"""The part of a file system that is in the images: inode numbers of the forms TREE, LAYER and VIEW."""

from collections.abc import Mapping, Sequence

from imagefs.errors import NoSuchAttribute, NotADirectory, NotASymlink
from imagefs.tree import inode
from imagefs.tree.files import BlobFile, ListedDirectory, TrackedDirectory, TrackedFile
from imagefs.tree.filesystem import FOREVER, Attributes, OpenDirectory, OpenFile, Statistics
from imagefs.tree.image import ImageTree, layer_attributes
from imagefs.tree.layerview import LayerView
from imagefs.tree.mounted import MountedImages
from imagefs.tree.openlayers import LayerFile, open_file
from imagefs.tree.origin import PREFIX, origin


class TreeFiles:
    """The part of a file system that is in the images.

    With `provenance`, regular files and directories answer where they come from by extended attributes that are
    never listed; the images must not share inode numbers then.
    """

    def __init__(self, images: MountedImages, *, provenance: bool = False) -> None:
        self.images = images
        self.fixed = images.fixed
        self._provenance = provenance
        totals = images.totals()
        self.has_xattrs = provenance or not self.fixed or any(each is None or each.xattrs for each in totals)

    def open_ahead(self) -> None:
        """Open the layers of images that were named; of all images, nobody knows which will be looked into."""
        if self.fixed:
            self.images.open_ahead()

    def remember(self, ino: int) -> None:
        """The kernel was told of a number."""
        if not self.fixed and inode.has_slot(ino):
            self.images.in_use.remember(inode.slot_of(ino))

    def forget(self, ino: int, count: int) -> None:
        """The kernel forgot a number that it was told `count` times."""
        if not self.fixed and inode.has_slot(ino):
            self.images.in_use.forget(inode.slot_of(ino), count)

    def getattr(self, ino: int) -> Attributes:
        """The attributes of a number in an image."""
        if inode.kind(ino) == inode.LAYER:
            return layer_attributes(ino, self.images.layer(inode.layer_parts(ino)[0]))
        return self._tree(ino).getattr(ino)

    def lookup(self, parent: int, name: bytes) -> Attributes:
        """A name in a directory of an image."""
        return self._tree(parent).lookup(parent, name)

    def opendir(self, ino: int) -> OpenDirectory:
        """Open a directory."""
        entries = self.listdir(ino)
        return ListedDirectory(entries) if self.fixed else TrackedDirectory(entries, self.images, ino)

    def listdir(self, ino: int) -> Sequence[tuple[bytes, Attributes]]:
        """A directory of an image."""
        return self._tree(ino).listdir(ino)

    def readlink(self, ino: int) -> bytes:
        """The target of a symbolic link in an image."""
        return self._tree(ino, NotASymlink).readlink(ino)

    def xattrs(self, ino: int) -> Mapping[bytes, bytes]:
        """The extended attributes of a number in an image, as they are listed."""
        if inode.kind(ino) == inode.LAYER:
            number, node = inode.layer_parts(ino)
            return self.images.layer(number).index.xattrs(node)
        return self._tree(ino).xattrs(ino)

    def xattr(self, ino: int, name: bytes) -> bytes:
        """One extended attribute, listed or not."""
        if self._provenance and name.startswith(PREFIX) and inode.kind(ino) == inode.TREE:
            value = origin(self.images.tree(inode.slot_of(ino)), ino).get(name)
        else:
            value = self.xattrs(ino).get(name)
        if value is None:
            raise NoSuchAttribute
        return value

    def open(self, ino: int) -> OpenFile:
        """Open a regular file in an image."""
        if inode.kind(ino) == inode.LAYER:
            number, node = inode.layer_parts(ino)
            layer = self.images.layer(number)
            file = open_file(layer, layer.index, layer.index.node(node))
        else:
            file = self._tree(ino).open(ino)
        return self._opened(file, ino)

    def _opened(self, file: LayerFile | BlobFile, ino: int) -> OpenFile:
        """The file, and where images come and go, on record as open."""
        return file if self.fixed else TrackedFile(file, self.images, ino)

    def statistics(self) -> Statistics:
        """The blocks and inodes of the mounted images, each layer counted once."""
        totals = [each for each in self.images.totals() if each is not None]
        return Statistics(sum(each.blocks for each in totals), sum(each.nodes for each in totals))

    def _tree(self, ino: int, otherwise: type[Exception] = NotADirectory) -> ImageTree | LayerView:
        if not inode.has_slot(ino):
            raise otherwise
        tree = self.images.tree(inode.slot_of(ino))
        return tree if inode.kind(ino) == inode.TREE else LayerView(tree, inode.place_of(ino)[0])


def replaced(attributes: Attributes, ino: int | None, valid: float = FOREVER) -> Attributes:
    """The attributes under another number, where one is given, and for another time."""
    return Attributes(
        attributes.ino if ino is None else ino, attributes.mode, attributes.nlink, attributes.uid, attributes.gid,
        attributes.rdev, attributes.size, attributes.blocks, attributes.mtime_ns, valid,
    )  # fmt: skip
