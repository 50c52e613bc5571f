"""Compressing with gzip on all cores (RFC 1952): one member, whose bytes depend on the content alone.

Each block of the content is deflated by itself, with what came before it for a dictionary, so that blocks can be
made at the same time and still lean on each other.
"""

import os
import struct
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

BLOCK = 1 << 20
"""Bytes of content in a block."""

_WINDOW = 32 << 10  # how far back deflate looks
_LEVEL = 6
# Deflate, no flags, no time, and no operating system that anybody would name.
_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_END = b"\x03\0"  # an empty last block


def gzip_compressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks as one gzip member."""
    yield _HEADER
    checksum = size = 0
    before = b""
    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        waiting: deque[Future[bytes]] = deque()
        for block in _blocks(chunks):
            checksum = zlib.crc32(block, checksum)
            size += len(block)
            waiting.append(threads.submit(_deflate, block, before))
            before = block[-_WINDOW:]
            if len(waiting) > 2 * (os.cpu_count() or 1):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    yield _END + struct.pack("<II", checksum, size & 0xFFFFFFFF)


def _deflate(block: bytes, before: bytes) -> bytes:
    deflater = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_DEFAULT_STRATEGY, before)
    return deflater.compress(block) + deflater.flush(zlib.Z_SYNC_FLUSH)


def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The content in blocks of equal size, however it comes."""
    gathered = bytearray()
    for chunk in chunks:
        gathered += chunk
        while len(gathered) >= BLOCK:
            yield bytes(gathered[:BLOCK])
            del gathered[:BLOCK]
    if gathered:
        yield bytes(gathered)
