"""The stream that a user brings: compressed or not, of known length and name or not, looked at before it is read."""

import io
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from imagefs.errors import ArchiveError
from imagefs.limits import DEFAULTS, Expansion, Limits
from imagefs.streams.chunks import CHUNK, ChunkReader, ReadableStream, chunks_of
from imagefs.streams.compression import Compression, detect_around_archive, uncompress

HEAD = 1 << 20
"""How many bytes of the uncompressed archive importers may look at before they say whether it is theirs."""


class ArchiveStream:
    """A stream to be read once, front to back, whose first bytes can be looked at before.

    Compression around the whole archive is taken off. `head` is up to `HEAD` bytes of what is inside;
    `advanced` is told how many bytes of the stream itself were read. Raises `ArchiveError` where the
    compression is broken, or what is in it is more than `limits` allow.
    """

    def __init__(
        self,
        stream: ReadableStream,
        advanced: Callable[[int], None] = lambda _: None,
        limits: Limits = DEFAULTS,
    ) -> None:
        file = _regular_file(stream)
        start = file.tell() if file is not None else 0
        raw = ChunkReader(_counted(chunks_of(stream), advanced))
        compression = detect_around_archive(raw.peek(6))
        self._inside = ChunkReader(uncompress(raw.rest(), compression, Expansion(limits, "total_size")))
        self.head = self._inside.peek(HEAD)
        self.name = file_name(stream)
        if file is not None and compression is Compression.NONE:
            self._inside = FileReader(file.fileno(), start, advanced)

    def reader(self) -> ChunkReader:
        """What is inside: a `FileReader` where that is possible. To be used instead of `read`, not beside it."""
        return self._inside

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, as a binary file's `read`."""
        if size < 0:
            return b"".join(self._inside.rest())
        return next(self._inside.take(size), b"")


class FileReader(ChunkReader):
    """A reader of a regular file, from `start` on: what is skipped is not read, and any piece can be read by itself."""

    def __init__(self, descriptor: int, start: int, advanced: Callable[[int], None]) -> None:
        self._descriptor, self._start, self._advanced = descriptor, start, advanced
        self._read = 0  # how far chunks were read, or skipped
        super().__init__(self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        while chunk := os.pread(self._descriptor, CHUNK, self._start + self._read):
            self._read += len(chunk)
            self._advanced(self._read)
            yield chunk

    def skip(self, size: int) -> int:
        """Pass over `size` bytes; answers how many there were."""
        at_hand = self._read - self.position
        if size <= at_hand:
            return super().skip(size)
        super().skip(at_hand)
        further = max(0, min(size - at_hand, self._size() - self._read))
        self._read += further
        self._consumed += further  # as if they had come in a chunk
        self._advanced(self._read)
        return at_hand + further

    def from_the_start(self) -> "FileReader":
        """Another reader of the same content, of which nobody is told how far it is."""
        return FileReader(self._descriptor, self._start, lambda _: None)

    def extent(self, offset: int, size: int) -> "Extent | None":
        """The piece at a position of this reader, None where the file ends before it does."""
        return Extent(self._descriptor, self._start + offset, size) if offset + size <= self._size() else None

    def _size(self) -> int:
        return os.fstat(self._descriptor).st_size - self._start


class Extent:
    """A piece of a regular file. It is read as often as it is iterated over, in any thread, and no reader moves by it.

    Raises `ArchiveError` where the file ends before it by now.
    """

    def __init__(self, descriptor: int, offset: int, size: int) -> None:
        self._descriptor, self._offset, self._size = descriptor, offset, size

    def __iter__(self) -> Iterator[bytes]:
        position, end = self._offset, self._offset + self._size
        while position < end:
            chunk = os.pread(self._descriptor, min(CHUNK, end - position), position)
            if not chunk:
                raise ArchiveError(f"the archive ends inside it, {end - position} bytes early")
            position += len(chunk)
            yield chunk


def _regular_file(stream: object) -> io.FileIO | io.BufferedReader | None:
    """The stream itself if it is a regular file; what only looks like one may give other bytes than its descriptor."""
    if type(stream) is io.BufferedReader and type(stream.raw) is not io.FileIO:
        return None
    if type(stream) not in (io.FileIO, io.BufferedReader) or size_of(stream) is None:
        return None
    return stream  # type: ignore[return-value]  # one of these two


def _counted(chunks: Iterable[bytes], advanced: Callable[[int], None]) -> Iterator[bytes]:
    position = 0
    for chunk in chunks:
        position += len(chunk)
        advanced(position)
        yield chunk


def size_of(stream: object) -> int | None:
    """How many bytes a stream holds, where it is a regular file."""
    try:
        status = os.fstat(stream.fileno())  # type: ignore[attr-defined]  # not every stream has one
    except (AttributeError, OSError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def file_name(stream: object) -> str | None:
    """The name of the file behind a stream, None for pipes and buffers."""
    name = getattr(stream, "name", None)
    return Path(name).name if isinstance(name, str) and not name.startswith("<") else None
