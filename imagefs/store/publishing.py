"""Giving names to images that arrived: all or none, after proving that each of them is what it says."""

from collections.abc import Mapping, Sequence

from imagefs.oci.model import Descriptor
from imagefs.store import naming
from imagefs.store.catalog import ImageRecord
from imagefs.store.store import Store
from imagefs.store.verifier import Verifier


def publish(
    store: Store,
    named: Sequence[tuple[str, Descriptor]],
    verifier: Verifier,
    *,
    platforms: tuple[str, ...] | None,
    labels: Mapping[str, str] | None,
) -> list[ImageRecord]:
    """Give names to images, and look again at all that stand otherwise now.

    The arguments are those of `Ingest.publish` and `Ingest`. Raises `ArchiveError`; then no name is given at all.
    """
    catalog = store.catalog
    for name, target in named:
        verifier.verify(name, target)
    targets = {target.digest for _, target in named}
    for record in catalog.images():  # what lacked something, and other names of the same images
        if not record.complete or record.target.digest in targets:
            verifier.verify_again(record)
    names = {name for name, _ in named}
    store.blobs.sync()
    with catalog.transaction(durable=True):
        for record in catalog.images():
            if record.name not in names and verifier.has_verified(record):
                naming.renew(catalog, store.blobs, record, checked=True)
        return [
            naming.give(catalog, store.blobs, name, target, action="load", platforms=platforms, labels=labels)
            for name, target in named
        ]
