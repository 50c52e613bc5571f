"""What an image consists of, as far as the store has it: its manifests, configurations and layers.

Names can also stand for what is no image: manifests of other artifacts, and documents of types that nobody
here knows, such as docker's schema 1. They are kept with all that they refer to.
"""

from collections.abc import Collection
from contextlib import suppress

import msgspec

from imagefs.digest import Digest
from imagefs.errors import ArchiveError, ImagefsError, MissingContent, SizeMismatch
from imagefs.oci import mediatypes, platform
from imagefs.oci.model import (
    MAX_DOCUMENT,
    Descriptor,
    ImageConfig,
    Index,
    Manifest,
    Platform,
    decode,
    is_attestation,
    is_image,
    mentioned,
)
from imagefs.store.bounded import BoundedReading
from imagefs.store.present import BlobReader

MAX_DEPTH = 8
"""How deep indexes may lie in indexes."""

MAX_LAYERS = 256
"""How many layers an image may have: twice of what any tool that runs images takes, and what inode numbers hold."""

MAX_MANIFESTS = 10_000
"""How many manifests one image may have."""

BLOB = "blob"
"""The kind of a node whose content is not looked into."""

Node = tuple[str, Digest]
"""(kind, digest): a `BLOB`, or a document by its media type."""

_MAYBE = "maybe "
"""Before the media type of what may be no such document: an import has not checked it."""


class PresentManifest(msgspec.Struct, frozen=True):
    """One manifest of an image that the store has, with its configuration where it is an image.

    `complete` tells whether the store has its configuration and all its layers.
    """

    descriptor: Descriptor
    manifest: Manifest
    config: ImageConfig | None
    attestation: bool
    complete: bool

    @property
    def is_image(self) -> bool:
        """Whether it describes a file system, whether or not that is all here."""
        return is_image(self.manifest) and not self.attestation

    @property
    def mountable(self) -> bool:
        """Whether it is a file system that can be shown."""
        return self.config is not None and self.complete and not self.attestation

    @property
    def platform(self) -> Platform:
        """The platform: what the index says, otherwise what the configuration says."""
        stated = self.descriptor.platform
        if stated is not None and stated.architecture:
            return stated
        return self.config.platform if self.config is not None else Platform()

    @property
    def platform_text(self) -> str:
        """`os/architecture[/variant]`."""
        return platform.text(self.platform)

    @property
    def layers(self) -> list[tuple[Digest, Descriptor]]:
        """(diff ID, blob) of each layer, lowest first; empty for what is no image."""
        if self.config is None:
            return []
        return list(zip(self.config.rootfs.diff_ids, self.manifest.layers, strict=True))


def manifests(blobs: BlobReader, target: Descriptor) -> list[PresentManifest]:
    """All manifests of an image that are in the store, in the order of its indexes.

    Raises `ArchiveError` where a document is broken or indexes nest without end.
    """
    found: list[PresentManifest] = []
    _collect(BoundedReading(blobs, target.digest), target, 0, found, set())
    return found


def _collect(
    blobs: BlobReader, target: Descriptor, depth: int, found: list[PresentManifest], seen: set[Digest]
) -> None:
    if depth > MAX_DEPTH:
        raise ArchiveError(f"indexes lie more than {MAX_DEPTH} deep in each other", member=target.digest)
    if len(found) > MAX_MANIFESTS:
        raise ArchiveError(f"an image of more than {MAX_MANIFESTS} manifests", member=target.digest)
    if target.digest in seen or target.digest not in blobs:
        return
    seen.add(target.digest)
    if target.media_type in mediatypes.INDEXES:
        for child in decode(blobs.read(target.digest), Index, target.digest).manifests:
            _collect(blobs, child, depth + 1, found, seen)
    elif target.media_type in mediatypes.MANIFESTS:
        found.append(_present(blobs, target))


def _present(blobs: BlobReader, descriptor: Descriptor) -> PresentManifest:
    manifest = decode(blobs.read(descriptor.digest), Manifest, descriptor.digest)
    attestation = is_attestation(descriptor)
    config = None
    if is_image(manifest) and not attestation and manifest.config.digest in blobs:
        config = decode(blobs.read(manifest.config.digest), ImageConfig, manifest.config.digest)
        if len(config.rootfs.diff_ids) != len(manifest.layers):
            raise ArchiveError(
                f"{len(manifest.layers)} layers, but its configuration has {len(config.rootfs.diff_ids)} diff IDs",
                member=descriptor.digest,
            )
        if len(manifest.layers) > MAX_LAYERS:
            raise ArchiveError(f"{len(manifest.layers)} layers, more than {MAX_LAYERS}", member=descriptor.digest)
    complete = all(part.digest in blobs for part in (manifest.config, *manifest.layers))
    return PresentManifest(descriptor, manifest, config, attestation, complete)


