"""PAX extended headers: POSIX.1-2017, pax, "pax Header Block"."""

from base64 import b64decode
from urllib.parse import unquote_to_bytes

from imagefs.errors import ArchiveError
from imagefs.streams.tarfields import pax_integer

_XATTRS = (b"SCHILY.xattr.", b"LIBARCHIVE.xattr.")
_SPARSE_POINTS = frozenset([b"GNU.sparse.offset", b"GNU.sparse.numbytes"])
_NEWLINE = ord("\n")


class Extended:
    """What PAX and GNU headers say of the member that follows them."""

    __slots__ = ("long_link", "long_name", "records", "sparse_points")

    def __init__(self, records: dict[bytes, bytes]) -> None:
        self.records = records
        self.sparse_points: list[int] = []  # GNU.sparse.offset and .numbytes of format 0.0, which repeat
        self.long_name: bytes | None = None
        self.long_link: bytes | None = None


def parse_pax(payload: bytes, extended: Extended) -> None:
    """Take in an extended header's records. Raises `ArchiveError`."""
    position = 0
    size = len(payload)
    while position < size and payload[position]:
        space = payload.find(b" ", position, position + 20)
        length = payload[position:space]
        end = position + int(length) if space > 0 and length.isdigit() else 0
        keyword, equals, value = payload[space + 1 : end - 1].partition(b"=")
        if not end or end > size or not equals or not keyword or payload[end - 1] != _NEWLINE:
            raise ArchiveError("broken PAX header")
        position = end
        if keyword in _SPARSE_POINTS:
            extended.sparse_points.append(pax_integer(value))
        elif value or keyword.startswith(_XATTRS):
            extended.records[keyword] = value
        else:
            extended.records.pop(keyword, None)  # an empty value unsets the keyword


def decimal(records: dict[bytes, bytes], keyword: bytes, default: int) -> int:
    """A record's number, or the default where there is no such record. Raises `ArchiveError`."""
    value = records.get(keyword)
    return default if value is None else pax_integer(value)


def pax_xattrs(records: dict[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
    """SCHILY.xattr (raw values) and LIBARCHIVE.xattr (percent-encoded name, base64 value)."""
    found: dict[bytes, bytes] = {}
    for keyword, value in records.items():
        if not keyword.startswith(_XATTRS):
            continue
        if keyword.startswith(b"SCHILY.xattr."):
            found[keyword[13:]] = value
        else:
            name = unquote_to_bytes(keyword[17:])
            if b"SCHILY.xattr." + name not in records:  # writers that emit both mean the same
                try:
                    found[name] = b64decode(value + b"=" * (-len(value) % 4), validate=True)
                except ValueError:
                    raise ArchiveError("broken LIBARCHIVE.xattr in a PAX header") from None
    return tuple(sorted(found.items()))
