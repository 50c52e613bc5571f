"""Which layer made what is at a path, and what was there before."""

from pathlib import Path
from tempfile import mkdtemp

import pytest
from support.archives import (
    character_device,
    directory,
    fifo,
    file,
    hardlink,
    layer,
    opaque,
    symlink,
    whiteout,
)
from support.layers import make_chain

from imagefs.browse.paths import meant
from imagefs.browse.provenance import versions
from imagefs.errors import NotADirectory, TreeError


@pytest.fixture
def history(tmp_path):
    """(position, what) of each version of a path over some layers, the newest first."""

    def tell(path, *layers):
        chain = make_chain(Path(mkdtemp(dir=tmp_path)), *(layer(*entries) for entries in layers))
        return [describe(each) for each in versions(chain, tuple(path.encode().split(b"/")) if path else ())]

    return tell


def describe(version):
    """The position with what was made; or with how the path was removed."""
    if version.removal is not None:
        assert version.what == "removed"
        assert version.entry is None
        return version.position, version.removal.by, "/".join(name.decode() for name in version.removal.path)
    return version.position, version.what


def test_a_file_that_one_layer_made(history):
    assert history("a", [], [file("a")], [file("b")]) == [(2, "file")]


def test_each_replacement_is_a_version(history):
    layers = [[file("a")], [symlink("a", "b")], [directory("a")], [file("a/x")], [fifo("a")]]
    assert history("a", *layers) == [(5, "fifo"), (3, "directory"), (2, "symlink"), (1, "file")]
    assert history("a/x", *layers) == [(5, "replacement", "a"), (4, "file")]


def test_devices(history):
    assert history("null", [character_device("null", 1, 3)]) == [(1, "character device")]


def test_attributes(tmp_path):
    chain = make_chain(tmp_path, layer(file("a", b"one", mode=0o600, uid=1)), layer(file("a", b"four", gid=2)))
    newest, oldest = (each.entry for each in versions(chain, (b"a",)))
    assert (newest.size, newest.uid, newest.gid, newest.mode) == (4, 0, 2, 0o100644)
    assert (oldest.size, oldest.uid, oldest.gid, oldest.mode) == (3, 1, 0, 0o100600)


def test_a_whiteout(history):
    assert history("a", [file("a")], [whiteout("a")]) == [(2, "whiteout", "a"), (1, "file")]


def test_a_whiteout_of_nothing_removes_nothing(history):
    assert history("a", [whiteout("a")], [file("a")], [whiteout("a")], [whiteout("a")]) == [
        (3, "whiteout", "a"), (2, "file"),
    ]  # fmt: skip


def test_removed_and_made_again(history):
    layers = [[file("a")], [whiteout("a")], [file("a")], [whiteout("a"), file("a")]]
    assert history("a", *layers) == [(4, "file"), (3, "file"), (2, "whiteout", "a"), (1, "file")]


def test_a_whiteout_of_a_parent(history):
    assert history("d/e/a", [file("d/e/a")], [whiteout("d")]) == [(2, "whiteout", "d"), (1, "file")]


def test_a_parent_that_is_removed_and_made_again(history):
    layers = [[file("d/e/a")], [whiteout("d"), file("d/e/b")]]
    assert history("d/e/a", *layers) == [(2, "whiteout", "d"), (1, "file")]
    assert history("d/e/b", *layers) == [(2, "file")]


@pytest.mark.parametrize("where", ["", "d", "d/e"])
def test_an_opaque_directory(history, where):
    assert history("d/e/a", [file("d/e/a")], [opaque(where), directory("d/e")]) == [
        (2, "opaque directory", where), (1, "file"),
    ]  # fmt: skip


def test_an_opaque_directory_with_the_path_itself(history):
    assert history("d/a", [file("d/a")], [opaque("d"), file("d/a")]) == [(2, "file"), (1, "file")]


@pytest.mark.parametrize("other", [file("d"), symlink("d", "e"), fifo("d")])
def test_a_parent_that_something_else_replaces(history, other):
    assert history("d/e/a", [file("d/e/a")], [other]) == [(2, "replacement", "d"), (1, "file")]


def test_a_parent_that_a_file_and_a_directory_replace(history):
    layers = [[file("d/e/a")], [file("d"), directory("d")]]
    assert history("d/e/a", *layers) == [(2, "replacement", "d"), (1, "file")]
    assert history("d", *layers) == [(2, "directory"), (1, "directory")]


def test_a_directory_is_made_by_entries_of_its_own(history):
    layers = [[directory("d")], [file("d/a")], [directory("d", mode=0o700)], [whiteout("d/a")], [opaque("d")]]
    assert history("d", *layers) == [(3, "directory"), (1, "directory")]


