"""How an image stands in a store: how much of it is there, and which of its platforms are to be kept.

An index may be kept for some platforms only. It stays as it is, byte for byte, and its other manifests count as
absent: nobody misses them, and garbage collection takes them.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from imagefs.digest import Digest
from imagefs.oci import mediatypes, platform
from imagefs.oci.model import Descriptor, Index, Manifest, decode
from imagefs.store import contents
from imagefs.store.contents import BLOB, MAX_DEPTH, Node, PresentManifest
from imagefs.store.present import BlobReader

_SUBJECT = "vnd.docker.reference.digest"
"""Buildkit's annotation of an attestation: the digest of the manifest that it is about."""


class Tally(msgspec.Struct, frozen=True):
    """How many of the blobs that an image needs the store has."""

    present: int
    needed: int

    @property
    def complete(self) -> bool:
        """Whether all are there."""
        return self.present == self.needed

    def __str__(self) -> str:
        return "complete" if self.complete else f"incomplete, {self.present} of {self.needed}"


def tally(blobs: BlobReader, target: Descriptor, platforms: Sequence[str] | None = None) -> Tally:
    """Count the blobs that an image needs, see `needed`. Raises `ArchiveError`."""
    sizes = needed(blobs, target, platforms)
    return Tally(len(there(blobs, sizes)), len(sizes))


def there(blobs: BlobReader, sizes: Mapping[Digest, int | None]) -> list[Digest]:
    """Of some blobs those that the store has, as large as is said: one of another size is not what is meant."""
    found = {content: blobs.size(content) for content in sizes}
    return [content for content, size in found.items() if size is not None and sizes[content] in (None, size)]


def needed(blobs: BlobReader, target: Descriptor, platforms: Sequence[str] | None = None) -> dict[Digest, int | None]:
    """The blobs that an image needs: of an index, those of each manifest that is here and to be kept.

    Manifests that are elsewhere count where no other is here, as there is no image without one. With each comes its
    size in bytes, None where nothing says it. Raises `ArchiveError`.
    """
    indexes = {target.digest}
    manifests = [child for child in _leaves(blobs, target, 0, indexes, set()) if child.digest != target.digest]
    kept = set(kept_manifests(blobs, target, platforms)) if platforms is not None else None
    here = [child for child in manifests if child.digest in blobs and (kept is None or child.digest in kept)]
    sizes = {index: blobs.size(index) for index in indexes}
    sizes |= {child.digest: child.size for child in (target, *(here or manifests))}
    for document in (target, *here):
        if document.media_type in mediatypes.MANIFESTS and document.digest in blobs:
            manifest = decode(blobs.read(document.digest), Manifest, document.digest)
            sizes |= {part.digest: part.size for part in (manifest.config, *manifest.layers)}
        elif document.media_type not in mediatypes.INDEXES:
            found = contents.parts(blobs, contents.node(document))
            sizes |= {content: blobs.size(content) for _, content in found if content not in sizes}
    return sizes


def kept(blobs: BlobReader, target: Descriptor, platforms: Sequence[str] | None) -> list[PresentManifest]:
    """The manifests of an image that are here and are to be kept for some platforms, or all.

    They are in the order of its indexes; of what is no index, all is kept. Raises `ArchiveError`.
    """
    present = contents.manifests(blobs, target)
    return present if platforms is None or target.media_type not in mediatypes.INDEXES else kept_of(present, platforms)


def kept_manifests(blobs: BlobReader, target: Descriptor, platforms: Sequence[str]) -> list[Digest]:
    """The digests of the manifests of an index that are here and are to be kept for some platforms, in its order.

    See `kept_of`. Raises `ArchiveError`.
    """
    return [each.descriptor.digest for each in kept_of(contents.manifests(blobs, target), platforms)]


def kept_of(present: Sequence[PresentManifest], platforms: Sequence[str]) -> list[PresentManifest]:
    """Of an index's manifests those to be kept for some platforms.

    Of each platform the best match, whole ones before others; with them the attestations about them, and what is
    for no platform, as it is no image.
    """
    chosen = {each.descriptor.digest for each in matching(present, platforms)}
    return [each for each in present if each.descriptor.digest in chosen or goes_with(each, chosen)]


def matching(present: Sequence[PresentManifest], platforms: Sequence[str]) -> list[PresentManifest]:
    """The manifests of images that serve some platforms: the best match of each, whole ones before others."""
    wanted = [platform.parse(each) for each in platforms]
    images = [each for each in present if each.is_image]
    found: set[Digest] = set()
    for each in wanted:
        for candidates in ([image for image in images if image.complete], images):
            positions = platform.choose([each], [image.platform for image in candidates])
            if positions:
                found.update(candidates[position].descriptor.digest for position in positions)
                break
    return [each for each in images if each.descriptor.digest in found]


def goes_with(manifest: PresentManifest, chosen: Collection[Digest]) -> bool:
    """Whether a manifest is no image, and about none but one of the chosen ones."""
    if manifest.is_image:
        return False
    subject = (manifest.descriptor.annotations or {}).get(_SUBJECT)
    return subject is None or subject in chosen


def roots(blobs: BlobReader, target: Descriptor, platforms: Sequence[str] | None) -> list[Node]:
    """What keeps an image from garbage collection: for all platforms its target, else just what is to be kept.

    Raises `ArchiveError`.
    """
    if platforms is None or target.media_type not in mediatypes.INDEXES:
        return [contents.node(target)]
    indexes: set[Digest] = {target.digest}
    kept = set(kept_manifests(blobs, target, platforms))
    found = []
    for child in _leaves(blobs, target, 0, indexes, set()):
        if child.media_type not in mediatypes.MANIFESTS or child.digest in kept:
            found.append(contents.node(child))
    return [*((BLOB, index) for index in sorted(indexes)), *found]


def leaves(blobs: BlobReader, target: Descriptor) -> list[Descriptor]:
    """What an image's indexes list, present or not, that is no index which is here. Raises `ArchiveError`."""
    return list(_leaves(blobs, target, 0, set(), set()))


def _leaves(
    blobs: BlobReader, target: Descriptor, depth: int, indexes: set[Digest], seen: set[Digest]
) -> Iterator[Descriptor]:
    """What an index leads to that is no index which is here; those are added to `indexes`."""
    if target.digest in seen or depth > MAX_DEPTH:
        return
    seen.add(target.digest)
    if target.media_type in mediatypes.INDEXES and target.digest in blobs:
        indexes.add(target.digest)
        for child in decode(blobs.read(target.digest), Index, target.digest).manifests:
            yield from _leaves(blobs, child, depth + 1, indexes, seen)
    else:
        yield target
