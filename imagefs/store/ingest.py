"""Bringing content in: one lease, blobs hashed and unpacked in the pass in which they arrive, names last.

Each blob is written and, where it looks like a layer, uncompressed, checked and indexed at the same time. What
is finished is in its place at once, under the lease. `publish` gives names, after it has checked all that they
refer to. An ingest that fails takes away what it brought; one that is killed leaves content under its timed
lease, and no name.
"""

from collections.abc import Iterable, Iterator
from types import TracebackType

import msgspec

from imagefs import digest
from imagefs.digest import Digest
from imagefs.errors import (
    DigestMismatch,
    ImagefsError,
    LayerError,
    SizeMismatch,
)
from imagefs.oci.model import Descriptor
from imagefs.progress import Progress, Silent
from imagefs.store import contents, gc
from imagefs.store.blobs import BlobWriter
from imagefs.store.catalog import ImageRecord
from imagefs.store.leases import INGEST_LIFETIME
from imagefs.store.store import Store, TemporaryNames
from imagefs.store.unpacked import Unpacked, looks_like_layer, unpack
from imagefs.streams.chunks import CHUNK, ChunkReader
from imagefs.streams.compression import Compression, detect, uncompress
from imagefs.streams.pipeline import Worker
from imagefs.streams.tarfields import BLOCK


class StoredBlob(msgspec.Struct, frozen=True):
    """A blob that is in the store now: its digest, its size in bytes, how it is compressed."""

    digest: Digest
    size: int
    compression: Compression


