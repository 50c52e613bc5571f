"""The set of images that a mount shows at one moment, and the layout that they make."""

from collections.abc import Iterable, Sequence

import msgspec

from imagefs.digest import Digest
from imagefs.errors import ImagefsError
from imagefs.oci import layout, platform
from imagefs.store.catalog import ImageRecord, Slot
from imagefs.store.contents import PresentManifest
from imagefs.store.present import BlobReader
from imagefs.store.selection import Selection, select
from imagefs.store.store import Store


class ShownTree(msgspec.Struct, frozen=True):
    """One platform of an image, and the file name that its tree has: the first is plain, others name the platform."""

    file_name: str
    slot: int
    manifest: PresentManifest


class ShownImage(msgspec.Struct, frozen=True):
    """A name, what of its image is complete, and the trees that this gives, the plain one first."""

    record: ImageRecord
    selection: Selection
    trees: tuple[ShownTree, ...]


class Snapshot(msgspec.Struct, frozen=True):
    """All that the namespace shows of a set of images."""

    images: tuple[ShownImage, ...]
    index_json: bytes
    manifest_json: bytes
    blobs: frozenset[Digest]
    documents: dict[Digest, bytes]


def show(
    store: Store, record: ImageRecord, slots: Sequence[Slot], blobs: BlobReader | None = None
) -> ShownImage | None:
    """What can be shown of a record; None where nothing of it is complete.

    `blobs` are the store's, for whoever has looked already which there are.
    """
    try:
        selection = select(store.blobs if blobs is None else blobs, record.target, record.platforms)
    except ImagefsError:
        return None  # damaged in the store: the other images are still worth a mount
    if selection is None:
        return None
    numbers = {(slot.platform, slot.manifest): slot.id for slot in slots}
    manifests = [(each.platform_text, each) for each in selection.manifests if each.mountable]
    manifests = [each for each in manifests if (each[0], each[1].descriptor.digest) in numbers]
    if not manifests:
        return ShownImage(record, selection, ())
    main = manifests.pop(platform.preferred([each.platform for _, each in manifests]))
    name = record.name.rsplit("/", 1)[-1]
    trees = []
    for each in (main, *manifests):
        platform_text, manifest = each
        file_name = name if each is main else f"{name}@{platform_text.replace('/', '-')}"
        trees.append(ShownTree(file_name, numbers[platform_text, manifest.descriptor.digest], manifest))
    return ShownImage(record, selection, tuple(trees))


def snapshot(images: Iterable[ShownImage]) -> Snapshot:
    """The layout of a set of images."""
    shown = tuple(sorted(images, key=lambda image: image.record.name))
    entries = [image.selection.named(image.record.name) for image in shown]
    documents: dict[Digest, bytes] = {}
    blobs: set[Digest] = set()
    for image in shown:
        documents.update(image.selection.documents)
        blobs |= image.selection.blobs
    return Snapshot(shown, layout.index_json(entries), layout.manifest_json(entries), frozenset(blobs), documents)
