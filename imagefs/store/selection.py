"""What of an image can be taken out of the store: all of it, or the platforms that are complete.

Mounts and exports show the same selection, so that both give equal archives. What is no image, but an artifact
or a document of an unknown type, goes out as it is.
"""

from typing import Any

import msgspec

from imagefs import digest
from imagefs.digest import Digest
from imagefs.oci import mediatypes, platform
from imagefs.oci.layout import LayoutImage
from imagefs.oci.model import Descriptor, Index, decode, encode
from imagefs.store.contents import MAX_DEPTH, PresentManifest, closure, manifests
from imagefs.store.present import BlobReader


class Selection(msgspec.Struct, frozen=True):
    """The part of an image that is complete.

    `target` is the image's own descriptor where nothing is missing, else that of a reduced index or of the one
    manifest that is left. `documents` are the indexes that had to be made for it, `blobs` what the store has of it.
    """

    target: Descriptor
    documents: dict[Digest, bytes]
    blobs: frozenset[Digest]
    manifests: list[PresentManifest]

    @property
    def main(self) -> PresentManifest | None:
        """The manifest that docker's `manifest.json` can show: the host's platform, or the first."""
        images = [each for each in self.manifests if each.mountable]
        return images[platform.preferred([each.platform for each in images])] if images else None

    def named(self, name: str) -> LayoutImage:
        """The selection as an entry of a layout."""
        main = self.main
        if main is None:
            return LayoutImage(name, self.target)
        layers = tuple(layer.digest for layer in main.manifest.layers)
        return LayoutImage(name, self.target, main.manifest.config.digest, layers)


def select(blobs: BlobReader, target: Descriptor) -> Selection | None:
    """The complete part of an image; None where no platform is complete. Raises `ArchiveError`."""
    everything = manifests(blobs, target)
    present = [each for each in everything if each.complete]
    # Signatures alone do not stand for an image whose platforms are elsewhere, nor attestations for anything.
    wanted = [each for each in everything if each.is_image] or [each for each in everything if not each.attestation]
    if everything and not any(each.complete for each in wanted):
        return None
    by_digest = {each.descriptor.digest: each for each in present}
    documents: dict[Digest, bytes] = {}
    stored: set[Digest] = set()
    reduced = _reduce(blobs, target, by_digest, documents, stored, 0)
    if reduced is None:
        return None
    return Selection(reduced, documents, frozenset(stored), present)


def _reduce(
    blobs: BlobReader,
    target: Descriptor,
    complete: dict[Digest, PresentManifest],
    documents: dict[Digest, bytes],
    stored: set[Digest],
    depth: int,
) -> Descriptor | None:
    if target.media_type in mediatypes.MANIFESTS:
        each = complete.get(target.digest)
        if each is None:
            return None
        stored |= {
            target.digest,
            each.manifest.config.digest,
            *(layer.digest for layer in each.manifest.layers),
        }
        return target
    if target.digest not in blobs or depth > MAX_DEPTH:
        return None
    if target.media_type not in mediatypes.INDEXES:
        stored |= closure(blobs, target)
        return target
    data = blobs.read(target.digest)
    children = decode(data, Index, target.digest).manifests
    reduced = [_reduce(blobs, child, complete, documents, stored, depth + 1) for child in children]
    if reduced == children:
        stored.add(target.digest)
        return target
    left = [child for child in reduced if child is not None]
    if len(left) <= 1:
        return left[0] if left else None
    raw: dict[str, Any] = msgspec.json.decode(data)
    raw["manifests"] = [
        {**entry, "mediaType": child.media_type, "digest": child.digest, "size": child.size}
        for entry, child in zip(raw["manifests"], reduced, strict=True)
        if child is not None
    ]
    document = encode(raw)
    content = digest.of_bytes(document)
    documents[content] = document
    return Descriptor(media_type=target.media_type, digest=content, size=len(document))
