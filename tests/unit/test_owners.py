"""Whose files are: attributes in, attributes out."""

import stat

import pytest

from imagefs.tree.filesystem import Attributes
from imagefs.tree.owners import IdMap, IdRange, mapped, mine

SETUID = Attributes(
    7, stat.S_IFREG | 0o4111, nlink=2, uid=5, gid=6, rdev=1, size=2, blocks=3, mtime_ns=4, valid=0.5
)  # fmt: skip


def changed(attributes: Attributes, **fields: int) -> dict:
    """All fields, with some of them changed."""
    return {name: getattr(attributes, name) for name in attributes.__struct_fields__} | fields


def fields(attributes: Attributes) -> dict:
    return changed(attributes)


@pytest.mark.parametrize(
    ("mode", "shown"),
    [
        (stat.S_IFREG | 0o000, stat.S_IFREG | 0o400),
        (stat.S_IFREG | 0o644, stat.S_IFREG | 0o644),
        (stat.S_IFREG | 0o4111, stat.S_IFREG | 0o4511),
        (stat.S_IFREG | 0o2070, stat.S_IFREG | 0o2470),
        (stat.S_IFDIR | 0o000, stat.S_IFDIR | 0o500),
        (stat.S_IFDIR | 0o1222, stat.S_IFDIR | 0o1722),
        (stat.S_IFDIR | 0o2755, stat.S_IFDIR | 0o2755),
        (stat.S_IFLNK | 0o777, stat.S_IFLNK | 0o777),
        (stat.S_IFIFO | 0o200, stat.S_IFIFO | 0o600),
        (stat.S_IFCHR | 0o060, stat.S_IFCHR | 0o460),
    ],
)
def test_mine_can_be_read_and_entered_and_every_other_bit_stays(mode, shown):
    assert mine(1000, 100)(Attributes(1, mode)).mode == shown


def test_mine_changes_owners_and_mode_alone():
    assert fields(mine(1000, 100)(SETUID)) == changed(SETUID, uid=1000, gid=100, mode=stat.S_IFREG | 0o4511)


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, 100_000), (9, 100_009), (10, 65534), (33, 33), (34, 65534), (999, 65534), (1000, 5), (2**32 - 2, 65534)],
)
def test_what_no_range_covers_is_the_overflow_id(number, shown):
    ids = IdMap([IdRange(0, 100_000, 10), IdRange(1000, 5, 1), IdRange(33, 33, 1)], overflow=65534)
    assert ids.shown(number) == shown


def test_the_whole_range_of_ids():
    ids = IdMap([IdRange(0, 0, 2**32 - 1)], overflow=65534)
    assert [ids.shown(number) for number in (0, 2**31, 2**32 - 2)] == [0, 2**31, 2**32 - 2]


def test_a_map_of_one_kind_leaves_the_other_ids_as_they_are():
    ids = IdMap([IdRange(0, 100, 10)], overflow=65534)
    assert fields(mapped(ids, None)(SETUID)) == changed(SETUID, uid=105)
    assert fields(mapped(None, ids)(SETUID)) == changed(SETUID, gid=106)
    assert fields(mapped(ids, IdMap([], 1))(SETUID)) == changed(SETUID, uid=105, gid=1)
