"""Giving names to images and taking them away: what import, tag, rm and prune have in common.

All of it belongs inside a `transaction` of the catalogue, and puts on record what happened. An image that loses
its last name to another one stays as a dangling image, whose name is its digest, until it is removed or named.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

import msgspec

from imagefs.digest import Digest
from imagefs.errors import ImagefsError, InUse, InvalidReference
from imagefs.oci.model import Descriptor
from imagefs.store import contents, events
from imagefs.store.catalog import Catalog, ImageRecord
from imagefs.store.present import BlobReader
from imagefs.store.standing import kept, tally

MAX_LABEL = 4096
"""How many bytes a label may have, its key and its value together: containerd's limit."""


class Standing(msgspec.Struct, frozen=True):
    """What the catalogue knows of an image's content: its (platform, manifest) bindings and whether it is complete."""

    slots: list[tuple[str, Digest]]
    complete: bool


def standing(blobs: BlobReader, target: Descriptor, platforms: Sequence[str] | None = None) -> Standing:
    """Look how an image stands in the store, where it is kept for some platforms, or all.

    Raises `ArchiveError` for a broken one.
    """
    return Standing(contents.slots(kept(blobs, target, platforms)), tally(blobs, target, platforms).complete)


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
    """Give a name, or for a dangling image its digest, to an image all of whose content was checked.

    An image that the name is taken from, and of which no other keeps as much, stays as a dangling one. Where the name
    is the image's already, or the image was dangling, platforms are added to those that it is kept for. `labels`
    replace those that the name has. Raises `ArchiveError` for a broken image.
    """
    return _give(catalog, blobs, name, target, action, platforms, labels)


def _give(
    catalog: Catalog,
    blobs: BlobReader,
    name: str,
    target: Descriptor,
    action: events.Action,
    platforms: tuple[str, ...] | None,
    labels: Mapping[str, str] | None,
    known: Standing | None = None,
) -> ImageRecord:
    """As `give`; an image that nobody checked stands as is `known` of it, though more of it may be here."""
    before = catalog.image(name)
    dangling = catalog.image(target.digest)
    moved_from = None
    bound_at = time.time()
    if before is not None and before.target.digest == target.digest:
        bound_at = before.bound_at
        platforms = _both(before.platforms, platforms)
    elif before is not None:
        moved_from = before.target.digest
        _let_dangle(catalog, before)
    if dangling is not None:
        platforms = _both(dangling.platforms, platforms)
    state = standing(blobs, target, platforms)
    if known is not None:
        same = [each for each in (before, dangling) if each is not None and each.target.digest == target.digest]
        state = _limit(state, [known, *(_known(catalog, each) for each in same)])
    record = ImageRecord(name, target, bound_at, state.complete, platforms, moved_from)
    if not (record.dangling and _has_a_name(catalog, record)):
        catalog.bind(record, state.slots)
        if labels is not None:
            catalog.set_labels(name, labels)
        if not record.dangling and dangling is not None:
            catalog.unbind(target.digest)
    events.record(catalog, action, name=name, digest=target.digest)
    return record


def tag(
    catalog: Catalog, blobs: BlobReader, record: ImageRecord, names: Sequence[str], *, force: bool = False
) -> list[ImageRecord]:
    """Give an image more names, all or none, with the labels that it has under the one it is known by here.

    With `force`, a name moves here from another image. Raises `InUse` where it must not, and `InvalidReference`
    for a name with the digest of another image.
    """
    for name in names:
        before = catalog.image(name)
        if not force and before is not None and before.target.digest != record.target.digest:
            raise InUse(f"{name}: the name of another image, {before.target.digest}; --force moves it")
        _, at, stated = name.partition("@")
        if at and stated != record.target.digest:
            raise InvalidReference(f"{name}: the image has the digest {record.target.digest}")
    labels, known = catalog.labels(record.name), _known(catalog, record)
    given = []
    for name in names:
        before = catalog.image(name)
        moves = before is None or before.target.digest != record.target.digest
        kept_labels = labels if moves else None
        given.append(_give(catalog, blobs, name, record.target, "tag", record.platforms, kept_labels, known))
    return given


