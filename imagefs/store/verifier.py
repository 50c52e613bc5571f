"""Proving that an image which arrived is what it says: its content is there, its layers are those of its diff IDs."""

from collections.abc import Mapping
from contextlib import suppress

from imagefs import digest
from imagefs.digest import Digest
from imagefs.errors import DigestMismatch, ImagefsError, LayerError, MissingContent
from imagefs.limits import Limits
from imagefs.oci import mediatypes, platform
from imagefs.oci.model import Descriptor, Platform
from imagefs.store import contents, naming, standing
from imagefs.store.catalog import ImageRecord
from imagefs.store.contents import Node, PresentManifest
from imagefs.store.leases import Lease
from imagefs.store.present import BlobReader
from imagefs.store.store import Store, TemporaryNames
from imagefs.store.unpacked import unpack


class Verifier:
    """The checks of one ingest, with its lease.

    `documents` reads the store's, `failures` says of blobs that look like layers and are none what is wrong with them;
    what is unpacked here is added to `brought`. For the rest see `Ingest`.
    """

    def __init__(
        self,
        store: Store,
        documents: BlobReader,
        lease: Lease,
        temporary: TemporaryNames,
        failures: Mapping[Digest, ImagefsError],
        brought: set[Node],
        limits: Limits,
        *,
        unpacking: bool,
        platforms: tuple[str, ...] | None,
        skip_missing: bool,
    ) -> None:
        self._store, self._documents, self._lease, self._temporary = store, documents, lease, temporary
        self._failures, self._brought, self._limits = failures, brought, limits
        self._unpacking, self._platforms, self._skip_missing = unpacking, platforms, skip_missing
        self._verified: set[tuple[Digest, tuple[str, ...] | None]] = set()

    def has_verified(self, record: ImageRecord) -> bool:
        """Whether an image was checked, for all platforms that it is kept for."""
        return (record.target.digest, record.platforms) in self._verified

    def verify(self, name: str, target: Descriptor) -> None:
        """Check an image, once; unpack what was not yet. Raises `ArchiveError`."""
        if (target.digest, self._platforms) not in self._verified:
            # First the lease, then the look: what was in the store before may be about to be collected.
            self._lease.protect(target.media_type, target.digest)
            self._verify(name, target, self._platforms, skip_missing=self._skip_missing)
            self._verified.add((target.digest, self._platforms))

    def verify_again(self, record: ImageRecord) -> None:
        """Look at an image that may have more now. What is wrong with it is no fault of what arrives now."""
        if self.has_verified(record):
            return
        with suppress(ImagefsError):
            if not naming.is_on_record(self._store.catalog, self._store.blobs, record):
                self._lease.protect(record.target.media_type, record.target.digest)
                self._verify(record.name, record.target, record.platforms, skip_missing=True)
                self._verified.add((record.target.digest, record.platforms))

    def _verify(self, name: str, target: Descriptor, platforms: tuple[str, ...] | None, *, skip_missing: bool) -> None:
        blobs, limits = self._documents, self._limits
        kept = present = None
        if platforms is not None:
            present = contents.manifests(blobs, target)
            images = [each for each in present if each.is_image]
            if not standing.matching(present, platforms) and not skip_missing and (images or not present):
                listed = [leaf.platform for leaf in standing.leaves(blobs, target) if leaf.platform is not None]
                raise MissingContent(_lacks(platforms, images, listed), member=name)
            if target.media_type in mediatypes.INDEXES:
                kept = frozenset(each.descriptor.digest for each in standing.kept_of(present, platforms))
        contents.check(blobs, target, kept=kept, skip_missing=skip_missing)
        if present is None:
            present = contents.manifests(blobs, target)
        limits.check("manifests", len(present), "manifests", member=name)
        for each in present:
            layers = each.manifest.layers
            limits.check("layers", len(layers), "layers", member=each.descriptor.digest)
            if each.config is not None and (kept is None or each.descriptor.digest in kept):
                for diff_id, layer in each.layers:
                    if layer.digest in blobs:
                        self._verify_layer(diff_id, layer)

    def _verify_layer(self, diff_id: Digest, layer: Descriptor) -> None:
        failure = self._failures.get(layer.digest)
        if failure is not None:
            raise LayerError(str(failure), member=layer.digest)
        store = self._store
        if not self._unpacking:
            store.catalog.add_layer(diff_id)
            return
        known = store.catalog.diff_id_of(layer.digest)
        if known is not None and known != diff_id:
            raise DigestMismatch(diff_id, known, what="diff ID", member=layer.digest)
        self._lease.protect("layer", diff_id)
        if not store.layers.serves(diff_id, layer.digest):
            if diff_id not in store.layers:
                self._brought.add(("layer", diff_id))
            store.unpack_blob(layer.digest, diff_id, self._limits)
        elif known is None and layer.digest != diff_id:
            self._verify_diff_id(diff_id, layer)
        elif known is None:
            # Whoever unpacked it died before that was on record.
            index = store.layers.index(diff_id)
            store.catalog.set_unpacked(diff_id, diff_id, index.totals)
            index.close()

    def _verify_diff_id(self, diff_id: Digest, layer: Descriptor) -> None:
        """The layer is there, unpacked from another blob; this blob has to prove that it is the same."""
        blobs = self._store.blobs
        known = self._store.catalog.layer_totals(diff_id)
        limits = self._limits if known is None else self._limits.for_known(known.size, known.nodes)
        algorithm = digest.algorithm(layer.digest)
        unpacked = unpack(blobs.chunks(layer.digest), self._temporary(), algorithm, limits=limits)
        unpacked.discard()
        if unpacked.diff_id != diff_id:
            raise DigestMismatch(diff_id, str(unpacked.diff_id), what="diff ID", member=layer.digest)
        self._store.catalog.set_unpacked(layer.digest, diff_id, unpacked.totals)


def _lacks(wanted: tuple[str, ...], present: list[PresentManifest], listed: list[Platform]) -> str:
    """Why there is nothing for some platforms: they are listed and absent, or they are others."""
    parsed = [platform.parse(each) for each in wanted]
    asked = ", ".join(map(platform.text, parsed))
    there = ", ".join(dict.fromkeys(each.platform_text for each in present))
    if platform.choose(parsed, listed):
        return f"what it lists for {asked} is not in the archive"
    return f"it is not for {asked}, only for {there}" if there else f"nothing of it for {asked} is in the archive"
