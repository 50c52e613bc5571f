"""Reading exact amounts from a stream that arrives in chunks of any size."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from imagefs.errors import Truncated

CHUNK = 1 << 20
"""How many bytes travel together: large enough that hashing and writing run outside the interpreter lock."""


class ReadableStream(Protocol):
    """What is needed of a binary file: files, pipes, sockets' makefiles, `BytesIO`."""

    def read(self, size: int = ..., /) -> bytes:
        """Up to `size` bytes; none at the end."""


def chunks_of(stream: ReadableStream, size: int = CHUNK) -> Iterator[bytes]:
    """The stream's bytes, `size` at a time as far as it gives them."""
    while chunk := stream.read(size):
        yield chunk


class ChunkReader:
    """Pulls from an iterable of chunks: exact reads, skips, and takes that do not copy.

    `position` is the number of bytes taken so far.
    """

    __slots__ = ("_chunk", "_chunks", "_consumed", "_offset")

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._chunk = b""
        self._offset = 0
        self._consumed = 0  # bytes in the chunks before the current one

    @property
    def position(self) -> int:
        """Bytes taken so far."""
        return self._consumed + self._offset

    def _next(self) -> bool:
        for chunk in self._chunks:
            if chunk:
                self._consumed += len(self._chunk)
                self._chunk = chunk
                self._offset = 0
                return True
        return False

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end, without taking them."""
        while len(self._chunk) - self._offset < size:
            rest = self._chunk[self._offset :]
            consumed = self._consumed + self._offset
            following = next(self._chunks, None)
            if following is None:
                break
            self._chunk = rest + following
            self._offset = 0
            self._consumed = consumed
        return self._chunk[self._offset : self._offset + size]

    def read(self, size: int) -> bytes:
        """`size` bytes, fewer only at the end of the stream."""
        end = self._offset + size
        if end <= len(self._chunk):
            data = self._chunk[self._offset : end]
            self._offset = end
            return data
        return b"".join(self.take(size))

    def read_exactly(self, size: int) -> bytes:
        """`size` bytes. Raises `Truncated` where the stream has fewer."""
        data = self.read(size)
        if len(data) != size:
            raise Truncated(f"ends after {self.position} bytes, in the middle of something")
        return data

    def take(self, size: int) -> Iterator[bytes]:
        """Up to `size` bytes in pieces as they lie in the stream; fewer only at its end."""
        while size > 0:
            available = len(self._chunk) - self._offset
            if not available:
                if not self._next():
                    return
                continue
            piece = self._chunk
            if available > size or self._offset:
                piece = piece[self._offset : self._offset + size]
            self._offset += len(piece)
            size -= len(piece)
            yield piece

    def skip(self, size: int) -> int:
        """Pass over `size` bytes; answers how many there were."""
        left = size
        while left > 0:
            available = len(self._chunk) - self._offset
            if available >= left:
                self._offset += left
                return size
            left -= available
            self._offset = len(self._chunk)
            if not self._next():
                break
        return size - left

    def read_at(self, position: int, size: int) -> bytes:
        """`size` bytes from a position that is not passed yet; fewer only at the end of the stream."""
        start = position - self._consumed
        end = start + size
        if self._offset <= start and end <= len(self._chunk):
            self._offset = end
            return self._chunk[start:end]
        self.skip(position - self.position)
        return self.read(size)

    def rest(self) -> Iterator[bytes]:
        """Everything that is left."""
        if self._offset < len(self._chunk):
            piece = self._chunk[self._offset :]
            self._offset = len(self._chunk)
            yield piece
        while self._next():
            self._offset = len(self._chunk)
            yield self._chunk
