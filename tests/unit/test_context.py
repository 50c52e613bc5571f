"""Entries whose paths lead over symbolic links of the layers below."""

import time
from itertools import pairwise

import pytest
from support.archives import directory, file, hardlink, layer, opaque, symlink, whiteout
from support.layers import make_chain, shown

from imagefs.errors import LayerError, NoSuchEntry

REAL = layer(directory("real", mode=0o711), file("real/old", b"old"), symlink("link", "real"))


def test_an_implied_directory_follows_the_link(tmp_path):
    chain = make_chain(tmp_path, REAL, layer(file("link/new", b"new")))
    assert shown(chain) == {"link": "-> real", "real": "directory", "real/old": "old", "real/new": "new"}
    assert chain.walk([b"real"]).entry.mode & 0o777 == 0o711
    assert not chain.is_shared(1)


def test_an_entry_of_its_own_replaces_the_link(tmp_path):
    chain = make_chain(tmp_path, REAL, layer(directory("link"), file("link/new", b"new")))
    assert shown(chain) == {"link": "directory", "link/new": "new", "real": "directory", "real/old": "old"}
    assert chain.is_shared(1)


def test_an_entry_that_replaces_the_link_does_not_take_back_what_went_over_it(tmp_path):
    chain = make_chain(tmp_path, REAL, layer(file("link/a", b"a"), directory("link"), file("link/b", b"b")))
    assert shown(chain) == {
        "link": "directory", "link/b": "b", "real": "directory", "real/a": "a", "real/old": "old",
    }  # fmt: skip


def test_a_link_that_replaces_the_link_leads_on(tmp_path):
    chain = make_chain(tmp_path, REAL, layer(file("link/a", b"a"), symlink("link", "other"), file("link/b", b"b")))
    assert shown(chain) == {
        "link": "-> other", "other": "directory", "other/b": "b", "real": "directory", "real/a": "a", "real/old": "old",
    }  # fmt: skip


def test_a_link_that_the_layer_removes_leads_nowhere(tmp_path):
    for entries in ([whiteout("link"), file("link/new", b"new")], [file("link/new", b"new"), whiteout("link")]):
        folder = tmp_path / str(entries[0].name[:1] == ".")
        folder.mkdir()
        chain = make_chain(folder, REAL, layer(*entries))
        assert shown(chain) == {"link": "directory", "link/new": "new", "real": "directory", "real/old": "old"}


def test_an_opaque_directory_has_no_links_below(tmp_path):
    below = layer(directory("d"), symlink("d/link", "/real"), directory("real"))
    chain = make_chain(tmp_path, below, layer(opaque("d"), file("d/link/new", b"new")))
    assert shown(chain) == {"d": "directory", "d/link": "directory", "d/link/new": "new", "real": "directory"}


def test_whiteouts_and_opaque_markers_follow_the_link(tmp_path):
    chain = make_chain(tmp_path, REAL, layer(whiteout("link/old")))
    assert shown(chain) == {"link": "-> real", "real": "directory"}
    (tmp_path / "opaque").mkdir()
    chain = make_chain(tmp_path / "opaque", REAL, layer(file("real/new", b"new"), opaque("link")))
    assert shown(chain) == {"link": "-> real", "real": "directory", "real/new": "new"}


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("/real", "real/x"), ("./real/", "real/x"), ("../../real", "real/x"), ("/../real", "real/x"),
        ("real/../real", "real/x"), ("second", "real/x"), ("missing/deep", "missing/deep/x"),
        ("real/sub", "real/deeper/x"),
    ],
)  # fmt: skip
def test_targets(tmp_path, target, place):
    below = layer(
        directory("real"), symlink("link", target), symlink("second", "third"), symlink("third", "real"),
        symlink("real/sub", "deeper"),
    )  # fmt: skip
    tree = shown(make_chain(tmp_path, below, layer(file("link/x", b"x"))))
    assert tree[place] == "x"
    assert tree["link"] == f"-> {target}"


def test_a_link_out_of_the_layer_leads_over_a_link_below(tmp_path):
    below = layer(directory("real"), symlink("way", "real"), file("real/target", b"t"))
    above = layer(symlink("link", "way"), file("link/x", b"x"), hardlink("name", "way/target"))
    chain = make_chain(tmp_path, below, above)
    assert shown(chain)["real/x"] == "x"
    assert shown(chain)["name"] == "t"
    file_entry = chain.walk([b"real", b"target"])
    assert len(chain.names(file_entry.layer, file_entry.entry)) == 2


def test_links_over_three_layers(tmp_path):
    chain = make_chain(
        tmp_path, layer(symlink("a", "b")), layer(symlink("b", "c")), layer(file("a/x", b"x")), layer(file("c/y", b"y"))
    )
    assert shown(chain) == {"a": "-> b", "b": "-> c", "c": "directory", "c/x": "x", "c/y": "y"}


def test_links_in_circles_give_way_to_a_directory(tmp_path, caplog):
    chain = make_chain(tmp_path, layer(symlink("a", "b"), symlink("b", "a")), layer(file("a/x", b"x")))
    assert shown(chain) == {"a": "directory", "a/x": "x", "b": "-> a"}
    assert "too many symbolic links" in caplog.text


def test_a_layer_that_no_link_concerns_keeps_its_own_index(tmp_path):
    below = layer(directory("real"), symlink("real/link", "x"), symlink("other", "real"))
    chain = make_chain(tmp_path, below, layer(file("real/deep/new", b"new"), hardlink("name", "real/file")))
    assert chain.is_shared(1)


