import stat

import pytest
from support.archives import directory, file, layer, opaque, symlink, whiteout
from support.layers import merged_at, walk_merged

from imagefs.layers.entry import ROOT
from imagefs.tree import merge


@pytest.fixture
def chain(index_of):
    """A chain of layers, lowest first, each a list of entries."""

    def make(*layers):
        return [index_of(layer(*entries)) for entries in layers]

    return make


def listed(layers) -> set[str]:
    """Every path but the root, by listing; lookup has to agree on each."""
    found = dict(walk_merged(layers))
    for path, merged in found.items():
        assert merged_at(layers, path) == merged or path == ""
    return set(found) - {""}


def size(layers, path: str) -> int:
    return merged_at(layers, path).entry.size


# -- names


def test_an_image_without_layers_has_an_empty_root():
    root = merge.root([])
    assert root.entry.is_directory
    assert merge.listing([], root.parts) == {}
    assert merge.lookup([], root.parts, b"a") is None


def test_upper_files_win_and_directories_become_one(chain):
    layers = chain(
        [directory("d"), file("d/low", b"1"), file("d/both", b"1")],
        [directory("d"), file("d/both", b"22"), file("d/high", b"1")],
    )
    assert listed(layers) == {"d", "d/low", "d/both", "d/high"}
    assert size(layers, "d/both") == 2
    assert merged_at(layers, "d/low").layer == 0


def test_the_upper_directory_entry_gives_the_attributes(chain):
    layers = chain([directory("d", mode=0o755, uid=1)], [directory("d", mode=0o700, uid=2)])
    merged = merged_at(layers, "d")
    assert (stat.S_IMODE(merged.entry.mode), merged.entry.uid, merged.layer) == (0o700, 2, 1)


def test_a_directory_remembers_only_the_layers_that_have_it(chain):
    layers = chain([file("d/a")], [file("other")], [file("d/b")], [file("other")])
    assert [part.layer for part in merged_at(layers, "d").parts] == [2, 0]
    assert merged_at(layers, "d").identity == (2, layers[2].lookup(ROOT, b"d").node)


# -- whiteouts


def test_a_whiteout_hides_a_file_and_a_tree(chain):
    layers = chain([file("a"), file("d/e/f"), file("d/g")], [whiteout("a"), whiteout("d/e")])
    assert listed(layers) == {"d", "d/g"}
    assert merged_at(layers, "a") is None
    assert merged_at(layers, "d/e") is None


def test_a_whiteout_reaches_through_layers_that_do_not_have_the_name(chain):
    layers = chain([file("d/a")], [file("d/b")], [file("x")], [whiteout("d/a")])
    assert listed(layers) == {"d", "d/b", "x"}


def test_a_whiteout_does_not_reach_upward(chain):
    layers = chain([file("a", b"1")], [whiteout("a")], [file("a", b"22")])
    assert size(layers, "a") == 2


def test_a_whiteout_of_nothing_is_nothing(chain):
    assert listed(chain([file("a")], [whiteout("b"), whiteout("x/y/z")])) == {"a"}


@pytest.mark.parametrize("order", [1, -1], ids=["whiteout-first", "whiteout-last"])
class TestWhiteoutBesideItsReplacement:
    def test_of_a_file(self, chain, order):
        layers = chain([file("a", b"1")], [whiteout("a"), file("a", b"22")][::order])
        assert listed(layers) == {"a"}
        assert size(layers, "a") == 2

    def test_of_a_directory_by_a_directory(self, chain, order):
        layers = chain(
            [directory("d", uid=1), file("d/old")], [whiteout("d"), directory("d", uid=2), file("d/new")][::order]
        )
        assert listed(layers) == {"d", "d/new"}
        assert merged_at(layers, "d").entry.uid == 2

    def test_of_a_directory_by_an_implied_one(self, chain, order):
        layers = chain([directory("d", uid=1, mode=0o700), file("d/old")], [whiteout("d"), file("d/new")][::order])
        assert listed(layers) == {"d", "d/new"}
        # The old directory is gone with its attributes.
        assert (merged_at(layers, "d").entry.uid, stat.S_IMODE(merged_at(layers, "d").entry.mode)) == (0, 0o755)

    def test_of_a_directory_by_a_file(self, chain, order):
        layers = chain([file("d/old")], [whiteout("d"), file("d", b"1")][::order])
        assert listed(layers) == {"d"}
        assert merged_at(layers, "d").entry.is_regular

    def test_of_a_file_by_a_directory(self, chain, order):
        layers = chain([file("d")], [whiteout("d"), file("d/new")][::order])
        assert listed(layers) == {"d", "d/new"}


# -- opaque markers


@pytest.mark.parametrize("position", [0, 1, 2])
def test_an_opaque_marker_anywhere_in_its_layer(chain, position):
    upper = [directory("d", mode=0o700), file("d/new")]
    upper.insert(position, opaque("d"))
    layers = chain([directory("d"), file("d/old"), file("d/e/f")], upper)
    assert listed(layers) == {"d", "d/new"}
    assert stat.S_IMODE(merged_at(layers, "d").entry.mode) == 0o700


def test_an_opaque_root(chain):
    layers = chain([file("a"), file("d/b")], [opaque(""), file("c")])
    assert listed(layers) == {"c"}


def test_an_opaque_marker_keeps_the_directory_itself(chain):
    layers = chain([directory("d", mode=0o711, uid=7), file("d/a"), file("b")], [opaque("d")])
    assert listed(layers) == {"d", "b"}
    # The marker removes the children; the directory is still the lower layer's.
    assert (stat.S_IMODE(merged_at(layers, "d").entry.mode), merged_at(layers, "d").entry.uid) == (0o711, 7)


