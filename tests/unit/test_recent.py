"""What was used last, within a bound."""

import pytest

from imagefs.fuse.recent import Recent


def test_the_longest_unused_goes_first():
    made = []
    recent = Recent(lambda inode: made.append(inode) or str(inode), lambda _: 1, bound=2)
    for inode in (1, 2, 1, 3, 1, 2):
        assert recent.get(inode) == str(inode)
    assert made == [1, 2, 3, 2]


def test_weights_and_not_numbers_are_bounded():
    made = []
    recent = Recent(lambda inode: made.append(inode) or inode, lambda value: value, bound=10)
    for inode in (4, 5, 4, 100, 100, 4):
        recent.get(inode)
    assert made == [4, 5, 100, 4], "one that is too heavy alone is kept until the next one comes"


def test_what_cannot_be_made_is_not_kept():
    def fail(inode: int) -> int:
        raise OSError(inode)

    recent = Recent(fail, lambda _: 1, bound=2)
    for _ in range(2):
        with pytest.raises(OSError, match="7"):
            recent.get(7)
