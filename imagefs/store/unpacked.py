"""Derived layers: the uncompressed tar and its index, made from a blob and rebuildable from it.

`layers/<diff id>/index.sqlite` and, where the blob itself is not the uncompressed tar, `layer.tar`
beside it. The folder is made in `tmp/` and renamed into place whole.
"""

import itertools
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from imagefs import digest
from imagefs.digest import Digest
from imagefs.errors import ContentMissing, InvalidReference, StoreError
from imagefs.layers.builder import IndexBuilder
from imagefs.layers.entry import LayerTotals
from imagefs.layers.index import LayerIndex, is_current
from imagefs.layers.pieces import PieceHashes
from imagefs.layers.scan import scan
from imagefs.limits import DEFAULTS, Expansion, Limits
from imagefs.store.blobs import Blobs
from imagefs.store.files import NewFile, remove_all, sync_directory, sync_file
from imagefs.store.sharing import share
from imagefs.streams.chunks import CHUNK, ChunkReader, chunks_of
from imagefs.streams.compression import Compression, detect, uncompress
from imagefs.streams.pipeline import Worker
from imagefs.streams.tar import looks_like_tar
from imagefs.streams.tarfields import BLOCK

_DIFF_ID = "sha256"  # the algorithm of all diff IDs here

_USE_INTERVAL = 3600.0
"""Seconds after which it is put on record again that a layer is in use."""

INDEX = "index.sqlite"
TAR = "layer.tar"


class UnpackedLayers:
    """The folder `layers/` of a store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, diff_id: Digest) -> Path:
        """Where the layer's derived files are, or would be."""
        return self.folder / diff_id

    def tar(self, diff_id: Digest) -> Path:
        """Where the uncompressed tar is, or would be; a layer that came uncompressed has it among the blobs only."""
        return self.path(diff_id) / TAR

    def __contains__(self, diff_id: Digest) -> bool:
        return is_current(self.path(diff_id) / INDEX)

    def serves(self, diff_id: Digest, blob: Digest) -> bool:
        """Whether the layer can be read by an image that has it as this blob: without unpacking anything."""
        return diff_id in self and (blob == diff_id or self.tar(diff_id).is_file())

    def __iter__(self) -> Iterator[Digest]:
        for name in sorted(os.listdir(self.folder)):
            with suppress(InvalidReference):  # not ours
                yield digest.parse(name)

    def index(self, diff_id: Digest) -> LayerIndex:
        """The layer's index, open. Raises `ContentMissing`."""
        return LayerIndex(self.path(diff_id) / INDEX)

    def open_tar(self, diff_id: Digest, blobs: Blobs) -> int:
        """A descriptor of the uncompressed tar: the file that was derived, or the blob that is just that.

        Raises `ContentMissing`.
        """
        for path in (self.tar(diff_id), blobs.path(diff_id)):
            try:
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
        raise ContentMissing(f"{diff_id}: the store does not have the layer's data")

    def keep_tar(self, diff_id: Digest, blobs: Blobs) -> None:
        """Keep the tar of a layer that came uncompressed, though the blob that it is may go: by a hard link.

        Where that cannot be, the layer is unpacked again from another blob when it is needed.
        """
        if diff_id in self:
            with suppress(OSError):
                self.tar(diff_id).hardlink_to(blobs.path(diff_id))
                sync_directory(self.path(diff_id))

    def use(self, diff_id: Digest) -> None:
        """Put on record that the layer is in use now, to the hour.

        It is the time of its folder, which everybody can set who could drop the layer.
        """
        with suppress(OSError):
            if time.time() - self.last_used(diff_id) > _USE_INTERVAL:
                os.utime(self.path(diff_id))

    def last_used(self, diff_id: Digest) -> float:
        """When the layer was unpacked, or last used, to the hour; in seconds since the epoch."""
        return self.path(diff_id).stat().st_mtime

    def take_out(self, diff_id: Digest, trash: Path) -> None:
        """Drop the derived files at once, into the folder `trash`, which is made."""
        self.path(diff_id).rename(trash)


class Unpacked(msgspec.Struct, frozen=True):
    """A layer unpacked into a temporary folder, not in its place yet.

    `diff_id` is None where whoever had it unpacked hashes the tar, as it is the blob itself.
    """

    folder: Path
    diff_id: Digest | None
    totals: LayerTotals

    def commit(self, layers: UnpackedLayers, diff_id: Digest) -> Digest | None:
        """Put the layer into its place, durably; to find it there already is success too.

        Answers the digest of its index where that was not there.
        """
        target = layers.path(diff_id)
        if diff_id in layers:
            self._add_tar(target)
            return None
        index = file_digest(self.folder / INDEX)
        for file in self.folder.iterdir():
            share(file)
            sync_file(file)
        sync_directory(self.folder)
        try:
            self.folder.rename(target)
        except OSError:
            if diff_id in layers:
                self._add_tar(target)
                return None
            # What is there is no layer, for it has no index, or one of another format: nobody uses it.
            remove_all(target)
            self.folder.rename(target)
        sync_directory(layers.folder)
        return index

    def _add_tar(self, target: Path) -> None:
        """The layer is there. If it came as an uncompressed blob, its images need no tar beside it; others do."""
        if (self.folder / TAR).exists() and not (target / TAR).is_file():
            sync_file(self.folder / TAR)
            remove_all(target / TAR)
            (self.folder / TAR).rename(target / TAR)
            sync_directory(target)
        shutil.rmtree(self.folder)

    def discard(self) -> None:
        """Give the layer up; one that is in its place stays there."""
        shutil.rmtree(self.folder, ignore_errors=True)


