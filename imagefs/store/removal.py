"""Removing images: by a name, by a digest, or all that nobody uses. Their content stays for garbage collection.

Choosing images and removing them belongs inside one `transaction` of the catalogue.
"""

from collections.abc import Iterable

import msgspec

from imagefs.digest import Digest
from imagefs.errors import ImageNotFound, InUse
from imagefs.oci import reference
from imagefs.store import naming
from imagefs.store.catalog import ImageRecord
from imagefs.store.status import mountpoints
from imagefs.store.store import Store


class Removed(msgspec.Struct, frozen=True):
    """What was removed, or would be: names, and the images that have none any more."""

    untagged: list[str]
    deleted: list[Digest]


def find(store: Store, text: str, *, force: bool = False) -> list[ImageRecord]:
    """What goes when a user asks for `text` to be removed: the one name that it means, or all of what has the digest.

    `oci.reference.find` says which it is. Without `force`, a digest must not have names in several repositories.
    Raises `InUse`, `ImageNotFound`, `AmbiguousImage`.
    """
    record = store.find_image(text)
    if not record.dangling and _is_a_name(store, text):
        return [record]
    records = [each for each in store.images() if each.target.digest == record.target.digest]
    names = [each.name for each in records if not each.dangling]
    if not force and len({reference.repository(name) for name in names}) > 1:
        raise InUse(f"{text}: has names in several repositories, {', '.join(names)}; --force removes all of them")
    return records


def _is_a_name(store: Store, text: str) -> bool:
    """Whether a name is meant by it, and no digest."""
    try:
        reference.find(text, {record.name: "" for record in store.images() if not record.dangling})
    except ImageNotFound:
        return False
    return True


def unused(store: Store, *, named: bool = False) -> list[ImageRecord]:
    """The dangling images and, where `named` ones are asked for too, those that no mount in this store uses."""
    used = mountpoints(store) if named else {}
    return [record for record in store.images() if record.dangling or (named and record.target.digest not in used)]


def remove(store: Store, records: Iterable[ImageRecord]) -> Removed:
    """Take names away."""
    removed = Removed([], [])
    for record in records:
        if not record.dangling:
            removed.untagged.append(record.name)
        if naming.take(store.catalog, record):
            removed.deleted.append(record.target.digest)
    return removed


def planned(store: Store, records: Iterable[ImageRecord]) -> Removed:
    """What `remove` would answer."""
    going = {record.name: record for record in records}
    untagged = [name for name, record in going.items() if not record.dangling]
    contents = dict.fromkeys(record.target.digest for record in going.values())
    return Removed(untagged, [each for each in contents if all(name in going for name in store.catalog.names_of(each))])
