"""Sparse files in tars, in all forms that GNU tar writes: GNU tar manual, "Storing Sparse Files"."""

from imagefs.errors import ArchiveError
from imagefs.streams.chunks import ChunkReader
from imagefs.streams.pax import Extended
from imagefs.streams.tarfields import BLOCK, number, pax_integer, printable

MAX_SPARSE_SEGMENTS = 1 << 18
"""The most data segments that a sparse file may have."""


def old_gnu_sparse(block: bytes, source: ChunkReader) -> tuple[int, tuple[tuple[int, int], ...]]:
    """The map of type "S": four entries in the header, 21 in each extension block."""
    numbers: list[int] = []
    extension, start, count, more, real_size = block, 386, 4, block[482], number(block[483:495])
    while True:
        for position in range(start, start + 24 * count, 24):
            if not extension[position] or not extension[position + 12]:
                break
            numbers += (
                number(extension[position : position + 12]),
                number(extension[position + 12 : position + 24]),
            )
        if not more:
            break
        if len(numbers) > 2 * MAX_SPARSE_SEGMENTS:
            raise ArchiveError(f"sparse file with more than {MAX_SPARSE_SEGMENTS} segments")
        extension, start, count = source.read_exactly(BLOCK), 0, 21
        more = extension[504]
    return real_size, _pairs(numbers)


def pax_sparse(extended: Extended, source: ChunkReader) -> tuple[int | None, tuple[tuple[int, int], ...] | None]:
    """PAX formats 0.0 and 0.1 (map in the header) and 1.0 (map before the data)."""
    records = extended.records
    if records.get(b"GNU.sparse.major") == b"1" and records.get(b"GNU.sparse.minor") == b"0":
        real_size = pax_integer(records.get(b"GNU.sparse.realsize", b""))
        text = b""
        lines: list[bytes] = []
        wanted = 1
        while len(lines) < wanted:
            text += source.read_exactly(BLOCK)
            *complete, text = text.split(b"\n")
            lines += complete
            if lines and wanted == 1:
                wanted = 1 + 2 * pax_integer(lines[0])
                if wanted > 1 + 2 * MAX_SPARSE_SEGMENTS:
                    raise ArchiveError(f"sparse file with more than {MAX_SPARSE_SEGMENTS} segments")
            if len(text) > BLOCK:
                raise ArchiveError("broken sparse map")
        return real_size, _pairs([pax_integer(line) for line in lines[1:wanted]])
    if (listed := records.get(b"GNU.sparse.map")) is not None:
        size = pax_integer(records.get(b"GNU.sparse.size", b""))
        return size, _pairs([pax_integer(value) for value in listed.split(b",")])
    if b"GNU.sparse.numblocks" in records or extended.sparse_points:
        return pax_integer(records.get(b"GNU.sparse.size", b"")), _pairs(extended.sparse_points)
    return None, None


def _pairs(numbers: list[int]) -> tuple[tuple[int, int], ...]:
    if len(numbers) % 2:
        raise ArchiveError("sparse map with an odd number of entries")
    # Writers end the map with an empty piece at the end of the file; it holds nothing.
    return tuple((offset, length) for offset, length in zip(numbers[::2], numbers[1::2], strict=True) if length)


def check_sparse(sparse: tuple[tuple[int, int], ...], real_size: int, stored: int, name: bytes) -> None:
    """Raise `ArchiveError` unless the pieces are in order and add up to what is stored."""
    position = 0
    for offset, length in sparse:
        if offset < position or length < 0:
            raise ArchiveError(f"{printable(name)}: sparse map is out of order")
        position = offset + length
    if position > real_size or sum(length for _, length in sparse) != stored:
        raise ArchiveError(f"{printable(name)}: sparse map does not fit the file")
