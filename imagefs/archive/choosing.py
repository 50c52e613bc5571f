"""Which images an export takes, and what of each: or a clear word about why not."""

import logging
from collections.abc import Iterator, Sequence
from itertools import chain

import msgspec

from imagefs.archive.exporter import ExportOptions
from imagefs.errors import ArchiveError, ContentMissing
from imagefs.oci import platform, reference
from imagefs.oci.model import Descriptor, Platform, is_attestation
from imagefs.store.catalog import ImageRecord
from imagefs.store.contents import PresentManifest
from imagefs.store.present import BlobReader
from imagefs.store.selection import Selection, complete_part, offered, present_part
from imagefs.store.standing import kept_of, leaves, matching
from imagefs.store.store import Store

log = logging.getLogger(__name__)


def find_images(store: Store, texts: Sequence[str]) -> list[ImageRecord]:
    """The images that a user means, see `oci.reference.find_all`, each once and sorted by name.

    What is asked for by digest has no name. Raises `ImageNotFound`, `AmbiguousImage`.
    """
    records = store.images()
    by_name = {record.name: record for record in records}
    digests = {record.name: str(record.target.digest) for record in records}
    found = {}
    for name in chain.from_iterable(reference.find_all(text, digests) for text in texts):
        found[name] = by_name[name] if name in by_name else _without_name(name, records)
    return [found[name] for name in sorted(found)]


def _without_name(content: str, records: Sequence[ImageRecord]) -> ImageRecord:
    """An image by its digest: with all platforms that any of its names keeps."""
    same = [record for record in records if record.target.digest == content]
    kept: tuple[str, ...] | None = ()
    for record in same:
        kept = None if kept is None or record.platforms is None else (*kept, *record.platforms)
    return msgspec.structs.replace(same[0], name=content, platforms=kept)


def choose(blobs: BlobReader, record: ImageRecord, options: ExportOptions) -> Selection:
    """The part of an image that an export takes.

    Platforms that were asked for and are absent, while others are there, are logged. Raises `ContentMissing` with
    the image's name and what it lacks, or `ArchiveError` with its name where it is damaged.
    """
    try:
        return _choose(blobs, record, options)
    except ArchiveError as error:
        raise error.locate(source=record.name) from None


def _choose(blobs: BlobReader, record: ImageRecord, options: ExportOptions) -> Selection:
    foreign = not options.skip_non_distributable
    target = record.target
    if target.digest not in blobs:
        raise ContentMissing(f"{record.name}: the store has nothing of it, not even {target.digest}")
    present = offered(blobs, target, record.platforms, foreign=foreign)
    preferred = options.platforms or ()
    chosen = present
    if options.platforms is not None:
        _check_platforms(blobs, record, present, options)
        chosen = kept_of(present, options.platforms)
    if options.skip_missing:
        return present_part(blobs, target, chosen, preferred=preferred, foreign=foreign)
    selection = complete_part(blobs, target, chosen, preferred=preferred, foreign=foreign)
    if selection is None:
        raise ContentMissing(
            f"{record.name}: no platform of it is complete in the store: {_first_lack(blobs, target, present)}"
        )
    if options.all_platforms and selection.target != target:
        raise ContentMissing(f"{record.name}: not all of it is in the store: {_first_lack(blobs, target, present)}")
    return selection


def _check_platforms(
    blobs: BlobReader, record: ImageRecord, present: Sequence[PresentManifest], options: ExportOptions
) -> None:
    """Raise `ContentMissing` if none of the platforms that are asked for can go out; log which cannot."""
    listed = [each for _, each in _listed(blobs, record.target, present)]
    if not listed:
        return  # no image, but what is for no platform
    wanted = list(dict.fromkeys(platform.text(platform.parse(each)) for each in options.platforms or ()))
    absent, elsewhere = [], []
    for each in wanted:
        if not platform.choose([platform.parse(each)], listed):
            elsewhere.append(each)
        elif not any(found.complete for found in matching(present, [each])):
            absent.append(each)
    reasons = []
    if elsewhere:
        there = ", ".join(dict.fromkeys(map(platform.text, listed)))
        reasons.append(f"not for {', '.join(elsewhere)}, only for {there}")
    if absent:
        verb, whose = ("are", "their") if len(absent) > 1 else ("is", "its")
        reasons.append(f"{', '.join(absent)} {verb} listed but {whose} content is not in the store")
    # With what is missing to be skipped, the index goes out for what it lists.
    lost = elsewhere if options.skip_missing else elsewhere + absent
    if len(lost) == len(wanted):
        raise ContentMissing(f"{record.name}: {'; '.join(reasons)}")
    if reasons:
        log.warning("%s: %s; exported without", record.name, "; ".join(reasons))


def _listed(
    blobs: BlobReader, target: Descriptor, present: Sequence[PresentManifest]
) -> Iterator[tuple[Descriptor, Platform]]:
    """The images that are listed, here or not, and their platforms as far as these are known."""
    by_digest = {each.descriptor.digest: each for each in present}
    for leaf in leaves(blobs, target):
        each = by_digest.get(leaf.digest)
        if each is not None and each.is_image:
            yield leaf, each.platform
        elif each is None and leaf.platform is not None and not is_attestation(leaf):
            yield leaf, leaf.platform


def _first_lack(blobs: BlobReader, target: Descriptor, present: Sequence[PresentManifest]) -> str:
    """What of an image the store lacks first, in the order of its indexes."""
    by_digest = {each.descriptor.digest: each for each in present}
    platforms = {leaf.digest: platform.text(found) for leaf, found in _listed(blobs, target, present)}
    for leaf in leaves(blobs, target):
        what = platforms.get(leaf.digest, "it")
        each = by_digest.get(leaf.digest)
        if leaf.digest not in blobs:
            return f"{what} lacks {leaf.digest}"
        if each is not None and not each.complete:
            parts = (each.manifest.config, *each.manifest.layers)
            return f"{what} lacks {next(part.digest for part in parts if part.digest not in blobs)}"
        if each is None and leaf.digest in platforms:
            return f"{what} is not kept in it"
    return "it lists no manifest"
