"""Leases that users see, give and take: `imagefs leases`."""

import secrets
import time
from collections.abc import Mapping, Sequence

import msgspec

from imagefs.digest import Digest
from imagefs.errors import ImageNotFound, InUse, StoreError
from imagefs.store import blobuse, gc
from imagefs.store.blobuse import Uses
from imagefs.store.contents import BLOB, Node
from imagefs.store.leases import LeaseStanding, standings, sweep
from imagefs.store.store import Store


class Protected(msgspec.Struct, frozen=True):
    """Something that a lease keeps, and the names of the images that it is; kind and digest are as in `gc.Node`."""

    kind: str
    digest: Digest
    images: Sequence[str]


def grants(store: Store) -> list[tuple[LeaseStanding, list[Protected]]]:
    """Every lease on record, with what it protects."""
    names: dict[str, list[str]] = {}
    for record in store.images():
        names.setdefault(record.target.digest, []).append(record.name)
    return [(lease, _protected(store, lease, names)) for lease in standings(store.catalog, store.lease_folder)]


def _protected(store: Store, lease: LeaseStanding, names: Mapping[str, list[str]]) -> list[Protected]:
    return [Protected(kind, Digest(key), names.get(key, [])) for kind, key in store.catalog.protected(lease.id)]


def grant(store: Store, texts: Sequence[str], label: str, lifetime: float) -> str:
    """Give a timed lease on images and blobs, all or none, for `lifetime` seconds; answers its ID.

    Raises `ImageNotFound`, `ContentMissing`, `AmbiguousImage`, `StoreError`.
    """
    catalog = store.catalog
    # To find them and to protect them is one transaction, which no collection can come between.
    with catalog.transaction(durable=True):
        nodes = [node for text in texts for node in _nodes(store, text)]
        lease = secrets.token_hex(8)
        catalog.add_lease(lease, label, time.time() + lifetime)
        catalog.protect_all(lease, nodes)
    return lease


def _nodes(store: Store, text: str) -> list[Node]:
    """What a user means: an image, of an index what is kept, or else a blob, of a manifest all that it needs."""
    try:
        record = store.find_image(text)
    except ImageNotFound:
        try:
            blob = blobuse.find(store, text)
        except StoreError:
            blob = None
        if blob is None:
            raise
        return [(Uses(store).all()[blob].media_type or BLOB, blob)]
    return gc.roots(store, record)


def end(store: Store, lease: str, *, force: bool = False) -> None:
    """End a lease. Raises `StoreError` where there is none, and, without `force`, `InUse` for one that is held."""
    with store.catalog.transaction(durable=True):
        found = standings(store.catalog, store.lease_folder)
        ended = next((each for each in found if each.id == lease), None)
        if ended is None:
            raise StoreError(f"{lease}: no such lease")
        if ended.state == "held" and not force:
            raise InUse(f"{lease}: held by a process that lives, {ended.label}; --force ends it all the same")
        gc.end(store.catalog, ended, silent=any(each.label == ended.label for each in found if each is not ended))
    sweep(store.lease_folder)
