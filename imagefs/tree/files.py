"""Open files that are no layer's: documents and blobs; and files that keep their content in the store."""

import os
from collections.abc import Sequence

from imagefs.digest import Digest
from imagefs.errors import ContentMissing
from imagefs.store.files import pread_cached
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

    read_cached = read

    def close(self) -> None:
        """Let go of it."""


class BlobFile:
    """An open blob, until nobody has it any more; `size` is what it was said to have, in bytes.

    Raises `ContentMissing` where it is gone from the store, though an image has it.
    """

    def __init__(self, store: Store, blob: Digest, size: int) -> None:
        try:
            self._file = store.blobs.path(blob).open("rb", buffering=0)
        except FileNotFoundError:
            raise ContentMissing(f"{blob}: the store does not have it") from None
        self._blob, self._size = blob, size

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes at `offset`; raises `OSError` where the blob is cut short."""
        wanted = max(min(size, self._size - offset), 0)
        data = os.pread(self._file.fileno(), wanted, offset)
        if len(data) < wanted:
            raise OSError(f"{self._blob}: cut short at byte {offset + len(data)}")
        return data

    def read_cached(self, offset: int, size: int) -> bytes | bytearray | None:
        """The same where it is in memory, whole; None where the disk would have to be waited for."""
        return pread_cached(self._file.fileno(), max(min(size, self._size - offset), 0), offset)

    def close(self) -> None:
        """Let go of it."""
        self._file.close()


class TrackedFile:
    """An open file that keeps its content in the store until it is closed."""

    def __init__(self, file: LayerFile | BlobFile, images: MountedImages, ino: int) -> None:
        self._file = file
        self._in_use = images.in_use
        self._number = images.in_use.opened(ino)
        self.read = file.read
        self.read_cached = file.read_cached

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