def _known(catalog: Catalog, record: ImageRecord) -> Standing:
    """How an image stands by what is on record of it."""
    return Standing([(slot.platform, slot.manifest) for slot in catalog.slots(record.name)], record.complete)


def is_on_record(catalog: Catalog, blobs: BlobReader, record: ImageRecord) -> bool:
    """Whether what is on record of an image is how it stands. Raises `ArchiveError` for a broken one."""
    state, known = standing(blobs, record.target, record.platforms), _known(catalog, record)
    return state.complete == known.complete and set(state.slots) == set(known.slots)


def _limit(state: Standing, known: Sequence[Standing]) -> Standing:
    """How an image stands, but for what came since that was put on record: it may be anything, as nobody checked it."""
    slots = {slot for each in known for slot in each.slots}
    return Standing(
        [slot for slot in state.slots if slot in slots], state.complete and all(each.complete for each in known)
    )


def _has_a_name(catalog: Catalog, record: ImageRecord) -> bool:
    """Whether an image has another name which keeps as much of it."""
    named = [catalog.image(name) for name in catalog.names_of(record.target.digest) if name != record.name]
    return any(each is not None and _both(each.platforms, record.platforms) == each.platforms for each in named)


def _both(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if one is None or other is None:
        return None
    return tuple(dict.fromkeys((*one, *other)))


def _let_dangle(catalog: Catalog, record: ImageRecord) -> None:
    """Keep an image whose name moves on, unless another one keeps as much of it.

    Its slots go with the name; it gets new ones.
    """
    content = record.target.digest
    events.record(catalog, "untag", name=record.name, digest=content)
    if not _has_a_name(catalog, record):
        dangling = msgspec.structs.replace(record, name=content, bound_at=time.time())
        before = catalog.image(content)
        slots = _known(catalog, record).slots
        if before is not None:
            slots += _known(catalog, before).slots
            dangling = msgspec.structs.replace(
                dangling,
                bound_at=before.bound_at,
                platforms=_both(before.platforms, record.platforms),
                complete=before.complete and record.complete,
            )
        catalog.bind(dangling, slots)
        if before is None:
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


def label(catalog: Catalog, name: str, changes: Mapping[str, str], *, replace: bool = False) -> dict[str, str]:
    """Give a name labels, or take those away whose value is empty; answers the labels that it has then.

    With `replace`, no others stay. Raises `InvalidReference` where `check_labels` does.
    """
    check_labels(changes)
    kept = {} if replace else catalog.labels(name)
    labels = {key: value for key, value in sorted((kept | dict(changes)).items()) if value}
    catalog.set_labels(name, labels)
    return labels


def check_labels(labels: Mapping[str, str]) -> None:
    """Check that labels are such as containerd takes. Raises `InvalidReference`."""
    for key, value in labels.items():
        try:
            size = len(key.encode()) + len(value.encode())
        except UnicodeEncodeError:
            raise InvalidReference(f"label {key[:64]!r}: not valid UTF-8") from None
        if not key:
            raise InvalidReference("a label without a key")
        if size > MAX_LABEL:
            raise InvalidReference(f"label {key[:64]!r}: {size} bytes with its value, more than {MAX_LABEL}")


def renew(catalog: Catalog, blobs: BlobReader, record: ImageRecord, *, checked: bool) -> None:
    """Put on record how an image stands now that content went, or came and was `checked`.

    One that is broken stays as it is.
    """
    with suppress(ImagefsError):
        state = standing(blobs, record.target, record.platforms)
        if not checked:
            state = _limit(state, [_known(catalog, record)])
        catalog.bind(msgspec.structs.replace(record, complete=state.complete, moved_from=None), state.slots)
