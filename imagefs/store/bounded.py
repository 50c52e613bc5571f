"""Reading documents only as far as bounds allow: each within those of an import, and all of an image within one."""

from imagefs.digest import Digest
from imagefs.errors import ArchiveError
from imagefs.limits import Limits
from imagefs.oci import documents
from imagefs.store.blobs import Blobs
from imagefs.store.present import BlobReader

MAX_READ = 512 << 20
"""How many bytes of documents are read to find out what one image consists of. Ten thousand manifests, as many as there
may be, with a configuration of 40 kB each come to that; a large one that all of them share would be read as often."""


class BoundedReading:
    """Other blobs, until too much of them was read for one image."""

    def __init__(self, blobs: BlobReader, image: str) -> None:
        self._blobs, self._image = blobs, image
        self._read = 0

    def __contains__(self, content: Digest) -> bool:
        return content in self._blobs

    def size(self, content: Digest) -> int | None:
        """The blob's size in bytes, None when it is not there."""
        return self._blobs.size(content)

    def read(self, content: Digest) -> bytes:
        """A JSON document, whole. Raises `ContentMissing`, and `ArchiveError` where it is one too many."""
        data = self._blobs.read(content)
        self._read += len(data)
        if self._read > MAX_READ:
            raise ArchiveError(f"documents of more than {MAX_READ} bytes in all", member=self._image)
        return data


class BoundedDocuments:
    """A store's blobs, for the documents among them."""

    def __init__(self, blobs: Blobs, limits: Limits) -> None:
        self._blobs, self._limits = blobs, limits

    def __contains__(self, content: Digest) -> bool:
        return content in self._blobs

    def size(self, content: Digest) -> int | None:
        """The blob's size in bytes, None when the store does not have it."""
        return self._blobs.size(content)

    def read(self, content: Digest) -> bytes:
        """A JSON document, whole. Raises `ContentMissing`, and `LimitExceeded` for one that is too large or deep."""
        documents.check_size(self._blobs.size(content) or 0, self._limits, content)
        data = self._blobs.read(content)
        documents.check_depth(data, self._limits, content)
        return data
