"""Whose the files of a mount are: attributes in, the same attributes with other owners out.

Three ways: as the image says, which needs nothing from here; all the mounter's; or by maps of ids, as the kernel
maps them in a user namespace.
"""

import stat
from collections.abc import Callable, Sequence

import msgspec

from imagefs.tree.filesystem import Attributes

MAX_ID = 2**32 - 2
"""The highest uid or gid; the next number is the kernel's "no id"."""

Owners = Callable[[Attributes], Attributes]


class IdRange(msgspec.Struct, frozen=True):
    """`count` ids of the image from `inside` on, which show as the ids from `outside` on."""

    inside: int
    outside: int
    count: int


class IdMap:
    """Ranges that do not overlap; what none of them covers is the overflow id, as in a user namespace."""

    def __init__(self, ranges: Sequence[IdRange], overflow: int) -> None:
        self._ranges = [(each.inside, each.inside + each.count, each.outside - each.inside) for each in ranges]
        self._overflow = overflow

    def shown(self, number: int) -> int:
        """The id that an id of the image shows as."""
        # A map has a range or two, seldom more: to go through them is as fast as to search.
        for first, end, shift in self._ranges:
            if first <= number < end:
                return number + shift
        return self._overflow


def mine(uid: int, gid: int) -> Owners:
    """Everything is one user's, who can read every file and enter and list every directory."""

    def change(attributes: Attributes) -> Attributes:
        more = stat.S_IRUSR | stat.S_IXUSR if stat.S_ISDIR(attributes.mode) else stat.S_IRUSR
        return _owned(attributes, attributes.mode | more, uid, gid)

    return change


def mapped(uids: IdMap | None, gids: IdMap | None) -> Owners:
    """The image's owners, through maps; without a map the ids are the image's."""

    def change(attributes: Attributes) -> Attributes:
        return _owned(
            attributes,
            attributes.mode,
            attributes.uid if uids is None else uids.shown(attributes.uid),
            attributes.gid if gids is None else gids.shown(attributes.gid),
        )

    return change


def _owned(attributes: Attributes, mode: int, uid: int, gid: int) -> Attributes:
    # By position, and not `structs.replace`, which takes three times as long: a listing makes one for each name.
    return Attributes(
        attributes.ino, mode, attributes.nlink, uid, gid, attributes.rdev, attributes.size, attributes.blocks,
        attributes.mtime_ns, attributes.valid,
    )  # fmt: skip
