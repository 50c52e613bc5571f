"""Bringing content in: one lease, blobs hashed and unpacked in the pass in which they arrive, names last.

Each blob is written and, where it looks like a layer, uncompressed, checked and indexed at the same time. What
is finished is in its place at once, under the lease. `publish` gives names, after it has checked all that they
refer to. An ingest that fails takes away what it brought; one that is killed leaves content under its timed
lease, and no name.
"""

import itertools
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from types import TracebackType

import msgspec

from imagefs import digest
from imagefs.digest import Digest
from imagefs.errors import ArchiveError, ImagefsError, LayerError
from imagefs.limits import DEFAULTS, Expansion, Limits
from imagefs.oci.model import Descriptor
from imagefs.progress import Progress, Silent
from imagefs.store import contents, events, gc, standing
from imagefs.store.arrival import Arriving, check, give_up, receive, start_unpacking
from imagefs.store.blobs import BlobHash, BlobWriter
from imagefs.store.bounded import BoundedDocuments
from imagefs.store.catalog import ImageRecord
from imagefs.store.leases import IMPORT, INGEST_LIFETIME
from imagefs.store.publishing import publish
from imagefs.store.store import Store, TemporaryNames
from imagefs.store.twins import Comparison, Twins
from imagefs.store.unpacked import Unpacked, looks_like_layer
from imagefs.store.verifier import Verifier
from imagefs.streams.chunks import CHUNK, ChunkReader
from imagefs.streams.compression import Compression, detect, uncompress
from imagefs.streams.gzipping import gzip_compressed
from imagefs.streams.pipeline import Worker, finish
from imagefs.streams.tarfields import BLOCK

CHECKS = 2
"""How many blobs that the store has already are checked at once."""


class StoredBlob(msgspec.Struct, frozen=True):
    """A blob that is in the store now: its digest, its size in bytes, how it is compressed."""

    digest: Digest
    size: int
    compression: Compression


