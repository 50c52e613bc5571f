"""How large and how deep JSON may be before it is looked into."""

import re

import msgspec

from imagefs.errors import ArchiveError
from imagefs.limits import Limits

MAX_VALUES = 1_000_000
"""How many values a document may have: each takes many times the memory of the two bytes that it may be written in."""

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NOT_A_BRACKET = bytes(byte for byte in range(256) if byte not in b"[]{}")


def check_size(size: int, limits: Limits, member: str) -> None:
    """Raise `LimitExceeded` for a document of too many bytes."""
    limits.check("json_size", size, "bytes of a document", member=member)


def check_depth(data: bytes, limits: Limits, member: str) -> None:
    """Raise `LimitExceeded` for a document whose values lie too deep in each other, `ArchiveError` for too many."""
    check_values(data, member)
    limits.check("json_depth", depth(data, limits.json_depth), "values in each other", member=member)


def check_values(data: bytes, member: str) -> None:
    """Raise `ArchiveError` for a document of too many values."""
    if has_too_many_values(data):
        raise ArchiveError(f"a document of more than {MAX_VALUES} values", member=member)


def has_too_many_values(data: bytes) -> bool:
    """Whether there may be more than `MAX_VALUES`: it counts what is in texts, too."""
    return len(data) > MAX_VALUES and sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES


def depth(data: bytes, enough: int) -> int:
    """How deep values lie in each other; if that is at most `enough`, it may answer anything up to that.

    Of what is no JSON it is not told: whoever decodes it will say so.
    """
    if data.count(b"[") + data.count(b"{") <= enough:
        return 0
    try:
        msgspec.json.decode(data, type=msgspec.Raw)  # or the search for texts might take forever
    except RecursionError:
        return enough + 1
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0
    deepest = now = 0
    for bracket in _STRING.sub(b"", data).translate(None, _NOT_A_BRACKET):
        now += 1 if bracket in b"[{" else -1
        deepest = max(deepest, now)
    return deepest
