"""Giving names to images and taking them away: what import, tag, rm and prune have in common.

All of it belongs inside a `transaction` of the catalogue, and puts on record what happened. An image that loses
its last name to another one stays as a dangling image, whose name is its digest, until it is removed or named.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

import msgspec

from imagefs.digest import Digest
from imagefs.errors import ImagefsError
from imagefs.oci import mediatypes
from imagefs.oci.model import Descriptor
from imagefs.store import contents, events
from imagefs.store.catalog import Catalog, ImageRecord
from imagefs.store.present import BlobReader
from imagefs.store.standing import kept_manifests, tally


class Standing(msgspec.Struct, frozen=True):
    """What the catalogue knows of an image's content: its (platform, manifest) bindings and whether it is complete."""

    slots: list[tuple[str, Digest]]
    complete: bool


def standing(blobs: BlobReader, target: Descriptor, platforms: Sequence[str] | None = None) -> Standing:
    """Look how an image stands in the store, where it is kept for some platforms, or all.

    Raises `ArchiveError` for a broken one.
    """
    present = contents.manifests(blobs, target)
    if platforms is not None and target.media_type in mediatypes.INDEXES:
        kept = kept_manifests(blobs, target, platforms)
        present = [each for each in present if each.descriptor.digest in kept]
    return Standing(contents.slots(present), tally(blobs, target, platforms).complete)


def give(
    catalog: Catalog,
    blobs: BlobReader,
    name: str,
    target: Descriptor,
    *,
    action: events.Action,
    platforms: tuple[str, ...] | None = None,
    labels: Mapping[str, str] | None = None,
) -> ImageRecord:
    """Give a name, or for a dangling image its digest, to an image.

    An image that the name is taken from, and that has no other, stays as a dangling one. Where the name is the
    image's already, platforms are added to those that it is kept for. `labels` replace those that the name has.
    Raises `ArchiveError` for a broken image.
    """
    before = catalog.image(name)
    moved_from = None
    bound_at = time.time()
    if before is not None and before.target.digest == target.digest:
        bound_at = before.bound_at
        platforms = _both(before.platforms, platforms)
    elif before is not None:
        moved_from = before.target.digest
        _let_dangle(catalog, before)
    state = standing(blobs, target, platforms)
    record = ImageRecord(name, target, bound_at, state.complete, platforms, moved_from)
    if not (record.dangling and _has_a_name(catalog, record)):
        catalog.bind(record, state.slots)
        if labels is not None:
            catalog.set_labels(name, labels)
        if not record.dangling and catalog.image(target.digest) is not None:
            catalog.unbind(target.digest)
    events.record(catalog, action, name=name, digest=target.digest)
    return record


def _has_a_name(catalog: Catalog, record: ImageRecord) -> bool:
    """Whether an image that would be dangling has a name which keeps as much of it."""
    named = [catalog.image(name) for name in catalog.names_of(record.target.digest) if name != record.name]
    return any(each is not None and _both(each.platforms, record.platforms) == each.platforms for each in named)


def _both(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if one is None or other is None:
        return None
    return tuple(dict.fromkeys((*one, *other)))


def _let_dangle(catalog: Catalog, record: ImageRecord) -> None:
    """Keep an image whose name moves on, unless it has another one. Its slots go with the name; it gets new ones."""
    content = record.target.digest
    events.record(catalog, "untag", name=record.name, digest=content)
    if catalog.names_of(content) == [record.name]:
        dangling = msgspec.structs.replace(record, name=content, bound_at=time.time())
        catalog.bind(dangling, [(slot.platform, slot.manifest) for slot in catalog.slots(record.name)])
        catalog.set_labels(content, catalog.labels(record.name))


def take(catalog: Catalog, record: ImageRecord) -> bool:
    """Take a name away; answers whether that was the image's last, so that the image is gone."""
    catalog.unbind(record.name)
    content = record.target.digest
    if not record.dangling:
        events.record(catalog, "untag", name=record.name, digest=content)
    gone = not catalog.names_of(content)
    if gone:
        events.record(catalog, "delete", digest=content)
    return gone


def renew(catalog: Catalog, blobs: BlobReader, record: ImageRecord) -> None:
    """Put on record how an image stands now that content came or went. One that is broken stays as it is."""
    with suppress(ImagefsError):
        state = standing(blobs, record.target, record.platforms)
        catalog.bind(msgspec.structs.replace(record, complete=state.complete, moved_from=None), state.slots)
