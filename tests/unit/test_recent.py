"""What was used last, within a bound."""

from imagefs.tree.recent import Recent


def known(recent: Recent[str], *inodes: int) -> list[int]:
    # By the dictionary, for to ask is to use.
    return [inode for inode in inodes if inode in recent._values]


def test_what_was_not_used_longest_goes_first():
    recent = Recent(2)
    recent.add(1, "one")
    recent.add(2, "two")
    assert recent.get(1) == "one"
    recent.add(3, "three")
    assert known(recent, 1, 2, 3) == [1, 3]
    assert recent.get(2) is None


def test_weights_and_not_numbers_are_bounded():
    recent = Recent(10, len)
    recent.add(1, "four")
    recent.add(2, "fives")
    assert known(recent, 1, 2) == [1, 2]
    recent.add(3, "two")
    assert known(recent, 1, 2, 3) == [2, 3]


def test_one_that_is_too_heavy_alone_is_kept_until_the_next_one_comes():
    recent = Recent(10, len)
    recent.add(1, "small")
    recent.add(2, "x" * 100)
    assert known(recent, 1, 2) == [2]
    recent.add(3, "small")
    assert known(recent, 1, 2, 3) == [3]


def test_what_is_added_again_counts_once():
    recent = Recent(10, len)
    for _ in range(5):
        assert recent.add(1, "four") == "four"
    recent.add(2, "fives")
    assert known(recent, 1, 2) == [1, 2]
