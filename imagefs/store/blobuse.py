"""Which blob is what, and which images need it; and taking one away, whatever becomes of them.

What an image needs is what garbage collection keeps for it.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import msgspec

from imagefs import digest
from imagefs.digest import Digest
from imagefs.errors import AmbiguousImage, ContentMissing, ImagefsError, InUse, StoreBusy
from imagefs.oci import mediatypes
from imagefs.oci.model import Index, Manifest, decode
from imagefs.store import gc, naming
from imagefs.store.blobs import BlobHash
from imagefs.store.contents import Node
from imagefs.store.leases import IMPORT, mountpoint_of
from imagefs.store.leases import live as live_leases
from imagefs.store.store import Store

_LEAST = 4
"""How many digits of a digest are enough to look for it."""


class Use(msgspec.Struct, frozen=True):
    """What a blob is by those who refer to it, None where nobody does, and the names of the images that need it."""

    media_type: str | None
    images: list[str]


def find(store: Store, text: str) -> Digest:
    """The one blob that has this digest, or a digest that begins so. Raises `ContentMissing`, `AmbiguousImage`."""
    algorithm, colon, encoded = text.rpartition(":")
    found = [
        blob
        for blob in (store.blobs if len(encoded) >= _LEAST else ())
        if digest.encoded(blob).startswith(encoded) and (not colon or digest.algorithm(blob) == algorithm)
    ]
    if not found:
        raise ContentMissing(f"{text}: the store does not have it")
    if len(found) > 1:
        raise AmbiguousImage(text, list(found))
    return found[0]


class Uses:
    """Who needs what in a store. A document that is broken needs nothing that anybody could know of.

    `broken` is what is wrong with those.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.broken: list[ImagefsError] = []
        self._references = cache(self._look_up)
        self._needed = {record.name: self.nodes(gc.roots(store, record)) for record in store.images()}

    def nodes(self, roots: Iterable[Node]) -> set[Node]:
        """All that these need."""
        return gc.mark(roots, self._references)

    def _look_up(self, node: Node) -> list[Node]:
        try:
            return gc.needs(self._store, node)
        except ImagefsError as error:
            self.broken.append(error)
            return []

    def of(self, blob: Digest) -> list[str]:
        """The names of the images that need a blob, sorted."""
        return [name for name, nodes in self._needed.items() if _is_among(blob, nodes)]

    def all(self) -> dict[Digest, Use]:
        """Every blob in the store."""
        images: dict[Digest, list[str]] = {}
        for name, nodes in self._needed.items():
            for content in {content for kind, content in nodes if kind != gc.LAYER}:
                images.setdefault(content, []).append(name)
        types = {record.target.digest: record.target.media_type for record in self._store.images()}
        for node in set().union(*self._needed.values()):
            types |= self._types(node)
        return {blob: Use(types.get(blob), images.get(blob, [])) for blob in self._store.blobs}

    def _types(self, node: Node) -> dict[Digest, str]:
        """What a document says of those that it refers to."""
        kind, content = node
        document: type[Any] | None = Manifest if kind in mediatypes.MANIFESTS else None
        document = Index if kind in mediatypes.INDEXES else document
        if document is None or content not in self._store.blobs:
            return {}
        try:
            read = decode(self._store.blobs.read(content), document, content)
        except ImagefsError:
            return {}
        described = read.manifests if isinstance(read, Index) else [read.config, *read.layers]
        return {each.digest: each.media_type for each in described}


def _is_among(blob: Digest, nodes: Iterable[Node]) -> bool:
    return any(content == blob for kind, content in nodes if kind != gc.LAYER)


def checked(store: Store, blob: Digest) -> Iterator[bytes]:
    """A blob's bytes, hashed as they go by. Raises `ContentMissing`, in the end where they are not the blob's."""
    seen = BlobHash(digest.algorithm(blob))
    for chunk in store.blobs.chunks(blob):
        seen.write(chunk)
        yield chunk
    if seen.digest != blob:
        raise ContentMissing(f"{blob}: damaged in the store, its content has the digest {seen.digest}")


def remove(store: Store, blob: Digest, *, force: bool = False) -> list[str]:
    """Take a blob away; answers the names of the images that are incomplete now and were not.

    As in garbage collection it happens inside a transaction, so an import either has it under its lease before, or
    sees that it is gone. With `force` it goes though an image needs it, a mounted one too, or an import that was
    interrupted. What a running import or export needs stays. Raises `InUse`, `StoreBusy`.
    """
    catalog = store.catalog
    with catalog.transaction(durable=True):
        uses = Uses(store)
        needing = uses.of(blob)
        _check_leases(store, uses, blob, force=force)
        if needing and not force:
            raise InUse(f"{blob}: needed by {', '.join(needing)}")
        if uses.broken and not force:
            raise InUse(f"{blob}: not known whether an image needs it: {uses.broken[0]}")
        if blob not in store.blobs:
            raise ContentMissing(f"{blob}: the store does not have it")
        store.blobs.remove(blob)
        records = [record for record in catalog.images() if record.name in needing]
        for record in records:
            naming.renew(catalog, store.blobs, record, checked=False)
        left = {record.name for record in catalog.images() if record.complete}
    return [record.name for record in records if record.complete and record.name not in left]


def _check_leases(store: Store, uses: Uses, blob: Digest, *, force: bool) -> None:
    held, live = live_leases(store.catalog, store.lease_folder)
    labels = {lease: label for lease, label, _ in store.catalog.leases()}
    for lease in sorted(live):
        nodes = uses.nodes((kind, Digest(key)) for kind, key in store.catalog.protected(lease))
        if not _is_among(blob, nodes):
            continue
        mountpoint = mountpoint_of(labels[lease])
        if mountpoint is None and lease in held:
            raise StoreBusy(f"{blob}: needed by what is running now: {labels[lease]}")
        if not force:
            what = "an import that was interrupted" if labels[lease] == IMPORT else f"the lease {lease}"
            raise InUse(f"{blob}: needed by {what if mountpoint is None else f'the mount on {mountpoint}'}")
