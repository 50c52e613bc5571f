"""What of an OCI layout need not be read, as it belongs to platforms that nobody asked for."""

from collections.abc import Iterable, Mapping

from imagefs.archive.source import Extent
from imagefs.digest import Digest
from imagefs.errors import ArchiveError
from imagefs.oci.model import MAX_DOCUMENT, Descriptor
from imagefs.store import contents, standing
from imagefs.store.present import BlobReader


class ArchivedBlobs:
    """The blobs of an archive, and beside them those of a store. Nothing is checked: what is read is a hint."""

    def __init__(self, archived: Mapping[Digest, tuple[int, Extent]], stored: BlobReader) -> None:
        self._archived, self._stored = archived, stored

    def __contains__(self, content: Digest) -> bool:
        return content in self._archived or content in self._stored

    def size(self, content: Digest) -> int | None:
        """The blob's size in bytes, None where neither has it."""
        found = self._archived.get(content)
        return self._stored.size(content) if found is None else found[0]

    def read(self, content: Digest) -> bytes:
        """A JSON document, whole. Raises `ContentMissing`, and `ArchiveError` for what is too large for one."""
        found = self._archived.get(content)
        if found is None:
            return self._stored.read(content)
        size, extent = found
        if size > MAX_DOCUMENT:
            raise ArchiveError(f"a document of {size} bytes, more than {MAX_DOCUMENT}", member=content)
        return b"".join(extent)


def unwanted_layers(blobs: BlobReader, targets: Iterable[Descriptor], platforms: tuple[str, ...]) -> frozenset[Digest]:
    """The layers that only images for other platforms have.

    Raises `ArchiveError` where a document is broken, and `StoreError` for one that is gone.
    """
    wanted: set[Digest] = set()
    unwanted: set[Digest] = set()
    for target in targets:
        kept = set(standing.kept_manifests(blobs, target, platforms))
        for each in contents.manifests(blobs, target):
            layers = {layer.digest for layer in each.manifest.layers}
            if each.descriptor.digest in kept:
                wanted |= layers
            else:
                unwanted |= layers
    return frozenset(unwanted - wanted)