class Ingest:
    """One import or pull; a context manager. With `unpacking` off, layers stay compressed until first used."""

    def __init__(self, store: Store, *, unpacking: bool = True, progress: Progress | None = None) -> None:
        self.store = store
        self.progress = progress or Silent()
        self._unpacking = unpacking
        self._lease = store.lease("import", INGEST_LIFETIME)
        self._temporary = TemporaryNames(store, self._lease)
        self._brought: set[contents.Node] = set()
        self._published: set[contents.Node] = set()
        self._failures: dict[Digest, ImagefsError] = {}

    def __enter__(self) -> "Ingest":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, Exception):
            self._lease.let_go()  # interrupted: what is finished waits for the next try
            return
        self._lease.release()
        try:
            self._sweep()
        except ImagefsError:
            if error is None:
                raise  # otherwise what went wrong first is what the user has to know

    def _sweep(self) -> None:
        """Take away what was brought and is no part of what was published."""
        kept = gc.mark(self._published, lambda node: gc.references(self.store, node))
        layers = {content for kind, content in kept if kind == gc.LAYER}
        blobs = {content for kind, content in kept if kind != gc.LAYER}
        stray = {
            (kind, content) for kind, content in self._brought if content not in (layers if kind == gc.LAYER else blobs)
        }
        if stray:
            gc.collect(self.store, only=stray)

    # -- content

    def add_bytes(self, data: bytes) -> StoredBlob:
        """Store a small blob that is at hand."""
        return self.add_blob([data], len(data), label="", unpackable=False)

    def add_blob(
        self,
        chunks: Iterable[bytes],
        size: int,
        *,
        label: str,
        expected: Digest | None = None,
        algorithm: str = "sha256",
        unpackable: bool = True,
    ) -> StoredBlob:
        """Store a blob of `size` bytes as it arrives, and unpack it when it looks like a layer.

        That it cannot be unpacked is no error here: only a manifest says that it should. Raises
        `DigestMismatch`, `SizeMismatch`, and what `chunks` raises.
        """
        source = ChunkReader(chunks)
        head = source.peek(BLOCK)
        if expected is not None:
            self._lease.protect("blob", expected)
        is_layer = unpackable and self._unpacking and looks_like_layer(head)
        if is_layer and expected is not None and expected in self.store.blobs:
            known = self.store.catalog.diff_id_of(expected)
            if known is not None:
                self._lease.protect("layer", known)
                is_layer = not self.store.layers.serves(known, expected)
        if is_layer:
            self.progress.layer_started(label, label, size)
        blob, unpacked = self._receive(source.rest(), size, algorithm, expected, is_layer=is_layer, label=label)
        self._put_in_place(blob, unpacked)
        if is_layer:
            self.progress.layer_finished(label, "unpacked" if unpacked is not None else "kept")
        return StoredBlob(blob, size, detect(head))

    def _receive(
        self,
        chunks: Iterator[bytes],
        size: int,
        algorithm: str,
        expected: Digest | None,
        *,
        is_layer: bool,
        label: str,
    ) -> tuple[Digest, Unpacked | None]:
        threaded = size > CHUNK
        if expected is not None and expected in self.store.blobs:
            writer: BlobWriter | _Verifier = _Verifier(algorithm)
        else:
            writer = BlobWriter(self._temporary(), algorithm)
        unpacker = None
        if is_layer:
            folder = self._temporary()
            unpacker = Worker(lambda pieces: unpack(pieces, folder), "unpack")
        storer = Worker(writer.consume, "blob") if threaded else None
        try:
            for position, chunk in _counted(chunks):
                if storer is not None:
                    storer.feed(chunk)
                else:
                    writer.write(chunk)
                if unpacker is not None:
                    unpacker.feed(chunk)
                    self.progress.layer_advanced(label, position)
            if storer is not None:
                storer.result()
            if writer.size != size:
                raise SizeMismatch(size, writer.size)
            if expected is not None and writer.digest != expected:
                raise DigestMismatch(expected, writer.digest)
            blob = writer.digest
            self._protect_blob(blob)
        except BaseException:
            if storer is not None:
                storer.cancel()
            if unpacker is not None:
                unpacker.cancel()
            writer.discard()
            raise
        try:
            writer.commit(self.store.blobs)
        except BaseException:
            if unpacker is not None:
                unpacker.cancel()
            raise
        if unpacker is None:
            return blob, None
        try:
            return blob, unpacker.result()
        except ImagefsError as error:
            self._failures[blob] = error
            return blob, None

    def _protect_blob(self, blob: Digest) -> None:
        self._lease.protect("blob", blob)
        if blob not in self.store.blobs:
            self._brought.add(("blob", blob))

    def _put_in_place(self, blob: Digest, unpacked: Unpacked | None) -> None:
        if unpacked is None:
            return
        self._lease.protect("layer", unpacked.diff_id)
        if unpacked.diff_id not in self.store.layers:
            self._brought.add(("layer", unpacked.diff_id))
        unpacked.commit(self.store.layers)
        self.store.catalog.set_unpacked(blob, unpacked.diff_id, unpacked.totals)

    def diff_id(self, layer: StoredBlob) -> Digest:
        """The digest of the tar that is in a layer which was added; a layer that was not unpacked is read once more.

        Raises `LayerError` for a layer that could not be unpacked, `ArchiveError` where its compression is broken.
        """
        failure = self._failures.get(layer.digest)
        if failure is not None:
            raise LayerError(str(failure))
        if layer.compression is Compression.NONE:
            return layer.digest
        known = self.store.catalog.diff_id_of(layer.digest)
        if known is not None:
            return known
        content = digest.hasher()
        for chunk in uncompress(self.store.blobs.chunks(layer.digest), layer.compression):
            content.update(chunk)
        return digest.of_hash(content)

    # -- names

    def publish(self, named: Iterable[tuple[str, Descriptor]]) -> list[ImageRecord]:
        """Give names to images, after checking that all that each of them needs is there and true.

        Raises `MissingContent`, `DigestMismatch`, `SizeMismatch`, `LayerError` or another `ArchiveError`;
        then no name is given at all.
        """
        wanted = list(named)
        bindings = []
        checked: dict[Digest, list[tuple[str, Digest]]] = {}
        for name, target in wanted:
            if target.digest not in checked:
                # First the lease, then the look: what was in the store before may be about to be collected.
                self._lease.protect(target.media_type, target.digest)
                checked[target.digest] = self._check(target)
            bindings.append((name, target, checked[target.digest]))
        catalog = self.store.catalog
        with catalog.transaction(durable=True):
            names = {name for name, _, _ in bindings}
            for record in catalog.images():  # other names of the same images, which may have more platforms now
                if record.target.digest in checked and record.name not in names:
                    catalog.bind(record.name, record.target, checked[record.target.digest])
            moved = [catalog.bind(name, target, slots) for name, target, slots in bindings]
        self._published |= {(target.media_type, target.digest) for _, target, _ in bindings}
        return [
            ImageRecord(name, target, moved_from=before)
            for (name, target, _), before in zip(bindings, moved, strict=True)
        ]

    def _check(self, target: Descriptor) -> list[tuple[str, Digest]]:
        """Check an image's content; answers the slots of its names."""
        contents.check(self.store.blobs, target)
        present = contents.manifests(self.store.blobs, target)
        for each in present:
            if each.config is None:
                continue
            for diff_id, layer in each.layers:
                if layer.digest in self.store.blobs:
                    self._check_layer(diff_id, layer)
        return contents.slots(present)

    def _check_layer(self, diff_id: Digest, layer: Descriptor) -> None:
        failure = self._failures.get(layer.digest)
        if failure is not None:
            raise LayerError(str(failure), member=layer.digest)
        if not self._unpacking:
            self.store.catalog.add_layer(diff_id)
            return
        known = self.store.catalog.diff_id_of(layer.digest)
        if known is not None and known != diff_id:
            raise DigestMismatch(diff_id, known, what="diff ID", member=layer.digest)
        self._lease.protect("layer", diff_id)
        if not self.store.layers.serves(diff_id, layer.digest):
            if diff_id not in self.store.layers:
                self._brought.add(("layer", diff_id))
            self.store.unpack_blob(layer.digest, diff_id)
        elif known is None:
            self._verify_diff_id(diff_id, layer)

    def _verify_diff_id(self, diff_id: Digest, layer: Descriptor) -> None:
        """The layer is there, unpacked from another blob; this blob has to prove that it is the same."""
        unpacked = unpack(self.store.blobs.chunks(layer.digest), self._temporary())
        unpacked.discard()
        if unpacked.diff_id != diff_id:
            raise DigestMismatch(diff_id, unpacked.diff_id, what="diff ID", member=layer.digest)
        self.store.catalog.set_unpacked(layer.digest, diff_id, unpacked.totals)


class _Verifier:
    """Stands in for a `BlobWriter` where the store has the blob: it only hashes."""

    def __init__(self, algorithm: str) -> None:
        self._hash = digest.hasher(algorithm)
        self._algorithm = algorithm
        self.size = 0

    def write(self, data: bytes) -> None:
        self._hash.update(data)
        self.size += len(data)

    def consume(self, chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            self.write(chunk)

    @property
    def digest(self) -> Digest:
        return digest.of_hash(self._hash, self._algorithm)

    def commit(self, _blobs: object) -> Digest:
        return self.digest

    def discard(self) -> None:
        pass


def _counted(chunks: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    position = 0
    for chunk in chunks:
        position += len(chunk)
        yield position, chunk
