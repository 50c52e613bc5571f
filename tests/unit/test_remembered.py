"""What a mount remembers of directories is bounded, and what was used last stays."""

import pytest

from imagefs.layers.entry import Entry
from imagefs.tree import remembered
from imagefs.tree.filesystem import Attributes
from imagefs.tree.merge import Merged
from imagefs.tree.remembered import Remembered

DIRECTORY = Merged(0, Entry(b"", 1, 0, 0o40755, 0, 0, 0, 0, 0, 0, 0, 1, 0, None, None, 0, 0))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(remembered, "_DIRECTORIES", 3)
    monkeypatch.setattr(remembered, "_LISTED_ENTRIES", 10)


def listing(size):
    return [(b"%d" % number, Attributes(number, 0o100644)) for number in range(size)]


def test_the_directories_used_last_stay():
    known = Remembered()
    for ino in (1, 2, 3):
        known.add_directory(ino, DIRECTORY)
    assert known.directory(1) is DIRECTORY
    known.add_directory(4, DIRECTORY)
    assert [ino for ino in range(6) if known.directory(ino) is not None] == [1, 3, 4]


def test_the_listings_used_last_stay():
    known = Remembered()
    for ino in (1, 2):
        known.add_listing(ino, listing(5))
    assert known.listing(1) == listing(5)
    known.add_listing(3, listing(1))
    assert [ino for ino in range(5) if known.listing(ino) is not None] == [1, 3]


def test_a_listing_with_more_than_all_may_have_is_alone():
    known = Remembered()
    known.add_listing(1, listing(1))
    known.add_listing(2, listing(50))
    assert (known.listing(1), known.listing(2)) == (None, listing(50))
    known.add_listing(3, listing(2))
    assert (known.listing(2), known.listing(3)) == (None, listing(2))


def test_a_listing_that_is_made_again_counts_once():
    known = Remembered()
    for _ in range(10):
        known.add_listing(1, listing(5))
    known.add_listing(2, listing(5))
    assert known.listing(1) is not None
    known.add_listing(3, listing(0))
    assert [ino for ino in range(5) if known.listing(ino) is not None] == [1, 2, 3]
