"""Documents of a store as far as they are within the bounds of an import."""

from imagefs.digest import Digest
from imagefs.limits import Limits
from imagefs.oci import documents
from imagefs.store.blobs import Blobs


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
