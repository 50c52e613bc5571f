"""Telling that a blob is in the store already while it streams by, where no name says its digest.

Members of docker archives have names that say nothing. What has the size of something that the store has is hashed
before anything is written, if it can be read again. Of a pipe it is compared with what the store has, too, byte for
byte: where they part, what came before is read from the store, as it was the same. So a pipe is read once, and no more
of it is kept than a chunk.
"""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from imagefs import digest
from imagefs.digest import Digest
from imagefs.store.blobs import BlobHash, Blobs
from imagefs.store.files import size_of
from imagefs.store.unpacked import UnpackedLayers
from imagefs.streams.chunks import chunks_of
from imagefs.streams.pipeline import Worker

_OPEN = 16
"""With how many files at most a stream is compared: to miss one only costs what it would have saved."""


class Twins:
    """What the store had when it was first asked, by size: its blobs and its uncompressed layers."""

    def __init__(self, blobs: Blobs, layers: UnpackedLayers) -> None:
        self._blobs, self._layers = blobs, layers
        self._by_size: dict[int, dict[Digest, Path]] | None = None

    def of(self, size: int, algorithm: str) -> dict[Digest, Path]:
        """The files that have `size` bytes, by their digests, which are of `algorithm`."""
        if self._by_size is None:
            self._by_size = {}
            files = {diff_id: self._layers.tar(diff_id) for diff_id in self._layers}
            files |= {blob: self._blobs.path(blob) for blob in self._blobs}
            for content, path in files.items():
                self._by_size.setdefault(size_of(path) or 0, {})[content] = path
        found = self._by_size.get(size, {})
        return {content: path for content, path in found.items() if digest.algorithm(content) == algorithm}


class Comparison:
    """Content that is compared with files, by their digests; a context manager that keeps them open.

    What is no iterator can be read again; then the digest alone tells. A file that is gone by now is no twin any more.
    """

    def __init__(self, chunks: Iterable[bytes], twins: dict[Digest, Path], algorithm: str) -> None:
        self._once = isinstance(chunks, Iterator)
        self._chunks = chunks
        self._twins = twins
        self._algorithm = algorithm
        self._open = ExitStack()
        self._agreed: BinaryIO | None = None  # the file that has the first `_size` bytes
        self._size = 0
        self._parting = b""  # what came after them

    def __enter__(self) -> "Comparison":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def digest(self) -> Digest | None:
        """Read as far as a file may be the same; if that is to the end, answer its digest.

        The store is not trusted in this: the digest is that of the bytes that came.
        """
        if not self._once:
            found = self._hash_only() if self._twins else None
            return found if found in self._twins else None
        left: dict[Digest, BinaryIO] = {}
        for content, path in itertools.islice(self._twins.items(), _OPEN):
            with suppress(FileNotFoundError):
                left[content] = self._open.enter_context(path.open("rb", buffering=0))
        seen = BlobHash(self._algorithm)
        hashing = Worker(seen.consume, "twin")
        try:
            for chunk in self._chunks if left else ():
                left = {twin: file for twin, file in left.items() if file.read(len(chunk)) == chunk}
                if not left:
                    self._parting = chunk
                    return None
                self._agreed = next(iter(left.values()))
                hashing.feed(chunk)
                self._size += len(chunk)
            hashing.result()
        finally:
            hashing.cancel()
        return seen.digest if seen.digest in left else None

    def _hash_only(self) -> Digest:
        seen = BlobHash(self._algorithm)
        hashing = Worker(seen.consume, "twin")
        try:
            for chunk in self._chunks:
                hashing.feed(chunk)
            hashing.result()
        finally:
            hashing.cancel()
        return seen.digest

    def content(self) -> Iterator[bytes]:
        """The whole content: what was read of a pipe from where it was the same, then the rest."""
        if self._agreed is not None:
            left = self._size
            self._agreed.seek(0)
            for chunk in chunks_of(self._agreed):
                yield chunk[:left]
                left -= len(chunk)
                if left <= 0:
                    break
        if self._parting:
            yield self._parting
        yield from self._chunks
