"""The headers of a tar that is written: ustar, with a PAX extended header where that is too narrow.

POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header"; extended attributes as star and GNU tar
write them, SCHILY.xattr.*. `streams.tar` is the way back.
"""

import struct
import zlib
from collections.abc import Iterable

from imagefs.streams.tarfields import BLOCK, NANOSECONDS

PADDING = bytes(BLOCK)

RECORD = 20 * BLOCK
"""An archive is a multiple of this many bytes."""

_HEADER = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x")
_NAME = 100
_OCTAL_7, _OCTAL_11 = 1 << 21, 1 << 33  # the first numbers that 7 and 11 octal digits do not hold

Records = list[tuple[bytes, bytes]]


def header(
    name: bytes,
    flag: bytes,
    *,
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    size: int = 0,
    mtime_ns: int = 0,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
    xattrs: Iterable[tuple[bytes, bytes]] = (),
    real_size: int | None = None,
) -> bytes:
    """All that goes before a member's content.

    `size` in bytes is that of the content, `mtime_ns` nanoseconds since the epoch. With `real_size`, it is a sparse
    file of so many bytes, and its content is a `sparse_map` and the pieces that are no holes.
    """
    if real_size is None:
        further = _text_record(b"path", name)
    else:
        further = [
            (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"),
            (b"GNU.sparse.name", name), (b"GNU.sparse.realsize", b"%d" % real_size),
        ]  # fmt: skip
        # Where it goes with readers that know nothing of sparse files, so that it replaces no whole file.
        name = b"./GNUSparseFile.0/" + name.rpartition(b"/")[2]
    further += [
        *_text_record(b"linkpath", link),
        *_number_record(b"uid", uid, _OCTAL_7),
        *_number_record(b"gid", gid, _OCTAL_7),
        *_number_record(b"size", size, _OCTAL_11),
    ]
    seconds, nanoseconds = divmod(mtime_ns, NANOSECONDS)
    if nanoseconds or not 0 <= seconds < _OCTAL_11:
        further.append((b"mtime", decimal_time(mtime_ns)))
    if not all(_is_utf8(value) for _, value in further):
        # Before what it is about: pax, "pax Extended Header Keywords".
        further.insert(0, (b"hdrcharset", b"BINARY"))
    further += _xattr_records(xattrs)
    block = _block(
        name, flag, mode, _fitting(uid, _OCTAL_7), _fitting(gid, _OCTAL_7), _fitting(size, _OCTAL_11),
        _fitting(seconds, _OCTAL_11), link, device,
    )  # fmt: skip
    return pax_header(further) + block if further else block


def pax_header(records: Records) -> bytes:
    """An extended header: it says more of the member that follows it."""
    payload = b"".join(pax_record(keyword, value) for keyword, value in records)
    block = _block(b"././@PaxHeader", b"x", 0o644, 0, 0, len(payload), 0, b"", (0, 0))
    return block + payload + padding(len(payload))


def pax_record(keyword: bytes, value: bytes) -> bytes:
    """`length keyword=value`, where the length counts itself."""
    rest = len(keyword) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, keyword, value)


def sparse_map(size: int, pieces: Iterable[tuple[int, int]]) -> bytes:
    """What goes before the data of a sparse file of `size` bytes, whose pieces are (offset, length).

    GNU tar manual, "PAX Format, Version 1.0". A hole at the end is an empty piece.
    """
    numbers = [number for piece in pieces for number in piece]
    if not numbers or numbers[-2] + numbers[-1] < size:
        numbers += [size, 0]
    text = b"".join(b"%d\n" % number for number in [len(numbers) // 2, *numbers])
    return text + padding(len(text))


def padding(size: int) -> bytes:
    """What fills so many bytes up to a whole number of blocks."""
    return PADDING[: -size % BLOCK]


def decimal_time(nanoseconds: int) -> bytes:
    """Nanoseconds since the epoch as a PAX time: decimal seconds."""
    seconds, rest = divmod(abs(nanoseconds), NANOSECONDS)
    sign = b"-" * (nanoseconds < 0)
    return (b"%b%d.%09d" % (sign, seconds, rest)).rstrip(b"0") if rest else b"%b%d" % (sign, seconds)


def _xattr_records(xattrs: Iterable[tuple[bytes, bytes]]) -> Records:
    # In the names % and = are escaped, as GNU tar does: the first = ends the keyword.
    return [(b"SCHILY.xattr." + name.replace(b"%", b"%25").replace(b"=", b"%3D"), value) for name, value in xattrs]


def _text_record(keyword: bytes, value: bytes) -> Records:
    # What is UTF-8 and not ASCII is said in a record, where readers know that it is UTF-8. Other bytes stand in the
    # header as they are, where there is room: readers that know nothing of hdrcharset take them so.
    if len(value) > _NAME or (not value.isascii() and _is_utf8(value)):
        return [(keyword, value)]
    return []


def _number_record(keyword: bytes, value: int, bound: int) -> Records:
    return [] if value < bound else [(keyword, b"%d" % value)]


def _fitting(value: int, bound: int) -> int:
    return value if 0 <= value < bound else 0


def _is_utf8(value: bytes) -> bool:
    if value.isascii():
        return True
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _block(
    name: bytes,
    flag: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    seconds: int,
    link: bytes,
    device: tuple[int, int],
) -> bytes:
    block = _HEADER.pack(
        name[:_NAME], b"%07o" % mode, b"%07o" % uid, b"%07o" % gid, b"%011o" % size, b"%011o" % seconds, b" " * 8, flag,
        link[:_NAME], b"ustar\x0000", b"", b"", b"%07o" % device[0], b"%07o" % device[1], b"",
    )  # fmt: skip
    # adler32's lower half is one more than the sum of the bytes modulo 65521, and no header of these fields comes to
    # that: the checksum at the speed of C.
    checksum = (zlib.adler32(block) & 0xFFFF) - 1
    return b"%b%06o\0 %b" % (block[:148], checksum, block[156:])
