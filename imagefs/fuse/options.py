"""The `-o` list: our own options, and what goes on to libfuse as it is.

Our own are `noxattr`, `provenance`, `layers`, `verify`, `owner=image|me`, and any number of
`uidmap=INSIDE:OUTSIDE:COUNT` and `gidmap=INSIDE:OUTSIDE:COUNT`. Of options that exclude each other the last one
counts, as with mount(8).
"""

import os
import re
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path

import msgspec

from imagefs.errors import MountError
from imagefs.tree.owners import MAX_ID, IdMap, IdRange, Owners, mapped, mine

OWNERS = ("image", "me")
"""The image's owners; or all is the mounter's."""

_FLAGS = frozenset(["noxattr", "provenance", "layers", "verify"])
_VALUED = frozenset(["owner", "uidmap", "gidmap"])

_RANGE = re.compile(r"([0-9]{1,10}):([0-9]{1,10}):([0-9]{1,10})", re.ASCII)
_OPTION = re.compile(r"(?:[^,\\]|\\.|\\$)+", re.DOTALL)


class MountOptions(msgspec.Struct, frozen=True):
    """What an `-o` list says: our own options, and in `passed_on`, in their order, libfuse's.

    `owner` is None where it was not said: then it is `image` for root, and for everybody who maps ids, and else `me`.
    """

    noxattr: bool = False
    provenance: bool = False
    layers: bool = False
    verify: bool = False
    owner: str | None = None
    uidmap: tuple[IdRange, ...] = ()
    gidmap: tuple[IdRange, ...] = ()
    passed_on: tuple[str, ...] = ()

    def owners(self) -> Owners | None:
        """What this process, as the mounter, has to do to the owners of the image; None for nothing."""
        if self.uidmap or self.gidmap:
            return mapped(_id_map(self.uidmap, "uid"), _id_map(self.gidmap, "gid"))
        if self.owner == "image" or (self.owner is None and os.geteuid() == 0):
            return None
        # The real ids: they are what fusermount3 tells the kernel that the mounter is.
        return mine(os.getuid(), os.getgid())


def parse(groups: Iterable[str]) -> MountOptions:
    """What options say, each one alone or several separated by commas, a backslash before what does not separate.

    Raises `MountError` for a wrong value of an option of ours.
    """
    flags: dict[str, bool] = {}
    owner: str | None = None
    maps: dict[str, list[IdRange]] = {"uidmap": [], "gidmap": []}
    passed_on = []
    for option in _split(groups):
        key, equals, value = option.partition("=")
        if key in _FLAGS:
            if equals:
                raise MountError(f"{option!r}: {key} takes no value")
            flags[key] = True
        elif key not in _VALUED:
            passed_on.append(option)
        elif key == "owner":
            if value not in OWNERS:
                raise MountError(f"{option!r}: owner is {' or '.join(OWNERS)}")
            owner = value
        else:
            maps[key].append(_id_range(option, value))
    if flags.get("noxattr"):
        for key in ("provenance", "layers"):
            if flags.get(key):
                raise MountError(f"noxattr and {key} exclude each other: {key} answers with extended attributes")
    for key, ranges in maps.items():
        _check_overlap(key, ranges)
        if ranges and owner == "me":
            raise MountError(f"owner=me and {key}= exclude each other: all is the mounter's, or what the map says")
    return MountOptions(
        owner=owner, uidmap=tuple(maps["uidmap"]), gidmap=tuple(maps["gidmap"]), passed_on=tuple(passed_on), **flags
    )


def escaped(value: str) -> str:
    """A value as libfuse takes it in an option: commas separate and backslashes escape there."""
    return value.replace("\\", "\\\\").replace(",", "\\,")


def _split(groups: Iterable[str]) -> Iterator[str]:
    for group in groups:
        yield from _OPTION.findall(group)


def _id_range(option: str, value: str) -> IdRange:
    found = _RANGE.fullmatch(value)
    if found is None:
        raise MountError(f"{option!r}: a map is INSIDE:OUTSIDE:COUNT, three numbers")
    inside, outside, count = map(int, found.groups())
    if not count:
        raise MountError(f"{option!r}: a map of no ids")
    if max(inside, outside) + count - 1 > MAX_ID:
        raise MountError(f"{option!r}: there is no id above {MAX_ID}")
    return IdRange(inside, outside, count)


def _check_overlap(key: str, ranges: Iterable[IdRange]) -> None:
    # On either side, as in /proc/PID/uid_map: an id that two ranges lead to could not be told apart any more.
    for one, other in combinations(ranges, 2):
        for side in ("inside", "outside"):
            first, second = getattr(one, side), getattr(other, side)
            if first < second + other.count and second < first + one.count:
                raise MountError(f"{_text(key, one)} and {_text(key, other)} overlap {side}")


def _text(key: str, ids: IdRange) -> str:
    return f"{key}={ids.inside}:{ids.outside}:{ids.count}"


def _id_map(ranges: tuple[IdRange, ...], kind: str) -> IdMap | None:
    return IdMap(ranges, _overflow_id(kind)) if ranges else None


def _overflow_id(kind: str) -> int:
    """What the kernel shows where an id has no meaning."""
    try:
        return int(Path(f"/proc/sys/kernel/overflow{kind}").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 65534  # the kernel's own default