def slots(present: list[PresentManifest]) -> list[tuple[str, Digest]]:
    """The (platform, manifest) bindings that a name of this image gets: one a platform, the first wins."""
    by_platform: dict[str, Digest] = {}
    for each in present:
        if each.mountable:
            by_platform.setdefault(each.platform_text, each.descriptor.digest)
    return list(by_platform.items())


def parts(blobs: BlobReader, whole: Node, *, subjects: bool = False) -> list[Node]:
    """What a node is made of: an index's entries, a manifest's configuration and layers.

    Of a document of an unknown type, all that it seems to refer to. With `subjects`, also the image that a
    signature or an attestation is about. Raises `ArchiveError` where an index or a manifest is broken, but not
    where nobody but such a document said that it is one.
    """
    kind, content = whole
    if kind.startswith(_MAYBE):
        with suppress(ImagefsError):
            return [_maybe(part) for part in parts(blobs, (kind.removeprefix(_MAYBE), content), subjects=subjects)]
        return []
    size = blobs.size(content)
    if kind == BLOB or size is None:
        return []
    if kind in mediatypes.MANIFESTS:
        manifest = decode(blobs.read(content), Manifest, content)
        found = [(BLOB, part.digest) for part in (manifest.config, *manifest.layers)]
        if subjects and manifest.subject is not None:
            found.append(_maybe(node(manifest.subject)))
        return found
    if kind in mediatypes.INDEXES:
        return [node(child) for child in decode(blobs.read(content), Index, content).manifests]
    if size > MAX_DOCUMENT:
        return []
    found = [node(child) for child in mentioned(blobs.read(content))]
    known = mediatypes.INDEXES | mediatypes.MANIFESTS
    return [_maybe(part) if part[0] in known else (BLOB, part[1]) for part in found]


def node(descriptor: Descriptor) -> Node:
    """A descriptor as a node. Layers are no documents; buildkit's caches are indexes of them."""
    kind = descriptor.media_type
    is_document = mediatypes.is_valid(kind) and not mediatypes.is_layer(kind)
    return (kind if is_document else BLOB, descriptor.digest)


def _maybe(part: Node) -> Node:
    kind, content = part
    return part if kind == BLOB or kind.startswith(_MAYBE) else (_MAYBE + kind, content)


def closure(blobs: BlobReader, target: Descriptor) -> set[Digest]:
    """All blobs in the store that a descriptor leads to, its own included. Raises `ArchiveError`."""
    seen: set[Node] = set()
    waiting = [node(target)]
    while waiting:
        part = waiting.pop()
        if part not in seen and part[1] in blobs:
            seen.add(part)
            waiting += parts(blobs, part)
    return {content for _, content in seen}


def check(
    blobs: BlobReader, target: Descriptor, *, kept: Collection[Digest] | None = None, skip_missing: bool = False
) -> None:
    """Check that all content below a descriptor is there, and as large as it says.

    An index may lack manifests, and a manifest foreign layers; with `skip_missing`, anything may be absent. Of an
    index only the `kept` manifests are looked at, None for all. Raises `MissingContent`, `SizeMismatch` and other
    `ArchiveError`s.
    """
    _Check(BoundedReading(blobs, target.digest), kept, skip_missing).descend(target, 0)
    if not skip_missing and target.media_type in mediatypes.INDEXES:
        children = decode(blobs.read(target.digest), Index, target.digest).manifests
        if children and not any(child.digest in blobs for child in children):
            raise MissingContent("no manifest of it is in the archive", member=target.digest)


class _Check:
    """One walk over what an image consists of."""

    def __init__(self, blobs: BlobReader, kept: Collection[Digest] | None, skip_missing: bool) -> None:
        self._blobs, self._kept, self._skip_missing = blobs, kept, skip_missing
        self._seen: set[Digest] = set()

    def descend(self, target: Descriptor, depth: int) -> None:
        """Check a descriptor and what it leads to."""
        if target.digest in self._seen:
            return
        self._seen.add(target.digest)
        if depth > MAX_DEPTH:
            raise ArchiveError(f"indexes lie more than {MAX_DEPTH} deep in each other", member=target.digest)
        size = self._blobs.size(target.digest)
        if size is None and self._skip_missing:
            return
        if size is None:
            raise MissingContent("neither the archive nor the store has it", member=target.digest)
        if size != target.size:
            raise SizeMismatch(target.size, size, member=target.digest)
        if target.media_type in mediatypes.INDEXES:
            for child in decode(self._blobs.read(target.digest), Index, target.digest).manifests:
                if child.digest in self._blobs and self._is_kept(child):  # other platforms may be elsewhere
                    self.descend(child, depth + 1)
        elif target.media_type in mediatypes.MANIFESTS:
            manifest = _present(self._blobs, target).manifest
            for part in (manifest.config, *manifest.layers):
                if not (mediatypes.is_foreign(part.media_type) and part.digest not in self._blobs):
                    self.descend(part, depth + 1)

    def _is_kept(self, child: Descriptor) -> bool:
        return self._kept is None or child.media_type not in mediatypes.MANIFESTS or child.digest in self._kept
