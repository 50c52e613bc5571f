"""What a base holds: the blobs that a delta need not bring, as its receiver has them."""

import os
from collections.abc import Iterable
from pathlib import Path

from imagefs import digest
from imagefs.archive.choosing import choose, find_images
from imagefs.archive.exporter import ExportOptions
from imagefs.archive.members import are_of_a_layout, member_names, read_archive
from imagefs.archive.source import ArchiveStream
from imagefs.digest import Digest
from imagefs.errors import ArchiveError, ContentMissing, UnknownFormat
from imagefs.limits import Limits
from imagefs.oci import layout
from imagefs.store.blobs import BlobHash, Blobs
from imagefs.store.catalog import ImageRecord
from imagefs.store.ingest import StoredBlob
from imagefs.store.store import Store
from imagefs.streams.chunks import ReadableStream
from imagefs.streams.compression import Compression


def held(store: Store, bases: Iterable[str], limits: Limits) -> frozenset[Digest]:
    """The blobs of some bases: of an archive or a folder where there is one of that name, else of the store's images.

    Raises `ImageNotFound`, `AmbiguousImage`, `ContentMissing` for an image of which nothing can be exported, and
    `ArchiveError` for a base that cannot be read.
    """
    blobs: set[Digest] = set()
    for base in bases:
        if os.path.isdir(base):
            blobs |= _of_folder(Path(base))
        elif os.path.exists(base):
            try:
                with open(base, "rb", buffering=0) as stream:
                    blobs |= _of_archive(stream, base, limits)
            except OSError as error:
                raise ArchiveError(str(error.strerror), source=base) from None
        else:
            for record in find_images(store, [base]):
                blobs |= _of_image(store, record)
    return frozenset(blobs)


def _of_image(store: Store, record: ImageRecord) -> set[Digest]:
    """What an export of the image brings: of what is incomplete here, nobody has had anything from here."""
    try:
        selection = choose(store.blobs, record, ExportOptions())
    except ContentMissing:
        selection = choose(store.blobs, record, ExportOptions(skip_non_distributable=True))
    return {*selection.blobs, *selection.documents}


def _of_folder(folder: Path) -> set[Digest]:
    if not (folder / layout.INDEX_FILE).is_file():
        raise UnknownFormat(f"a folder without {layout.INDEX_FILE}", source=str(folder))
    return set(Blobs(folder / "blobs"))


def _of_archive(stream: ReadableStream, source: str, limits: Limits) -> set[Digest]:
    """The blobs of an OCI layout, which are taken by their names, or the content of any other archive's members."""
    try:
        archive = ArchiveStream(stream, limits=limits)
        names = member_names(archive.head)
        if not names:
            raise UnknownFormat("not an image archive")
        contents = read_archive(archive, _Hashing(), only_layout=are_of_a_layout(names), limits=limits)
    except ArchiveError as error:
        raise error.locate(source=source) from None
    return {digest.of_bytes(each) if isinstance(each, bytes) else each.digest for each in contents.blobs.values()}


class _Hashing:
    """Takes in what an archive holds as an `Ingest` does, and keeps nothing but the digests."""

    def add_bytes(self, data: bytes) -> StoredBlob:
        return StoredBlob(digest.of_bytes(data), len(data), Compression.NONE)

    def add_blob(
        self,
        chunks: Iterable[bytes],
        size: int,
        *,
        label: str,
        expected: Digest | None = None,
        algorithm: str = "sha256",
    ) -> StoredBlob:
        if expected is None:
            check = BlobHash(algorithm)
            check.consume(chunks)
            expected = check.digest
        return StoredBlob(expected, size, Compression.NONE)

    def settle(self) -> None:
        pass
