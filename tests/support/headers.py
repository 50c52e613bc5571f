"""Tar headers made by hand, for what `tarfile` does not write."""

from collections.abc import Mapping, Sequence
from typing import Any


def octal(value: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, value)


def header(
    name: bytes = b"a",
    flag: bytes = b"0",
    *,
    size: int | bytes = 0,
    mode: int | bytes = 0o644,
    uid: int | bytes = 0,
    gid: int | bytes = 0,
    mtime: int | bytes = 0,
    link: bytes = b"",
    magic: bytes = b"ustar\x0000",
    tail: bytes = b"",
    checksum: bytes | None = None,
) -> bytes:
    """One header block. Numbers may be given as the bytes of their field; `tail` is what follows the group name."""

    def field(value: int | bytes, width: int) -> bytes:
        return value if isinstance(value, bytes) else octal(value, width)

    block = b"".join(
        [
            name.ljust(100, b"\0"), field(mode, 8), field(uid, 8), field(gid, 8), field(size, 12), field(mtime, 12),
            b" " * 8, flag, link.ljust(100, b"\0"), magic.ljust(8, b"\0"), bytes(64), tail,
        ]
    ).ljust(512, b"\0")  # fmt: skip
    assert len(block) == 512
    sum_field = b"%06o\0 " % sum(block) if checksum is None else checksum
    return block[:148] + sum_field + block[156:]


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def pax_record(keyword: bytes, value: bytes) -> bytes:
    rest = len(keyword) + len(value) + 3
    length = rest
    while length != rest + len(str(length)):
        length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, keyword, value)


def extended(payload: bytes, flag: bytes = b"x") -> bytes:
    """An extended header with a payload."""
    return header(b"PaxHeaders/a", flag, size=len(payload)) + padded(payload)


def pax(records: Mapping[bytes, bytes], flag: bytes = b"x") -> bytes:
    return extended(b"".join(pax_record(*each) for each in records.items()), flag)


# -- sparse files: GNU tar manual, "Storing Sparse Files"

Pieces = Sequence[tuple[int, bytes]]
"""What is not a hole: (offset in the file, data)."""


def old_gnu_sparse(name: bytes, pieces: Pieces, size: int, **fields: Any) -> bytes:
    """Type `S`: four pieces in the header, 21 in each extension block after it."""
    entries = [octal(offset, 12) + octal(len(data), 12) for offset, data in pieces]
    entries.append(octal(size, 12) + octal(0, 12))  # GNU tar ends the map so
    stored = b"".join(data for _, data in pieces)
    # Behind the group name: device numbers, access and change time, offset, long names, a byte without use.
    first = bytes(8 + 8 + 12 + 12 + 12 + 4 + 1) + b"".join(entries[:4]).ljust(96, b"\0")
    rest = [entries[start : start + 21] for start in range(4, len(entries), 21)]
    first += bytes([bool(rest)]) + octal(size, 12)
    extensions = b"".join(
        (b"".join(some).ljust(504, b"\0") + bytes([number < len(rest)])).ljust(512, b"\0")
        for number, some in enumerate(rest, 1)
    )
    head = header(name, b"S", size=len(stored), magic=b"ustar  \0", tail=first, **fields)
    return head + extensions + padded(stored)


def pax_sparse(name: bytes, pieces: Pieces, size: int, version: str, **fields: Any) -> bytes:
    """PAX formats 0.0 (records that repeat), 0.1 (one record) and 1.0 (the map goes before the data)."""
    places = [(offset, len(data)) for offset, data in [*pieces, (size, b"")]]
    stored = b"".join(data for _, data in pieces)
    real_size = b"%d" % size
    if version == "1.0":
        numbers = b"".join(b"%d\n" % number for number in (len(places), *(each for place in places for each in place)))
        stored = padded(numbers) + stored
        records = [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", real_size)]
        records.append((b"GNU.sparse.name", name))
        name = b"GNUSparseFile.0/" + name
    else:
        records = [(b"GNU.sparse.size", real_size), (b"GNU.sparse.numblocks", b"%d" % len(places))]
        if version == "0.1":
            records.append((b"GNU.sparse.name", name))
            records.append((b"GNU.sparse.map", b",".join(b"%d,%d" % place for place in places)))
            name = b"GNUSparseFile.0/" + name
        else:
            for offset, length in places:
                records += [(b"GNU.sparse.offset", b"%d" % offset), (b"GNU.sparse.numbytes", b"%d" % length)]
    head = header(name, size=len(stored), **fields)
    return extended(b"".join(pax_record(*each) for each in records)) + head + padded(stored)