def test_an_opaque_marker_where_nothing_is_below_makes_no_directory(chain):
    assert listed(chain([file("a")], [opaque("d/e")])) == {"a"}


def test_layers_above_an_opaque_marker_add_to_it(chain):
    layers = chain([file("d/a")], [opaque("d"), file("d/b")], [file("d/c")])
    assert listed(layers) == {"d", "d/b", "d/c"}


def test_an_opaque_marker_hides_deep_trees(chain):
    layers = chain([file("d/e/f/g")], [opaque("d"), file("d/e/new")])
    assert listed(layers) == {"d", "d/e", "d/e/new"}


def test_an_opaque_marker_beside_a_whiteout(chain):
    layers = chain([file("d/a"), file("d/b")], [whiteout("d/a"), opaque("d"), file("d/a", b"22")])
    assert listed(layers) == {"d", "d/a"}
    assert size(layers, "d/a") == 2


# -- types that change

KINDS = {"file": file("n", b"12345"), "symlink": symlink("n", "t"), "directory": directory("n", uid=3)}


@pytest.mark.parametrize("low", KINDS)
@pytest.mark.parametrize("middle", KINDS)
@pytest.mark.parametrize("high", KINDS)
def test_the_type_of_the_top_layer_wins(chain, low, middle, high):
    layers = chain([KINDS[low]], [KINDS[middle]], [KINDS[high]])
    merged = merged_at(layers, "n")
    assert merged.layer == 2
    assert merged.entry.mode == layers[2].lookup(ROOT, b"n").mode
    assert listed(layers) == {"n"}


@pytest.mark.parametrize("between", [file("d"), symlink("d", "elsewhere")], ids=["file", "symlink"])
def test_a_directory_does_not_see_through_another_type(chain, between):
    layers = chain([directory("d"), file("d/old")], [between], [directory("d"), file("d/new")])
    assert listed(layers) == {"d", "d/new"}


def test_a_file_over_a_directory_over_a_symlink(chain):
    layers = chain([symlink("n", "t")], [file("n/f")], [file("n", b"1")])
    assert listed(layers) == {"n"}
    assert listed(layers[:2]) == {"n", "n/f"}
    assert merged_at(layers[:1], "n").entry.is_symlink


# -- directories that no entry names


def test_an_implied_directory_takes_the_attributes_from_below(chain):
    layers = chain([directory("d", mode=0o2750, uid=5, mtime=7)], [file("d/a")], [file("d/b")])
    merged = merged_at(layers, "d")
    assert (stat.S_IMODE(merged.entry.mode), merged.entry.uid, merged.entry.mtime_s, merged.layer) == (0o2750, 5, 7, 0)
    assert merged.identity[0] == 2
    assert listed(layers) == {"d", "d/a", "d/b"}


def test_an_implied_root_takes_the_attributes_from_below(chain):
    layers = chain([directory("./", mode=0o700, uid=5)], [file("a")])
    root = merge.root(layers)
    assert (stat.S_IMODE(root.entry.mode), root.entry.uid) == (0o700, 5)


def test_a_directory_that_is_implied_everywhere_has_the_default_attributes(chain):
    merged = merged_at(chain([file("d/a")], [file("d/b")]), "d")
    assert (stat.filemode(merged.entry.mode), merged.entry.uid, merged.entry.gid) == ("drwxr-xr-x", 0, 0)


def test_an_implied_directory_over_a_file_does_not_take_its_attributes(chain):
    layers = chain([directory("d", uid=9)], [file("d", uid=8)], [file("d/a")])
    assert merged_at(layers, "d").entry.uid == 0


# -- ghosts


@pytest.mark.parametrize("ghost", [whiteout("n/x"), opaque("n")], ids=["whiteout", "opaque"])
@pytest.mark.parametrize("low", ["file", "symlink"])
def test_a_ghost_over_something_else_leaves_it(chain, ghost, low):
    layers = chain([KINDS[low]], [ghost])
    assert listed(layers) == {"n"}
    assert merged_at(layers, "n").layer == 0
    assert merged_at(layers, "n").entry.mode == layers[0].lookup(ROOT, b"n").mode


def test_a_ghost_over_a_ghost_over_nothing(chain):
    layers = chain([file("a")], [whiteout("n/x")], [whiteout("n/y"), whiteout("m/x/y")])
    assert listed(layers) == {"a"}
    assert merged_at(layers, "n") is None


def test_a_ghost_over_a_directory_over_a_file(chain):
    layers = chain([file("n")], [file("n/a"), file("n/b")], [whiteout("n/a")])
    assert listed(layers) == {"n", "n/b"}


def test_a_ghost_beside_the_whiteout_of_its_directory(chain):
    layers = chain([file("d/a"), file("b")], [whiteout("d"), whiteout("d/a")])
    assert listed(layers) == {"b"}


def test_a_chain_of_nothing_but_whiteouts(chain):
    layers = chain([whiteout("a"), opaque("")], [whiteout("b/c")])
    assert listed(layers) == set()
    assert merge.root(layers).entry.is_directory


# -- many layers


def test_a_chain_of_a_hundred_layers(chain):
    layers = chain(*([file(f"d/f{number}"), file("d/same", b"x" * number)] for number in range(100)))
    assert len(listed(layers)) == 102
    assert size(layers, "d/same") == 99
    assert merged_at(layers, "d/f3").layer == 3
