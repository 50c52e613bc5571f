"""The stream that a user brings: compressed or not, of known length and name or not, looked at before it is read."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from imagefs.streams.chunks import ChunkReader, ReadableStream, chunks_of
from imagefs.streams.compression import detect, uncompress

HEAD = 1 << 20
"""How many bytes of the uncompressed archive importers may look at before they say whether it is theirs."""


class ArchiveStream:
    """A stream to be read once, front to back, whose first bytes can be looked at before.

    Compression around the whole archive is taken off. `head` is up to `HEAD` bytes of what is inside;
    `advanced` is told how many bytes of the stream itself were read. Raises `ArchiveError` where the
    compression is broken.
    """

    def __init__(self, stream: ReadableStream, advanced: Callable[[int], None] = lambda _: None) -> None:
        raw = ChunkReader(_counted(chunks_of(stream), advanced))
        self._inside = ChunkReader(uncompress(raw.rest(), detect(raw.peek(4))))
        self.head = self._inside.peek(HEAD)
        self.name = file_name(stream)

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, as a binary file's `read`."""
        if size < 0:
            return b"".join(self._inside.rest())
        return next(self._inside.take(size), b"")


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
