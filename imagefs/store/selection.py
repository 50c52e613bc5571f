"""What of an image can be taken out of the store: all of it, or the platforms that are complete.

Mounts and exports show the same selection, so that both give equal archives. What is no image, but an artifact
or a document of an unknown type, goes out as it is. Nothing here depends on the machine.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from imagefs import digest
from imagefs.digest import Digest
from imagefs.oci import mediatypes
from imagefs.oci.layout import LayoutImage
from imagefs.oci.model import Descriptor, Index, decode, encode, is_attestation
from imagefs.store.contents import MAX_DEPTH, PresentManifest, closure, manifests
from imagefs.store.present import BlobReader
from imagefs.store.standing import goes_with, kept_of, leaves, matching


class Selection(msgspec.Struct, frozen=True):
    """A part of an image.

    `target` is the image's own descriptor where the part is all of it, else that of a reduced index or of the one
    manifest that is left. `documents` are the indexes that had to be made for it, `blobs` what it takes from the
    store. `manifests` are those in it that are complete, and `main` the one that docker's `manifest.json` can show.
    """

    target: Descriptor
    documents: dict[Digest, bytes]
    blobs: frozenset[Digest]
    manifests: list[PresentManifest]
    main: PresentManifest | None = None

    def named(self, name: str) -> LayoutImage:
        """The selection as an entry of a layout; for docker only if all but foreign layers are in it."""
        main = self.main
        if main is None:
            return LayoutImage(name, self.target)
        layers = tuple(layer.digest for layer in main.manifest.layers)
        if self.blobs.issuperset((main.manifest.config.digest, *layers)):  # a mount asks this of thousands
            return LayoutImage(name, self.target, main.manifest.config.digest, layers)
        if self.blobs.issuperset(_needed(main, foreign=False)):
            return LayoutImage(name, self.target, main.manifest.config.digest, layers, self.elsewhere)
        return LayoutImage(name, self.target)

    @property
    def elsewhere(self) -> dict[Digest, Descriptor]:
        """The foreign layers of `main` that are left out, by diff ID."""
        layers = [] if self.main is None else self.main.layers
        return {
            diff_id: layer
            for diff_id, layer in layers
            if mediatypes.is_foreign(layer.media_type) and layer.digest not in self.blobs
        }


def select(blobs: BlobReader, target: Descriptor, platforms: Sequence[str] | None = None) -> Selection | None:
    """The complete part of an image that is kept for some platforms, or all; None where none is complete.

    Raises `ArchiveError`.
    """
    return complete_part(blobs, target, offered(blobs, target, platforms))


def offered(
    blobs: BlobReader, target: Descriptor, platforms: Sequence[str] | None = None, *, foreign: bool = True
) -> list[PresentManifest]:
    """The manifests in the store of an image that is kept for some platforms, or all, in the order of its indexes.

    Without `foreign`, one is complete that lacks nothing but foreign layers. Raises `ArchiveError`.
    """
    present = manifests(blobs, target)
    if not foreign:
        present = [
            msgspec.structs.replace(each, complete=all(part in blobs for part in _needed(each, foreign=False)))
            for each in present
        ]
    if platforms is not None and target.media_type in mediatypes.INDEXES:
        return kept_of(present, platforms)
    return present


def complete_part(
    blobs: BlobReader,
    target: Descriptor,
    present: Sequence[PresentManifest],
    *,
    preferred: Sequence[str] = (),
    foreign: bool = True,
) -> Selection | None:
    """What is complete of those manifests of an image that are `present`; None where no platform is.

    Without `foreign`, foreign layers are left out. Of `main` see `_main`. Raises `ArchiveError`.
    """
    complete = [each for each in present if each.complete]
    # Artifacts do not stand for an image whose platforms are elsewhere, nor attestations for anything.
    wanted = [each for each in present if each.is_image] or [each for each in present if not each.attestation]
    if present and not any(each.complete for each in wanted):
        return None
    taking = _Taking(blobs, complete, foreign=foreign)
    taken = taking.take(target)
    if taken != target:  # something is missing, and what is about that goes with it
        images = {each.descriptor.digest for each in complete if each.is_image}
        if not images and _lists_images(blobs, target, complete):
            return None
        complete = [each for each in complete if each.is_image or goes_with(each, images)]
        taking = _Taking(blobs, complete, foreign=foreign)
        taken = taking.take(target)
    if taken is None:
        return None
    return Selection(taken, taking.documents, frozenset(taking.stored), complete, _main(complete, preferred))


def present_part(
    blobs: BlobReader,
    target: Descriptor,
    present: Sequence[PresentManifest],
    *,
    preferred: Sequence[str] = (),
    foreign: bool = True,
) -> Selection:
    """An image as it is, with whatever there is of those manifests of it that are `present`.

    Also of a manifest that lacks something, the rest is taken: it need not be brought again. The other arguments are
    those of `complete_part`. Raises `ArchiveError`.
    """
    taking = _Taking(blobs, present, foreign=foreign, partial=True)
    taking.take(target)
    complete = [each for each in present if each.complete]
    return Selection(target, {}, frozenset(taking.stored), complete, _main(complete, preferred))


def _lists_images(blobs: BlobReader, target: Descriptor, complete: Sequence[PresentManifest]) -> bool:
    """Whether an index is for platforms that are not complete."""
    known = {each.descriptor.digest for each in complete}
    return any(
        leaf.platform is not None and leaf.digest not in known and not is_attestation(leaf)
        for leaf in leaves(blobs, target)
    )


def _main(complete: Sequence[PresentManifest], preferred: Sequence[str]) -> PresentManifest | None:
    """The image for the first of the preferred platforms, else the first in the index."""
    images = [each for each in complete if each.mountable]
    for wanted in preferred:
        for each in matching(images, [wanted]):
            return each
    return images[0] if images else None


def _needed(manifest: PresentManifest, *, foreign: bool) -> list[Digest]:
    """A manifest's configuration and layers, with the foreign ones or without."""
    parts = (manifest.manifest.config, *manifest.manifest.layers)
    return [part.digest for part in parts if foreign or not mediatypes.is_foreign(part.media_type)]


