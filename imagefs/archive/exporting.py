"""From images in a store to an archive: what `imagefs export` does."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from imagefs.archive.base import held
from imagefs.archive.choosing import choose, find_images
from imagefs.archive.exporter import ExportedImage, Exporter, ExportOptions, WritableStream, make_exporter
from imagefs.errors import ImagefsError
from imagefs.store.catalog import ImageRecord
from imagefs.store.selection import Selection
from imagefs.store.store import Store


def export_archive(
    store: Store,
    images: Sequence[str],
    stream: WritableStream,
    options: ExportOptions | None = None,
    *,
    exporter: Exporter | str = "oci+docker",
) -> None:
    """Write images to a stream as one archive, front to back.

    A name without tag stands for all tags, see `oci.reference.find_all`. With a `base`, an archive of both OCI's and
    docker's form is one of OCI's alone, and there is none of docker's. Raises `ImageNotFound`, `AmbiguousImage`,
    `ContentMissing`, and `ArchiveError` for what is broken in the store, or a base that cannot be read.
    """
    options = options or ExportOptions()
    chosen = _exporter(exporter, options) if isinstance(exporter, str) else exporter
    with _kept(store, images) as records:
        exported = [ExportedImage(record.name, choose(store.blobs, record, options)) for record in records]
        if options.base:
            there = held(store, options.base, options.limits)
            exported = [ExportedImage(each.name, _without(each.selection, there)) for each in exported]
        chosen.run(store, exported, stream)


def _exporter(name: str, options: ExportOptions) -> Exporter:
    if options.base and name == "docker":
        raise ImagefsError("a docker archive cannot do without what a base holds")
    return make_exporter("oci" if options.base and name == "oci+docker" else name)


@contextmanager
def _kept(store: Store, images: Sequence[str]) -> Iterator[list[ImageRecord]]:
    """Find images, and keep them from garbage collection in the block."""
    if store.read_only:
        yield find_images(store, images)
        return
    with store.lease("export") as lease:
        # Nobody can take away what was found before it is under the lease.
        with store.catalog.transaction():
            records = find_images(store, images)
            lease.protect_all([(record.target.media_type, record.target.digest) for record in records])
        yield records


def _without(selection: Selection, blobs: frozenset[str]) -> Selection:
    documents = {content: document for content, document in selection.documents.items() if content not in blobs}
    return msgspec.structs.replace(selection, blobs=selection.blobs - blobs, documents=documents)