def file_digest(path: Path) -> Digest:
    """The digest of a file of ours. Raises `OSError`."""
    content = digest.hasher()
    with path.open("rb", buffering=0) as file:
        for chunk in chunks_of(file):
            content.update(chunk)
    return digest.of_hash(content)


def looks_like_layer(head: bytes) -> bool:
    """Whether a blob that begins with these bytes may be a layer worth unpacking as it streams."""
    return detect(head) is not Compression.NONE or looks_like_tar(head[:BLOCK])


def unpack(
    chunks: Iterable[bytes],
    folder: Path,
    algorithm: str,
    *,
    hashed: bool = False,
    limits: Limits = DEFAULTS,
    whole: Expansion | None = None,
) -> Unpacked:
    """Uncompress a layer blob into `folder`, which is made, and index it; the diff ID comes out.

    `algorithm` is that of the blob's digest: with the diff ID's, an uncompressed blob is the layer's tar, and no other
    is kept. Where the blob is `hashed` by the caller, such a one is not hashed again. `whole` counts several
    layers together. Raises `LayerError`, `Truncated` or another `ArchiveError`, and `StoreError` or `OSError` where it
    cannot be written; leaves no folder then.
    """
    folder.mkdir()
    share(folder)
    try:
        source = ChunkReader(chunks)
        compression = detect(source.peek(4))
        plain = uncompress(source.rest(), compression, Expansion(limits, "layer_size", whole=whole))
        is_the_tar = compression is Compression.NONE and algorithm == _DIFF_ID
        keep = None if is_the_tar else folder / TAR
        hashed = hashed and is_the_tar
        # Threads cost more than a small layer does; what is small is only known when it is uncompressed.
        small = bytearray()
        while len(small) <= CHUNK:
            chunk = next(plain, None)
            if chunk is None:
                return _unpack_inline(bytes(small), folder, keep, limits, hashed=hashed)
            small += chunk
        plain = itertools.chain([bytes(small)], plain)
        return _index_only(plain, folder, limits) if hashed else _unpack_threaded(plain, folder, keep, limits)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


class _Kept(msgspec.Struct, frozen=True):
    """What is known of a tar that was kept: its digest, unless somebody else hashes it, and its pieces' hashes."""

    diff_id: Digest | None
    pieces: bytes


def _index_only(plain: Iterator[bytes], folder: Path, limits: Limits) -> Unpacked:
    hashing = Worker(lambda chunks: _keep(chunks, None, hashed=True), "pieces")

    def passing() -> Iterator[bytes]:
        for chunk in plain:
            hashing.feed(chunk)
            yield chunk

    try:
        return Unpacked(folder, None, _index(passing(), folder, limits, lambda: hashing.result().pieces))
    finally:
        hashing.cancel()


def _unpack_threaded(plain: Iterator[bytes], folder: Path, keep: Path | None, limits: Limits) -> Unpacked:
    # Hashing and writing in one thread: to hand a chunk to one thread more costs more than they gain side by side.
    keeping = Worker(lambda chunks: _keep(chunks, keep, hashed=False), "layer.tar")
    # When the index has seen all chunks, the other worker was told that there are no more: it can be waited for.
    indexing = Worker(lambda chunks: _index(chunks, folder, limits, lambda: keeping.result().pieces), "index")
    try:
        for chunk in plain:
            for worker in (keeping, indexing):
                worker.feed(chunk)
                if worker.failed:
                    worker.result()
        return Unpacked(folder, keeping.result().diff_id, indexing.result())
    finally:
        keeping.cancel()
        indexing.cancel()


def _unpack_inline(plain: bytes, folder: Path, keep: Path | None, limits: Limits, *, hashed: bool) -> Unpacked:
    kept = _keep(iter([plain]), keep, hashed=hashed)
    return Unpacked(folder, kept.diff_id, _index(iter([plain]), folder, limits, lambda: kept.pieces))


def _keep(chunks: Iterator[bytes], path: Path | None, *, hashed: bool) -> _Kept:
    """Hash the layer and its pieces, and write it where there is a path for it."""
    file = NewFile(path) if path is not None else None
    content = None if hashed else digest.hasher()
    pieces = PieceHashes()
    try:
        for chunk in chunks:
            if content is not None:
                content.update(chunk)
            pieces.update(chunk)
            if file is not None:
                file.write(chunk)
    finally:
        if file is not None:
            file.close()
    return _Kept(None if content is None else digest.of_hash(content), pieces.finish())


def _index(chunks: Iterator[bytes], folder: Path, limits: Limits, pieces: Callable[[], bytes]) -> LayerTotals:
    try:
        builder = IndexBuilder(folder / INDEX, pieces=pieces)
        try:
            return scan(ChunkReader(chunks), builder, limits)
        except BaseException:
            builder.abandon()
            raise
    except sqlite3.OperationalError as error:
        raise StoreError(f"{folder / INDEX}: {error}") from None
