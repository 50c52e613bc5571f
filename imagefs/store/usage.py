"""What an image takes up: its layers, with whom it shares them, and what would be left without it."""

from collections.abc import Iterable, Sequence
from contextlib import suppress

import msgspec

from imagefs.digest import Digest
from imagefs.errors import ArchiveError, ImagefsError
from imagefs.layers.entry import LayerTotals
from imagefs.oci.model import Descriptor
from imagefs.store import status
from imagefs.store.catalog import ImageRecord
from imagefs.store.contents import PresentManifest
from imagefs.store.present import BlobReader
from imagefs.store.store import Store


class LayerUsage(msgspec.Struct, frozen=True):
    """One layer of an image, for all of its platforms that have it.

    `position` counts from 1 in the first of the `platforms`, from the lowest layer. `totals` are None for a layer that
    was never unpacked. `shared_with` are the names of other images that have the same layer, or the same blob.
    """

    position: int
    platforms: tuple[str, ...]
    blob: Descriptor
    diff_id: Digest
    totals: LayerTotals | None
    shared_with: tuple[str, ...]


class Usage(msgspec.Struct, frozen=True):
    """What an image takes up, in bytes: its blobs, those of them that no other image needs, its derived files."""

    layers: tuple[LayerUsage, ...]
    size: int
    unique: int
    derived: int


def usage(store: Store, record: ImageRecord) -> Usage:
    """Look what an image takes up. Raises `ArchiveError` where the image is damaged; other images may be."""
    others = [each for each in store.images() if each.target.digest != record.target.digest]
    blobs = status.reader(store, len(others))
    try:
        manifests = status.kept(blobs, record)
        own = status.held(blobs, record)
    except ArchiveError as error:
        raise error.locate(source=record.name) from None
    elsewhere: set[Digest] = set()
    sharing: dict[Digest, set[str]] = {}
    for other in others:
        with suppress(ImagefsError, OSError):  # damaged, and nothing is known of it
            elsewhere |= status.held(blobs, other)
            for part in _layers(status.kept(blobs, other)):
                sharing.setdefault(part, set()).add(other.name)
    return Usage(
        tuple(_usage_of_layers(store, manifests, sharing)),
        size=_size(blobs, own),
        unique=_size(blobs, own - elsewhere),
        derived=sum(
            _derived(store, diff_id) for diff_id in {diff_id for each in manifests for diff_id, _ in each.layers}
        ),
    )


def _layers(manifests: Iterable[PresentManifest]) -> Iterable[Digest]:
    """The diff IDs and the blobs of all layers."""
    for each in manifests:
        yield from (layer.digest for layer in each.manifest.layers)
        yield from (diff_id for diff_id, _ in each.layers)


def _usage_of_layers(
    store: Store, manifests: Sequence[PresentManifest], sharing: dict[Digest, set[str]]
) -> Iterable[LayerUsage]:
    first: dict[tuple[Digest, Digest], tuple[int, Descriptor]] = {}
    platforms: dict[tuple[Digest, Digest], dict[str, None]] = {}
    for each in manifests:
        if each.mountable:
            for position, (diff_id, blob) in enumerate(each.layers, 1):
                first.setdefault((diff_id, blob.digest), (position, blob))
                platforms.setdefault((diff_id, blob.digest), {})[each.platform_text] = None
    for key, (position, blob) in first.items():
        diff_id, content = key
        names = sharing.get(diff_id, set()) | sharing.get(content, set())
        totals = store.catalog.layer_totals(diff_id)
        yield LayerUsage(position, tuple(platforms[key]), blob, diff_id, totals, tuple(sorted(names)))


def _size(blobs: BlobReader, contents: Iterable[Digest]) -> int:
    return sum(blobs.size(each) or 0 for each in contents)


def _derived(store: Store, diff_id: Digest) -> int:
    """The size of a layer's derived files in bytes."""
    try:
        return sum(file.stat().st_size for file in store.layers.path(diff_id).iterdir())
    except OSError:  # not unpacked, or not any more
        return 0
