"""Uncompressing streams piece by piece, in bounded memory. zstandard and isal live here.

Formats are told by content, never by label: archives and layers are often labelled wrong.
"""

import zlib
from bz2 import BZ2Decompressor
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from enum import Enum
from lzma import FORMAT_XZ, LZMADecompressor, LZMAError
from typing import Any, cast

import zstandard

from imagefs.errors import ArchiveError, Truncated
from imagefs.limits import Expansion
from imagefs.streams.chunks import CHUNK, ChunkReader

isal_zlib: Any = None
with suppress(ImportError):  # optional: the standard library does the same at half the speed
    from isal import isal_zlib

_ZSTD_WINDOW = 64 << 20
"""The largest zstd window in bytes, which is memory per stream; containerd's decoder has the same bound."""

_XZ_MEMORY = 128 << 20
"""The memory in bytes that an xz stream may take: twice what `xz -9` needs to be read."""

_INPUT = 256 << 10
"""How much compressed data is handed to inflate at once: it copies what it has not used yet."""

_HEADER = 128 << 10
"""A gzip header with its extra field and names has to come in one piece: isal loses its place in pieces of one."""


class Compression(Enum):
    """How a stream is compressed."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"
    XZ = "xz"
    BZIP2 = "bzip2"


def detect_around_archive(head: bytes) -> Compression:
    """The compression that the first bytes of an archive (6 are enough) show: as docker load, more than layers have."""
    if head.startswith(b"\xfd7zXZ\0"):
        return Compression.XZ
    if head.startswith(b"BZh"):
        return Compression.BZIP2
    return detect(head)


def detect(head: bytes) -> Compression:
    """The compression that the first bytes of a layer (4 are enough) show: gzip, zstd or none."""
    if head.startswith(b"\x1f\x8b\x08"):
        return Compression.GZIP
    # A zstd frame, or a skippable frame (RFC 8878, 3.1.2), which may come first.
    if head.startswith(b"\x28\xb5\x2f\xfd") or (head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50):
        return Compression.ZSTD
    return Compression.NONE


def uncompress(
    chunks: Iterable[bytes], compression: Compression, expansion: Expansion | None = None
) -> Iterator[bytes]:
    """The uncompressed stream, in pieces of at most `CHUNK` bytes, counted by `expansion`.

    Raises `Truncated` where the compressed stream ends early, `ArchiveError` where it is broken, `LimitExceeded`.
    """
    if expansion is not None:
        return expansion.checked(uncompress(expansion.counted(chunks), compression))
    if compression is Compression.GZIP:
        return _gunzip(chunks, isal_zlib if isal_zlib is not None else zlib)
    if compression is Compression.ZSTD:
        return _unzstd(chunks)
    if compression is Compression.XZ:
        return _unpack_streams(chunks, compression, lambda: LZMADecompressor(FORMAT_XZ, _XZ_MEMORY))
    if compression is Compression.BZIP2:
        return _unpack_streams(chunks, compression, BZ2Decompressor)
    return iter(chunks)


def _gunzip(chunks: Iterable[bytes], implementation: Any) -> Iterator[bytes]:  # noqa: ANN401  zlib or its like
    source = ChunkReader(chunks)
    new_member: Callable[[], Any] = lambda: implementation.decompressobj(16 + zlib.MAX_WBITS)  # noqa: E731
    inflater = new_member()
    fresh = True  # nothing of the current gzip member was seen yet
    first = True
    left = b""
    try:
        while True:
            if not left:
                left = next(source.take(_INPUT), b"")
                if not left:
                    break
            if fresh and not first:
                # RFC 1952 members may follow each other; tape tools pad with zeros, gzip takes that.
                left = left.lstrip(b"\0")
                if not left:
                    continue
            if fresh and len(left) < _HEADER:
                left += source.read(_HEADER - len(left))
            data = inflater.decompress(left, CHUNK)
            fresh = False
            left = inflater.unconsumed_tail
            if data:
                yield data
            if inflater.eof:
                left = inflater.unused_data
                inflater = new_member()
                fresh, first = True, False
        # What the inflater still holds back comes out when it is asked again.
        while not fresh and (data := inflater.decompress(b"", CHUNK)):
            yield data
    except (zlib.error, getattr(implementation, "error", zlib.error)) as error:
        raise ArchiveError(f"broken gzip data: {error}") from None
    if not fresh and not inflater.eof:
        raise Truncated("gzip data ends too early")


def _unpack_streams(
    chunks: Iterable[bytes], compression: Compression, new: Callable[[], BZ2Decompressor | LZMADecompressor]
) -> Iterator[bytes]:
    """What is in one stream after the other, with the zeros between and behind them that xz may have."""
    source = ChunkReader(chunks)
    left = b""
    try:
        while True:
            while not (left := left.lstrip(b"\0")):
                left = next(source.take(_INPUT), b"")
                if not left:
                    return
            unpacker = new()
            while not unpacker.eof:
                if unpacker.needs_input:
                    left = left or next(source.take(_INPUT), b"")
                    if not left:
                        raise Truncated(f"{compression.value} data ends too early")
                data = unpacker.decompress(left, CHUNK)
                left = b""
                if data:
                    yield data
            left = unpacker.unused_data
    except (LZMAError, OSError) as error:
        raise ArchiveError(f"broken {compression.value} data: {error}") from None


class _Pull:
    """The file-like face that zstandard's reader wants of a chunk stream."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._source = ChunkReader(chunks)

    def read(self, size: int) -> bytes:
        return next(self._source.take(size), b"")


def _unzstd(chunks: Iterable[bytes]) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    pull = _Pull(_whole_zstd_frames(ChunkReader(chunks)))
    try:
        with decompressor.stream_reader(cast(Any, pull), read_across_frames=True) as reader:
            while data := reader.read(CHUNK):
                yield data
    except zstandard.ZstdError as error:
        raise ArchiveError(f"broken zstd data: {error}") from None


def _whole_zstd_frames(source: ChunkReader) -> Iterator[bytes]:
    """Pass a zstd stream on block by block, and raise `Truncated` where a frame does not end.

    The reader of zstandard takes the end of its input for the end of the data, wherever it is; only
    the frame format (RFC 8878, 3.1.1) tells them apart.
    """
    try:
        while magic := source.read(4):
            if len(magic) < 4:
                raise Truncated("")
            if detect(magic) is not Compression.ZSTD:
                raise ArchiveError("broken zstd data: something else follows it")
            yield magic
            if magic[1:] == b"\x2a\x4d\x18":
                length = source.read_exactly(4)
                yield length
                yield from _exactly(source, int.from_bytes(length, "little"))
                continue
            descriptor = source.read_exactly(1)
            flags = descriptor[0]
            single_segment = flags >> 5 & 1
            content_size_field = (single_segment, 2, 4, 8)[flags >> 6]
            dictionary_field = (0, 1, 2, 4)[flags & 3]
            yield descriptor + source.read_exactly((1 - single_segment) + dictionary_field + content_size_field)
            last = 0
            while not last:
                header = source.read_exactly(3)
                yield header
                block = int.from_bytes(header, "little")
                last, kind, size = block & 1, block >> 1 & 3, block >> 3
                yield from _exactly(source, 1 if kind == 1 else size)  # a run-length block holds one byte
            if flags >> 2 & 1:
                yield source.read_exactly(4)
    except Truncated:
        raise Truncated("zstd data ends too early") from None


def _exactly(source: ChunkReader, size: int) -> Iterator[bytes]:
    for piece in source.take(size):
        size -= len(piece)
        yield piece
    if size:
        raise Truncated("")
