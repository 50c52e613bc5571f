"""Every target of `scripts/fuzz` for a moment: what was found before, its seeds, and some changes to them."""

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "scripts" / "lib")]

from fuzz import engines, targets  # noqa: E402  in a folder that is no place of tests

COUNTS = {
    "tar": 1000, "layer": 250, "index": 500, "import": 40, "json": 2500, "text": 1000, "whiteout": 50,
    "compression": 1500,
}  # fmt: skip
"""About two seconds' worth of each."""


@pytest.fixture(scope="module")
def all_targets():
    return targets.targets()


def test_there_is_a_moment_for_each(all_targets):
    assert all_targets.keys() == COUNTS.keys()


@pytest.mark.parametrize("target", COUNTS)
def test_nothing_is_found(all_targets, target):
    count = 0
    for data in engines.inputs(target, COUNTS[target]):
        try:
            all_targets[target](data)
        except Exception as error:
            raise AssertionError(f"{target} finds something in {data!r}") from error
        count += 1
    assert count > COUNTS[target]
