"""A look into a store."""

from imagefs import Store
from support.command import Imagefs


def digests(imagefs: Imagefs) -> dict[str, str]:
    """The names in the store and the digests that they stand for."""
    with Store(imagefs.store) as store:
        return {record.name: record.target.digest for record in store.images()}


def platforms(imagefs: Imagefs, name: str) -> list[str]:
    """The platforms of an image that a mount shows; its name in full."""
    with Store(imagefs.store) as store:
        return [slot.platform for slot in store.catalog.slots(name)]


def everything(imagefs: Imagefs) -> set[str]:
    """All that an import that fails must leave as it was: names, blobs and layers."""
    with Store(imagefs.store) as store:
        return {*(record.name for record in store.images()), *store.blobs, *store.layers}
