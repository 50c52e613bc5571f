"""The file system of `--view rootfs`: one image's tree at the root of the mount."""

from collections.abc import Mapping, Sequence

from imagefs.errors import MountError
from imagefs.tree import inode
from imagefs.tree.filesystem import Attributes
from imagefs.tree.mounted import MountedImages
from imagefs.tree.treefiles import TreeFiles


class RootfsView(TreeFiles):
    """`--view rootfs`: the tree of one image at the root of the mount. Raises `MountError` unless it is one."""

    def __init__(self, images: MountedImages, *, provenance: bool = False) -> None:
        super().__init__(images, provenance=provenance)
        shown = images.current.images
        if len(shown) != 1 or not shown[0].trees:
            raise MountError("the view rootfs shows one image that has a file system; name one")
        self._image = images.tree(shown[0].trees[0].slot)

    def refresh(self) -> None:
        """The image is fixed."""

    def outdated(self) -> Sequence[tuple[int, bytes]]:
        """Nothing changes."""
        return ()

    def unchanging(self, ino: int) -> bool:
        """Nothing changes."""
        return True

    def _inner(self, ino: int) -> int:
        return self._image.root().ino if ino == inode.ROOT else ino

    def getattr(self, ino: int) -> Attributes:
        """The attributes of an inode."""
        # The kernel knows the root as 1; what stat(2) tells is the number that this directory has in every view.
        return self._image.root() if ino == inode.ROOT else super().getattr(ino)

    def lookup(self, parent: int, name: bytes) -> Attributes:
        """The attributes behind a name."""
        return super().lookup(self._inner(parent), name)

    def listdir(self, ino: int) -> Sequence[tuple[bytes, Attributes]]:
        """A snapshot of a directory."""
        return super().listdir(self._inner(ino))

    def xattrs(self, ino: int) -> Mapping[bytes, bytes]:
        """The extended attributes of an inode, as they are listed."""
        return super().xattrs(self._inner(ino))

    def xattr(self, ino: int, name: bytes) -> bytes:
        """One extended attribute, listed or not."""
        return super().xattr(self._inner(ino), name)
