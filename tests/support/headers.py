"""Tar headers made by hand, for what `tarfile` does not write."""

from collections.abc import Mapping


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
