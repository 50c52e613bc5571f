"""The fields of tar headers: octal and base-256 numbers, PAX numbers and times, printable names."""

from functools import lru_cache

from imagefs.errors import ArchiveError

BLOCK = 512
"""Everything in a tar starts at a multiple of this many bytes."""

_LONGEST_SHOWN = 1024

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


def varied_number(field: bytes) -> int:
    """The same as `number`, for fields that are seldom alike: it remembers none. Raises `ArchiveError`."""
    digits = field[:-1]
    if digits.isdigit() and field[-1] == 0:
        try:
            return int(digits, 8)
        except ValueError:  # there is an 8 or a 9 in it
            pass
    return number(field)


@lru_cache(maxsize=1024)
def numbers(fields: bytes) -> tuple[int, ...]:
    """The numbers of fields of eight bytes each that lie side by side. Raises `ArchiveError`."""
    return tuple(number(fields[start : start + 8]) for start in range(0, len(fields), 8))


@lru_cache(maxsize=8192)
def adler_vouched_for(checksum: bytes) -> int:
    """The lower half that adler32 has of a header whose checksum field is right; -1 where it is no number.

    That half is one more than the sum of all bytes, modulo 65521. The checksum counts its own field as spaces.
    """
    try:
        return (number(checksum) - len(checksum) * ord(" ") + sum(checksum) + 1) % 65521
    except ArchiveError:
        return -1


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
    if value.startswith(b"-"):
        nanoseconds, finer = _seconds(value[1:])
        # Cut towards the past, as GNU tar does, so that a time never moves into the future.
        return -nanoseconds - finer
    return _seconds(value)[0]


def _seconds(value: bytes) -> tuple[int, bool]:
    """Nanoseconds, and whether there was more after them."""
    whole, _, places = value.partition(b".")
    if not (whole + places).isdigit() or len(whole) > 20:
        raise ArchiveError(f"broken time {value[:40]!r} in a PAX header")
    nanoseconds = int(whole or b"0") * NANOSECONDS
    if places:
        nanoseconds += int(places[:9].ljust(9, b"0"))
    return nanoseconds, bool(places[9:].strip(b"0"))


def printable(name: bytes) -> str:
    """A file name for a message, a long one cut short: nothing in it can steer a terminal."""
    text = name[:_LONGEST_SHOWN].decode("utf-8", "backslashreplace")
    if len(name) > _LONGEST_SHOWN:
        text += "..."
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()
