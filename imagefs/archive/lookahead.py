"""What of an OCI layout need not be read, as it belongs to platforms that nobody asked for."""

from collections.abc import Iterable, Mapping

from imagefs.archive.members import clean_name, digest_in, is_litter
from imagefs.archive.source import Extent, FileReader
from imagefs.digest import Digest
from imagefs.errors import ArchiveError, StoreError
from imagefs.oci import layout
from imagefs.oci.model import MAX_DOCUMENT, Descriptor, Index, decode
from imagefs.store import contents, standing
from imagefs.store.present import BlobReader
from imagefs.streams import tar


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


def unwanted_members(source: FileReader, stored: BlobReader, platforms: tuple[str, ...]) -> frozenset[str]:
    """The names of layers that only images for other platforms have; none where that cannot be told beforehand."""
    archived: dict[Digest, tuple[int, Extent]] = {}
    index = None
    try:
        for member in tar.read_members(source):
            name = clean_name(member.name.decode("utf-8", "surrogateescape"))
            extent = source.extent(member.offset, member.stored)
            if name.startswith("blobs/") and member.type in (tar.SYMLINK, tar.HARD_LINK):
                return frozenset()
            if extent is None or member.type != tar.REGULAR or member.sparse is not None:
                continue
            if name == layout.INDEX_FILE and member.size <= MAX_DOCUMENT:
                index = decode(b"".join(extent), Index, name)
            elif name.startswith("blobs/") and not is_litter(name):
                content = digest_in(name)
                if content is not None:
                    archived[content] = member.size, extent
        targets = index.manifests if index is not None else []
        layers = unwanted_layers(ArchivedBlobs(archived, stored), targets, platforms)
    except (ArchiveError, StoreError):
        return frozenset()  # whoever reads the archive in earnest says what is wrong
    return frozenset(layout.blob_path(layer) for layer in layers)
