"""Reading all that a store holds: each blob hashed, each layer's tar hashed and indexed anew, each index compared.

What is read stays under a lease for that long.
"""

import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from imagefs import digest
from imagefs.digest import Digest
from imagefs.errors import ArchiveError, ContentMissing
from imagefs.layers.index import same_content
from imagefs.progress import Progress
from imagefs.store.blobs import BlobHash
from imagefs.store.contents import BLOB
from imagefs.store.files import size_of
from imagefs.store.findings import Findings
from imagefs.store.gc import LAYER
from imagefs.store.store import Store, TemporaryNames
from imagefs.store.unpacked import INDEX, file_digest, unpack
from imagefs.streams.chunks import chunks_of

_THREADS = 2
"""How many blobs are read at once."""


def check_content(
    store: Store, blobs: Sequence[Digest], layers: Sequence[Digest], found: Findings, progress: Progress
) -> None:
    """Read these blobs and derived layers, and add what is wrong with them to what was found."""
    with _work_place(store, blobs, layers) as folder:
        _FullCheck(store, folder, found, progress).run(blobs, layers)


@contextmanager
def _work_place(store: Store, blobs: Sequence[Digest], layers: Sequence[Digest]) -> Iterator[Path]:
    """Where an index can be made, while nothing is collected of what is looked at."""
    if store.read_only:
        with tempfile.TemporaryDirectory(prefix="imagefs-") as folder:
            yield Path(folder) / "layer"
        return
    with store.lease("check") as lease:
        with store.catalog.transaction():
            resources = [*((BLOB, blob) for blob in blobs), *((LAYER, layer) for layer in layers)]
            store.catalog.protect_all(lease.id, resources)
        yield TemporaryNames(store, lease)()


class _FullCheck:
    def __init__(self, store: Store, folder: Path, found: Findings, progress: Progress) -> None:
        self._store, self._folder, self._found, self._progress = store, folder, found, progress
        self._read = 0
        self._lock = threading.Lock()

    def run(self, blobs: Sequence[Digest], layers: Sequence[Digest]) -> None:
        sizes = [size_of(self._store.blobs.path(blob)) or 0 for blob in blobs]
        tars = [size_of(self._store.layers.tar(layer)) or 0 for layer in layers]
        self._progress.started("check", sum(sizes) + sum(tars))
        # The largest first, and none waits for another one's turn in the end.
        ordered = [blob for _, blob in sorted(zip(sizes, blobs, strict=True), reverse=True)]
        pool = ThreadPoolExecutor(_THREADS, "check")
        try:
            results = list(pool.map(self._problem_of, ordered))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        for blob, problem in zip(ordered, results, strict=True):
            if problem is not None:
                self._found.damaged(blob, self._store.blobs.path(blob), problem)
        for layer in layers:
            if layer not in self._found.layers:
                self._check_layer(layer)
        self._progress.finished()

    def _counted(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            with self._lock:
                self._read += len(chunk)
                self._progress.advanced(self._read)
            yield chunk

    def _problem_of(self, blob: Digest) -> str | None:
        content = BlobHash(digest.algorithm(blob))
        try:
            content.consume(self._counted(self._store.blobs.chunks(blob)))
        except ContentMissing:  # removed by now; whether an image lacks it is told there
            return None
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        return None if content.digest == blob else f"its content has the digest {content.digest}"

    def _check_layer(self, diff_id: Digest) -> None:
        layers = self._store.layers
        tar = layers.tar(diff_id) if layers.tar(diff_id).exists() else self._store.blobs.path(diff_id)
        if tar == self._store.blobs.path(diff_id) and diff_id in self._found.blobs:
            return
        try:
            with tar.open("rb", buffering=0) as file:
                unpacked = unpack(self._counted(chunks_of(file)), self._folder, digest.algorithm(diff_id))
        except FileNotFoundError:  # removed by now
            return
        except (ArchiveError, OSError) as error:
            self._broken(diff_id, f"its tar cannot be read: {error}")
            return
        try:
            if unpacked.diff_id != diff_id:
                self._broken(diff_id, f"its tar has the digest {unpacked.diff_id}")
            elif not same_content(unpacked.folder / INDEX, layers.path(diff_id) / INDEX):
                self._broken(diff_id, "its index is not that of its tar")
            elif self._store.catalog.index_digest(diff_id) not in (None, file_digest(layers.path(diff_id) / INDEX)):
                self._broken(diff_id, "its index is not the file that was written")
        except FileNotFoundError:
            if os.path.lexists(layers.path(diff_id)):
                raise
        finally:
            unpacked.discard()

    def _broken(self, diff_id: Digest, text: str) -> None:
        self._found.add(f"layer {diff_id}", text)
        self._found.layers.add(diff_id)