class Ingest:
    """One import or pull; a context manager.

    With `unpacking` off, layers stay compressed until first used. Of an index only what is for `platforms` is kept,
    None for all. With `skip_missing`, images may lack content, and are incomplete then. `documents` reads the store's,
    as far as they are within the `limits`.
    """

    def __init__(
        self,
        store: Store,
        *,
        unpacking: bool = True,
        platforms: tuple[str, ...] | None = None,
        skip_missing: bool = False,
        progress: Progress | None = None,
        limits: Limits = DEFAULTS,
    ) -> None:
        self.store = store
        self.limits = limits
        self.documents = BoundedDocuments(store.blobs, limits)
        self._expansion = Expansion(limits, "total_size")
        self._platforms = platforms
        self._skip_missing = skip_missing
        self.progress = progress or Silent()
        self._unpacking = unpacking
        self._began_after = events.latest(store.catalog)
        self._lease = store.lease(IMPORT, INGEST_LIFETIME)
        self._temporary = TemporaryNames(store, self._lease)
        self._brought: set[contents.Node] = set()
        self._published: set[contents.Node] = set()
        self._failures: dict[Digest, ImagefsError] = {}
        self._twins = Twins(store.blobs, store.layers)
        self._arrivals = itertools.count()
        self._placing: list[Worker[None]] = []
        self._checks: list[Worker[None]] = []
        self._catalogue = threading.Lock()  # the store's is for one thread at a time

    def __enter__(self) -> "Ingest":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, Exception):
            while self._placing:  # these are at the store, which must not be closed before; however often ^C is pressed
                with suppress(BaseException):
                    finish(self._placing)
            self._lease.let_go()  # interrupted: what is finished waits for the next try
            return
        if error is not None:
            with suppress(Exception):  # what went wrong first is what the user has to know
                self.settle()
        try:
            self.settle()
        finally:
            try:
                with self.store.catalog.transaction():
                    left = self.store.catalog.left(self._lease.id)
                    self._lease.release()
                self._brought.update((kind, Digest(key)) for kind, key in left)
                self._sweep(failed=error is not None)
            except (ImagefsError, sqlite3.Error, OSError):
                if error is None:
                    raise

    def _sweep(self, *, failed: bool) -> None:
        """Take away what was brought and is no part of what was published."""
        kept = gc.mark(self._published, lambda node: gc.references(self.store, node))
        layers = {content for kind, content in kept if kind == gc.LAYER}
        blobs = {content for kind, content in kept if kind != gc.LAYER}
        stray = {
            (kind, content) for kind, content in self._brought if content not in (layers if kind == gc.LAYER else blobs)
        }
        if stray:
            gc.collect(self.store, only=stray, failed_since=self._began_after if failed else None)

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

        That it cannot be unpacked is no error here: only a manifest says that it should. `chunks` is read once if it
        is an iterator, and else perhaps again, by another thread. When this returns, a layer may be on its way to its
        place, and what the store has already may be unchecked still; `settle` waits for that. Raises
        `DigestMismatch`, `SizeMismatch`, and what `chunks` raises.
        """
        source = ChunkReader(chunks)
        head = source.peek(BLOCK)
        compression = detect(head)
        is_layer = unpackable and self._unpacking and looks_like_layer(head)
        content: Iterator[bytes] = source.rest()
        if expected is None and size <= CHUNK:
            data = source.read(size)
            expected = digest.of_bytes(data, algorithm)
            content = itertools.chain([data], content)
        # Labels can come twice: an archive may have two members of one name.
        blob = Arriving(str(next(self._arrivals)), label, size, algorithm, expected, is_layer)
        if (
            expected is not None
            and size > CHUNK
            and not isinstance(chunks, Iterator)
            and self._is_whole(blob, expected)
        ):
            finish(self._checks, leaving=CHECKS - 1)
            Worker(lambda _: check(blob, chunks), "check", among=self._checks)
            return StoredBlob(expected, size, compression)
        if expected is not None:
            return StoredBlob(self._receive(blob, content), size, compression)
        whole = content if isinstance(chunks, Iterator) else chunks
        with Comparison(whole, self._twins.of(size, algorithm), algorithm) as comparison:
            known = comparison.digest()
            if known is None or not self._has(known):
                known = self._receive(blob, comparison.content())
        return StoredBlob(known, size, compression)

    def _has(self, content: Digest) -> bool:
        """Whether the store has a blob, or can have it without writing, as one of its layers is the same."""
        self._protect_blob(content)
        if content in self.store.blobs:
            return True
        with self._catalogue:
            totals = self.store.catalog.layer_totals(content)
            if totals is None or not self.store.blobs.link(content, self.store.layers.tar(content)):
                return False
            self.store.catalog.set_unpacked(content, content, totals)
        return True

    def _receive(self, blob: Arriving, chunks: Iterator[bytes]) -> Digest:
        """Check a blob, write it unless the store has it, and unpack it unless the store has that."""
        if blob.expected is not None:
            self._protect(blob.expected)
        writer, is_layer = BlobHash(blob.algorithm), blob.is_layer
        if blob.expected is None or not self.store.blobs.holds(blob.expected, blob.size):
            writer = BlobWriter(self._temporary(), blob.algorithm)
        elif is_layer:
            is_layer = not self._serves(blob.expected)
        unpacker = None
        if is_layer:
            self.progress.layer_started(blob.key, blob.label, blob.size)
            unpacker = start_unpacking(blob, self._temporary(), self.limits, self._expansion)
        content = receive(blob, chunks, writer, unpacker, partial(self.progress.layer_advanced, blob.key))
        try:
            self._protect_blob(content)
            finish(self._placing)
        except BaseException:
            give_up(writer, unpacker)
            raise
        if unpacker is None:
            writer.commit(self.store.blobs)
        else:
            # The next member flows while this one is made durable.
            layer = unpacker
            Worker(lambda _: self._put_in_place(blob.key, content, writer, layer), "place", among=self._placing)
        return content

    def _is_whole(self, blob: Arriving, content: Digest) -> bool:
        """Whether there is no more to be done about a blob than to check it."""
        self._protect(content)
        return self.store.blobs.holds(content, blob.size) and (not blob.is_layer or self._serves(content))

    def _protect(self, blob: Digest) -> None:
        """First the lease, then the look."""
        with self._catalogue:
            self._lease.protect("blob", blob)

    def _serves(self, blob: Digest) -> bool:
        """Whether a layer that the store has as this blob is unpacked, and stays so."""
        with self._catalogue:
            known = self.store.catalog.diff_id_of(blob)
            if known is not None:
                self._lease.protect("layer", known)
        return known is not None and self.store.layers.serves(known, blob)

    def _protect_blob(self, blob: Digest) -> None:
        self._protect(blob)
        if blob not in self.store.blobs:
            self._brought.add(("blob", blob))

    def _put_in_place(self, key: str, blob: Digest, writer: BlobHash, unpacker: Worker[Unpacked]) -> None:
        """Let a checked blob, and then the layer in it, come under their digests: in a thread of its own."""
        try:
            writer.commit(self.store.blobs)
        except BaseException:
            unpacker.cancel()
            raise
        try:
            unpacked = unpacker.result()
        except ArchiveError as error:
            self._failures[blob] = error
            self.progress.layer_finished(key, "kept")
            return
        try:
            diff_id = unpacked.diff_id or blob
            with self._catalogue:
                self._lease.protect("layer", diff_id)
            if diff_id not in self.store.layers:
                self._brought.add(("layer", diff_id))
            index = unpacked.commit(self.store.layers, diff_id)
            with self._catalogue:
                self.store.catalog.set_unpacked(blob, diff_id, unpacked.totals, index)
        except BaseException:
            unpacked.discard()
            raise
        self.progress.layer_finished(key, "unpacked")

    def compressed(self, layer: StoredBlob) -> StoredBlob:
        """An uncompressed layer as one with gzip; one that the store has compressed, whatever with, is as good.

        Raises `LayerError` for a layer that could not be unpacked.
        """
        if layer.compression is not Compression.NONE:
            return layer
        diff_id = self.diff_id(layer)
        blobs, catalog = self.store.blobs, self.store.catalog
        for known in catalog.blobs_of(diff_id):
            self._protect(known)
            if known != diff_id and known in blobs:
                return StoredBlob(known, blobs.size(known) or 0, detect(blobs.head(known)))
        writer = BlobWriter(self._temporary())
        try:
            writer.consume(gzip_compressed(blobs.chunks(layer.digest)))
            self._protect_blob(writer.digest)
        except BaseException:
            writer.discard()
            raise
        content = writer.commit(blobs)
        self.store.layers.keep_tar(diff_id, blobs)
        totals = catalog.layer_totals(diff_id)
        if totals is not None:
            catalog.set_unpacked(content, diff_id, totals)
        return StoredBlob(content, writer.size, Compression.GZIP)

    def settle(self) -> None:
        """Wait until all that was added is in its place, and checked.

        Raises `DigestMismatch` or `SizeMismatch`, and what else kept it from that, `StoreError` or `OSError`.
        """
        try:
            finish(self._checks)
        finally:
            finish(self._placing)

    def diff_id(self, layer: StoredBlob) -> Digest:
        """The digest of the tar that is in a layer which was added; a layer that was not unpacked is read once more.

        Raises `LayerError` for a layer that could not be unpacked, `ArchiveError` where its compression is broken.
        """
        self.settle()
        failure = self._failures.get(layer.digest)
        if failure is not None:
            raise LayerError(str(failure))
        if layer.compression is Compression.NONE:
            return layer.digest
        known = self.store.catalog.diff_id_of(layer.digest)
        if known is not None:
            return known
        content = digest.hasher()
        expansion = Expansion(self.limits, "layer_size")
        for chunk in uncompress(self.store.blobs.chunks(layer.digest), layer.compression, expansion):
            content.update(chunk)
        return digest.of_hash(content)

    # -- names

    def publish(
        self, named: Iterable[tuple[str, Descriptor]], *, labels: Mapping[str, str] | None = None
    ) -> list[ImageRecord]:
        """Give names to images, after checking that all that each of them needs is there and true.

        The name of an image without one is its digest. `labels` are those of each, None to leave them as they are.
        Other images that lacked what came are looked at again. Raises `MissingContent`, `DigestMismatch`,
        `SizeMismatch`, `LayerError` or another `ArchiveError`; then no name is given at all.
        """
        self.settle()
        wanted = list(named)
        self.limits.check("manifests", len(wanted), "names of images")
        verifier = Verifier(
            self.store, self.documents, self._lease, self._temporary, self._failures, self._brought, self.limits,
            unpacking=self._unpacking, platforms=self._platforms, skip_missing=self._skip_missing,
        )  # fmt: skip
        records = publish(self.store, wanted, verifier, platforms=self._platforms, labels=labels)
        for record in records:
            self._published.update(standing.roots(self.store.blobs, record.target, record.platforms))
        return records
