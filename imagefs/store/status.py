"""How an image stands, for whoever lists or chooses images: what is there of it, how large it is, when it was made.

To look changes nothing. An image whose documents are damaged stands as that, and is no hindrance for the others.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from imagefs.digest import Digest
from imagefs.errors import ImagefsError
from imagefs.oci import moments
from imagefs.store import contents, gc, standing
from imagefs.store.catalog import ImageRecord
from imagefs.store.contents import PresentManifest
from imagefs.store.leases import is_held, mountpoint_of
from imagefs.store.present import BlobReader, PresentBlobs
from imagefs.store.standing import Tally
from imagefs.store.store import Store
from imagefs.store.unpacked import UnpackedLayers

_MANY = 16
"""To look at more images than this, all of the store's blobs are listed."""


class ImageStatus(msgspec.Struct, frozen=True):
    """An image as it is in the store now.

    `manifests` are those that are here and to be kept, and `size` is that of all its blobs that are here, in bytes.
    `present_size` and `needed_size` are those of the blobs that `tally` counts, as far as they are known.
    `damage` is what is wrong with its documents, and nothing else is known then.
    """

    record: ImageRecord
    labels: Mapping[str, str]
    manifests: Sequence[PresentManifest] = ()
    tally: Tally | None = None
    size: int = 0
    present_size: int = 0
    needed_size: int = 0
    damage: str | None = None

    @property
    def complete(self) -> bool:
        """Whether the store has all that it needs."""
        return self.tally is not None and self.tally.complete

    @property
    def mountable(self) -> list[PresentManifest]:
        """The platforms that are complete."""
        return [each for each in self.manifests if each.mountable]

    @property
    def platforms(self) -> list[str]:
        """Their names, each once."""
        return list(dict.fromkeys(each.platform_text for each in self.mountable))

    @property
    def created(self) -> str | None:
        """When it was made, as its configurations say it: the latest of them."""
        return self._latest[1]

    @property
    def created_at(self) -> datetime | None:
        """The same as a moment."""
        return self._latest[0]

    @property
    def _latest(self) -> tuple[datetime, str] | tuple[None, None]:
        texts = [each.config.created for each in self.manifests if each.config is not None and each.config.created]
        dated = [(moment, text) for text in texts if (moment := moments.created(text)) is not None]
        return max(dated) if dated else (None, None)


def status(blobs: BlobReader, record: ImageRecord, labels: Mapping[str, str]) -> ImageStatus:
    """Look at one image."""
    target, platforms = record.target, record.platforms
    try:
        sizes = standing.needed(blobs, target, platforms)
        manifests = kept(blobs, record)
        whole = sum(blobs.size(blob) or 0 for blob in held(blobs, record))
    except (ImagefsError, OSError) as error:
        return ImageStatus(record, labels, damage=str(error))
    present = standing.there(blobs, sizes)
    return ImageStatus(
        record, labels, manifests, Tally(len(present), len(sizes)), whole,
        present_size=sum(sizes[blob] or 0 for blob in present), needed_size=sum(size or 0 for size in sizes.values()),
    )  # fmt: skip


def statuses(store: Store, records: Sequence[ImageRecord]) -> list[ImageStatus]:
    """Look at many images."""
    blobs = reader(store, len(records))
    return [status(blobs, record, store.catalog.labels(record.name)) for record in records]


def reader(store: Store, images: int) -> BlobReader:
    """The store's blobs for whoever looks at so many images."""
    return PresentBlobs(store.blobs) if images > _MANY else store.blobs


def kept(blobs: BlobReader, record: ImageRecord) -> list[PresentManifest]:
    """The manifests of an image that are here and to be kept. Raises `ArchiveError`."""
    return standing.kept(blobs, record.target, record.platforms)


def held(blobs: BlobReader, record: ImageRecord) -> set[Digest]:
    """The blobs in the store that an image keeps there. Raises `ArchiveError`."""
    roots = standing.roots(blobs, record.target, record.platforms)
    marked = gc.mark(roots, lambda node: contents.parts(blobs, node))
    return {content for _, content in marked if content in blobs}


def unpacked(layers: UnpackedLayers, manifests: Sequence[PresentManifest]) -> tuple[int, int]:
    """(n, m): of the m layers that some manifests have, n can be read without unpacking anything."""
    wanted = {(diff_id, blob.digest) for each in manifests for diff_id, blob in each.layers}
    return sum(layers.serves(*each) for each in wanted), len(wanted)


def mountpoints(store: Store) -> dict[Digest, list[str]]:
    """Where images are mounted now, by their digests. Mounts of a store that cannot be written to are not on record."""
    found: dict[Digest, list[str]] = {}
    for lease, label, _ in store.catalog.leases():
        place = mountpoint_of(label)
        if place is not None and is_held(store.lease_folder, lease):
            for _, content in store.catalog.protected(lease):
                found.setdefault(Digest(content), []).append(place)
    return {content: sorted(set(places)) for content, places in found.items()}