class _Taking:
    """One walk over an image: what has to be made for it, and what is taken of the store.

    Of an index, the given manifests are taken. What else it lists is left out of it; with `partial` it is not
    reduced, and any content may be absent.
    """

    def __init__(
        self, blobs: BlobReader, given: Sequence[PresentManifest], *, foreign: bool, partial: bool = False
    ) -> None:
        self._blobs, self._foreign, self._partial = blobs, foreign, partial
        self._given = {each.descriptor.digest: each for each in given}
        self.documents: dict[Digest, bytes] = {}
        self.stored: set[Digest] = set()

    def take(self, target: Descriptor, depth: int = 0) -> Descriptor | None:
        """Take what is below a descriptor, and answer what stands in its place, None where nothing does."""
        if target.media_type in mediatypes.MANIFESTS:
            taken = self._take_manifest(target)
        elif target.digest not in self._blobs or depth > MAX_DEPTH:
            taken = None
        elif target.media_type in mediatypes.INDEXES:
            taken = self._take_index(target, depth)
        else:
            self.stored |= closure(self._blobs, target)
            taken = target
        return target if self._partial else taken

    def _take_manifest(self, target: Descriptor) -> Descriptor | None:
        each = self._given.get(target.digest)
        if each is None:
            return None
        needed = _needed(each, foreign=self._foreign)
        self.stored.add(target.digest)
        self.stored.update(part for part in needed if not self._partial or part in self._blobs)
        return target

    def _take_index(self, target: Descriptor, depth: int) -> Descriptor | None:
        data = self._blobs.read(target.digest)
        children = decode(data, Index, target.digest).manifests
        taken = [self.take(child, depth + 1) for child in children]
        if taken == children:
            self.stored.add(target.digest)
            return target
        left = [child for child in taken if child is not None]
        if len(left) <= 1:
            return left[0] if left else None
        raw: dict[str, Any] = msgspec.json.decode(data)
        raw["manifests"] = [
            {**entry, "mediaType": child.media_type, "digest": child.digest, "size": child.size}
            for entry, child in zip(raw["manifests"], taken, strict=True)
            if child is not None
        ]
        document = encode(raw)
        content = digest.of_bytes(document)
        self.documents[content] = document
        return Descriptor(media_type=target.media_type, digest=content, size=len(document))