def test_a_directory_that_is_only_implied_is_made_once(history):
    assert history("d", [], [file("d/a")], [file("d/b")], [file("d/e/c")]) == [(2, "directory")]
    assert history("d", [file("d/a")], [whiteout("d"), file("d/b")]) == [(2, "directory"), (1, "directory")]
    assert history("d", [directory("d")], [whiteout("d"), file("d/b")]) == [(2, "directory"), (1, "directory")]
    assert history("d", [file("d/a")], [directory("d")], [file("d/b")]) == [(2, "directory"), (1, "directory")]


def test_a_directory_of_nothing_but_whiteouts_is_no_version(history):
    assert history("d", [], [whiteout("d/a")]) == []
    assert history("d", [file("d/a")], [whiteout("d/a")]) == [(1, "directory")]


def test_the_root(history):
    assert history("", [directory(".")], [file("a")], [directory(".", mode=0o700)]) == [
        (3, "directory"), (1, "directory"),
    ]  # fmt: skip
    assert history("", [file("a")], [opaque("")], [file("b")]) == [(1, "directory")]
    assert history("") == []


def test_what_was_never_there(history):
    assert history("a/b", [file("a")], [whiteout("x")]) == []
    assert history("x", [file("a")], [whiteout("x")]) == []


def test_a_hard_link_in_one_layer_is_a_file(history):
    assert history("b", [file("a"), hardlink("b", "a")]) == [(1, "file")]


def test_a_hard_link_to_a_lower_layer(tmp_path):
    chain = make_chain(
        tmp_path, layer(), layer(file("d/a", b"12345")), layer(file("b")), layer(hardlink("b", "d/a", mode=0o777))
    )
    newest, oldest = versions(chain, (b"b",))
    assert (newest.position, newest.what, newest.entry.size, newest.entry.mode) == (4, "file", 5, 0o100644)
    assert (newest.link.path, newest.link.position) == ((b"d", b"a"), 2)
    assert (oldest.position, oldest.link) == (3, None)


def test_a_hard_link_to_nothing(tmp_path):
    (version,) = versions(make_chain(tmp_path, layer(), layer(hardlink("b", "a"))), (b"b",))
    assert (version.position, version.what, version.entry) == (2, "hard link to nothing", None)
    assert (version.link.path, version.link.position) == ((b"a",), None)


def test_an_entry_that_a_lower_link_leads_elsewhere(history):
    layers = [[directory("real"), symlink("link", "real")], [file("link/a")], [whiteout("link/a")]]
    assert history("real/a", *layers) == [(3, "whiteout", "real/a"), (2, "file")]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", ""), ("/usr/bin/sh", "usr/bin/sh"), ("/bin/sh", "usr/bin/sh"), ("bin", "bin"), ("/bin/", "usr/bin"),
        ("/bin/.", "usr/bin"), ("/up/bin/./x/../sh", "usr/bin/sh"), ("/gone/x", "gone/x"),
        ("/gone/../bin/x", "usr/bin/x"), ("/dangling/x", "nowhere/x"), ("/usr/bin/sh/x", "usr/bin/sh/x"),
        ("/bin/../lib", "usr/lib"),
        ("../../bin/x", "usr/bin/x"),
    ],
)  # fmt: skip
def test_what_a_path_means(tmp_path, path, expected):
    below = layer(file("gone/x"), file("dangling/x"))
    above = layer(
        file("usr/bin/sh"), symlink("bin", "usr/bin"), symlink("up", "/../.."), whiteout("gone"),
        symlink("dangling", "/nowhere"),
    )  # fmt: skip
    assert b"/".join(meant(make_chain(tmp_path, below, above), path.encode())).decode() == expected


def test_hard_links_on_the_way_are_what_they_link(tmp_path):
    below = layer(symlink("link", "folder"), file("folder/x"), file("file"))
    above = layer(hardlink("name", "link"), hardlink("nothing", "nowhere"))
    chain = make_chain(tmp_path, below, above)
    assert meant(chain, b"/name/x") == meant(chain, b"/name/../folder/x") == (b"folder", b"x")
    assert meant(chain, b"/name/") == (b"folder",)
    assert meant(chain, b"/name") == (b"name",)
    assert meant(chain, b"/nothing/../file") == (b"file",)


@pytest.mark.parametrize("path", [b"/file/..", b"/file/../d", b"/link/..", b"/file/", b"/file/.", b"/d/../hard/.."])
def test_what_only_a_directory_can_have_after_it(tmp_path, path):
    below = layer(file("file"), directory("d"), symlink("link", "file"))
    with pytest.raises(NotADirectory, match=f"^{path.decode()}: Not a directory$"):
        meant(make_chain(tmp_path, below, layer(hardlink("hard", "file"))), path)


def test_links_in_circles(tmp_path):
    chain = make_chain(tmp_path, layer(symlink("a", "b"), symlink("b", "a")))
    assert meant(chain, b"/a") == (b"a",)
    with pytest.raises(TreeError, match="Too many levels"):
        meant(chain, b"/a/x")
