"""What an image consists of, as far as the store has it: its manifests, configurations and layers."""

import msgspec

from imagefs.digest import Digest
from imagefs.errors import ArchiveError
from imagefs.oci import mediatypes, platform
from imagefs.oci.model import (
    Descriptor,
    ImageConfig,
    Index,
    Manifest,
    Platform,
    decode,
    is_attestation,
    is_image,
)
from imagefs.store.blobs import Blobs

MAX_DEPTH = 8
"""How deep indexes may lie in indexes."""

MAX_MANIFESTS = 10_000
"""How many manifests one image may have."""


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


def manifests(blobs: Blobs, target: Descriptor) -> list[PresentManifest]:
    """All manifests of an image that are in the store, in the order of its indexes.

    Raises `ArchiveError` where a document is broken or indexes nest without end.
    """
    found: list[PresentManifest] = []
    _collect(blobs, target, 0, found, set())
    return found


def _collect(blobs: Blobs, target: Descriptor, depth: int, found: list[PresentManifest], seen: set[Digest]) -> None:
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


def _present(blobs: Blobs, descriptor: Descriptor) -> PresentManifest:
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
    complete = all(part.digest in blobs for part in (manifest.config, *manifest.layers))
    return PresentManifest(descriptor, manifest, config, attestation, complete)


def slots(present: list[PresentManifest]) -> list[tuple[str, Digest]]:
    """The (platform, manifest) bindings that a name of this image gets: one a platform, the first wins."""
    by_platform: dict[str, Digest] = {}
    for each in present:
        if each.mountable:
            by_platform.setdefault(each.platform_text, each.descriptor.digest)
    return list(by_platform.items())
