"""Open files that are no layer's: documents and blobs; and files that keep their content in the store."""

import os
from collections.abc import Sequence

from imagefs.digest import Digest
from imagefs.errors import NoSuchEntry
from imagefs.store.store import Store
from imagefs.tree.filesystem import Attributes
from imagefs.tree.mounted import MountedImages
from imagefs.tree.openlayers import LayerFile


class Document:
    """An open document."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes at `offset`."""
        return self._content[offset : offset + size]

    def close(self) -> None:
        """Let go of it."""


class BlobFile:
    """An open blob."""

    def __init__(self, store: Store, blob: Digest) -> None:
        try:
            self._descriptor = os.open(store.blobs.path(blob), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NoSuchEntry from None

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes at `offset`."""
        return os.pread(self._descriptor, size, offset)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)


class TrackedFile:
    """An open file that keeps its content in the store until it is closed."""

    def __init__(self, file: LayerFile | BlobFile, images: MountedImages, ino: int) -> None:
        self._file = file
        self._in_use = images.in_use
        self._number = images.in_use.opened(ino)
        self.read = file.read

    def close(self) -> None:
        """Let go of it."""
        self._file.close()
        self._in_use.closed(self._number)


class ListedDirectory:
    """An open directory of an image that nothing removes from the mount."""

    def __init__(self, entries: Sequence[tuple[bytes, Attributes]]) -> None:
        self.entries = entries

    def close(self) -> None:
        """Let go of it."""


class TrackedDirectory:
    """An open directory that keeps its image in the store until it is closed."""

    def __init__(self, entries: Sequence[tuple[bytes, Attributes]], images: MountedImages, ino: int) -> None:
        self.entries = entries
        self._in_use = images.in_use
        self._number = images.in_use.opened(ino)

    def close(self) -> None:
        """Let go of it."""
        self._in_use.closed(self._number)
