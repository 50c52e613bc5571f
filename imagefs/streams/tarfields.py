"""The fields of tar headers: octal and base-256 numbers, PAX numbers and times, printable names."""

from functools import lru_cache

from imagefs.errors import ArchiveError

BLOCK = 512
"""Everything in a tar starts at a multiple of this many bytes."""

NANOSECONDS = 1_000_000_000
"""Nanoseconds in a second."""


@lru_cache(maxsize=8192)
def number(field: bytes) -> int:
    """An octal or base-256 number. Raises `ArchiveError`."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big", signed=False)
        bits = 8 * len(field)
        if field[0] & 0x40:
            return value - (1 << bits)
        return value - (1 << (bits - 1))
    digits = field.partition(b"\0")[0].strip(b" ")
    try:
        # int() would take signs, underscores and white space inside.
        return int(digits, 8) if digits.isdigit() else _oddnumber(digits)
    except ValueError:
        raise ArchiveError(f"broken number {field!r} in a tar header") from None


def _oddnumber(digits: bytes) -> int:
    if digits and not (digits[:1] == b"-" and digits[1:].isdigit()):
        raise ValueError(digits)
    return int(digits or b"0", 8)


def pax_integer(value: bytes) -> int:
    """A PAX value that is a decimal number. Raises `ArchiveError`."""
    if not value.isdigit() or len(value) > 30:
        raise ArchiveError(f"broken number {value[:40]!r} in a PAX header")
    return int(value)


def pax_time(value: bytes) -> int:
    """Nanoseconds of a PAX time: decimal seconds with any number of places; what is finer is cut off."""
    negative = value.startswith(b"-")
    whole, _, places = value.removeprefix(b"-").partition(b".")
    if not (whole + places).isdigit() or len(whole) > 20:
        raise ArchiveError(f"broken time {value[:40]!r} in a PAX header")
    # Cut towards the past, as GNU tar does, so that a time never moves into the future.
    nanoseconds = int(whole or b"0") * NANOSECONDS + int(places[:9].ljust(9, b"0"))
    if negative:
        return -nanoseconds - (1 if places[9:].strip(b"0") else 0)
    return nanoseconds


def printable(name: bytes) -> str:
    """A file name for a message."""
    return name.decode("utf-8", "backslashreplace")