def test_a_hard_link_before_its_target(tmp_path):
    chain = make_chain(tmp_path, layer(), layer(hardlink("name", "file"), file("file", b"f")))
    assert shown(chain) == {"file": "f", "name": "f"}
    found = chain.walk([b"file"])
    assert len(chain.names(found.layer, found.entry)) == 2
    (tmp_path / "below").mkdir()
    chain = make_chain(
        tmp_path / "below", layer(file("file", b"below")), layer(hardlink("name", "file"), file("file", b"f"))
    )
    assert shown(chain) == {"file": "f", "name": "below"}


def test_hard_links_to_nothing_and_in_circles_are_not_there(tmp_path):
    above = layer(hardlink("a", "b"), hardlink("b", "a"), hardlink("c", "d"), hardlink("e", "e"))
    chain = make_chain(tmp_path, layer(), above)
    assert list(chain.listing(chain.root())) == [b"a", b"b", b"c", b"e"]
    for name in (b"a", b"b", b"c", b"e"):
        with pytest.raises(NoSuchEntry):
            chain.follow(chain.walk([name]))


def test_a_hard_link_in_each_of_many_layers(tmp_path):
    names = [f"n{number}" for number in range(120)]
    links = [layer(hardlink(name, before)) for before, name in pairwise(names)]
    chain = make_chain(tmp_path, layer(file("n0", b"first")), *links)
    assert shown(chain) == dict.fromkeys(names, "first")
    assert len(chain.names(0, chain.walk([b"n0"]).entry)) == 120


def test_a_place_that_the_layer_replaces_later(tmp_path):
    below = layer(directory("real"), symlink("d/link", "/real"))
    above = layer(file("d/link/x", b"x"), file("d", b"file"))
    assert shown(make_chain(tmp_path, below, above)) == {"d": "file", "real": "directory", "real/x": "x"}


def test_whiteouts_over_links_come_before_all_entries(tmp_path):
    below = layer(symlink("link", "real"), symlink("real/way", "/other"), directory("other"))
    above = layer(file("real/way/x", b"x"), whiteout("link/way"))
    tree = shown(make_chain(tmp_path, below, above))
    assert tree["real/way/x"] == "x", "the link on its way is gone"


def test_what_is_missing_is_not_made_on_the_way_back(tmp_path):
    assert shown(make_chain(tmp_path, layer(symlink("link", "none/../real")), layer(file("link/x", b"x")))) == {
        "link": "-> none/../real", "real": "directory", "real/x": "x",
    }  # fmt: skip


# -- hard links to symbolic links of lower layers


LINK = layer(directory("real"), file("real/old", b"old"), symlink("link", "real"))


def test_a_hard_link_to_a_link_below_leads_on(tmp_path):
    chain = make_chain(tmp_path, LINK, layer(hardlink("further", "link")), layer(file("further/new", b"new")))
    assert shown(chain) == {
        "further": "-> real", "link": "-> real", "real": "directory", "real/new": "new", "real/old": "old",
    }  # fmt: skip


def test_a_hard_link_to_a_link_below_leads_on_in_its_own_layer(tmp_path):
    chain = make_chain(tmp_path, LINK, layer(hardlink("further", "link"), file("further/new", b"new")))
    assert shown(chain) == {
        "further": "-> real", "link": "-> real", "real": "directory", "real/new": "new", "real/old": "old",
    }  # fmt: skip


def test_a_hard_link_over_a_hard_link_to_a_link(tmp_path):
    chain = make_chain(tmp_path, LINK, layer(hardlink("further", "link")), layer(hardlink("name", "further/old")))
    assert shown(chain)["name"] == "old"


def test_a_hard_link_to_a_file_below_is_in_the_way(tmp_path, caplog):
    chain = make_chain(tmp_path, LINK, layer(hardlink("name", "real/old"), file("name/x", b"x")))
    assert shown(chain)["name/x"] == "x"
    assert "not extractable" in caplog.text


@pytest.mark.parametrize("target", ["link/old", "real/old"])
@pytest.mark.parametrize("removed", ["link", "real"])
def test_a_hard_link_to_what_its_own_layer_removes(tmp_path, target, removed):
    chain = make_chain(tmp_path, LINK, layer(hardlink("name", target), whiteout(removed)))
    assert shown(chain)["name"] == "old"


def test_whiteouts_find_the_layers_below_as_they_are(tmp_path):
    for number, entries in enumerate(
        ([whiteout("link/old"), whiteout("link")], [whiteout("link"), whiteout("link/old")])
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert shown(make_chain(folder, LINK, layer(*entries))) == {"real": "directory"}


# -- what a hostile layer can ask for


def test_many_links_that_lead_nowhere(tmp_path):
    names = [f"l{number:04}" for number in range(3000)]
    chain = make_chain(tmp_path, layer(), layer(*(hardlink(*pair) for pair in pairwise(names)), file("x")))
    started = time.process_time()
    assert chain.has_one_name(1, chain.walk([b"x"]).entry)
    assert time.process_time() - started < 30


def test_one_file_with_many_names_deep_down(tmp_path):
    deep = "/".join(["d"] * 1500)
    names = [f"s/n{number}" for number in range(300)]
    above = [file(f"{deep}/first"), symlink("s", deep), hardlink("s/zero", "s/first")]
    chain = make_chain(tmp_path, layer(*above, *(hardlink(name, "s/first") for name in names)))
    found = chain.at(f"{deep}/first".encode())
    assert chain.count_links(0, found.entry) == 302


def test_a_layer_knows_no_depth_without_end(tmp_path):
    way = "/".join(["d"] * 1000)
    entries = [symlink("a0", way)]
    entries += [symlink(f"a{number}", f"a{number - 1}/{way}") for number in range(1, 10)]
    with pytest.raises(LayerError, match="more than 4096 names"):
        make_chain(tmp_path, layer(*entries, file("a9/x")))
