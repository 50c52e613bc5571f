import os
import stat
import tracemalloc

import pytest
from support.archives import (
    block_device,
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
from support.headers import header, pax
from support.layers import entry_at, make_index, walk_layer

from imagefs.errors import ContentMissing, LayerError, Truncated
from imagefs.layers.entry import GHOST, IMPLIED, OPAQUE, ROOT, WHITEOUTS
from imagefs.layers.index import GONE, LayerIndex

END = bytes(1024)


def refused(index_of, *entries) -> LayerError:
    with pytest.raises(LayerError) as raised:
        index_of(layer(*entries))
    return raised.value


def content(tar: bytes, entry) -> bytes:
    return tar[entry.offset : entry.offset + entry.size]


# -- attributes


def test_attributes_of_every_type(index_of):
    tar = layer(
        directory("d", mode=0o1777, uid=1, gid=2, mtime=11),
        file("d/f", b"data", mode=0o4755, uid=3, gid=4, mtime=12.5),
        symlink("d/l", "some/where", mtime=13),
        character_device("d/c", 1, 3, mode=0o666),
        block_device("d/b", 259, 70000),
        fifo("d/p", mode=0o600),
    )
    index = index_of(tar)
    found = walk_layer(index)
    assert list(found) == ["d", "d/b", "d/c", "d/f", "d/l", "d/p"]
    assert {path: stat.filemode(entry.mode) for path, entry in found.items()} == {
        "d": "drwxrwxrwt",
        "d/f": "-rwsr-xr-x",
        "d/l": "lrwxrwxrwx",
        "d/c": "crw-rw-rw-",
        "d/b": "brw-r--r--",
        "d/p": "prw-------",
    }
    assert (found["d"].uid, found["d"].gid, found["d"].mtime_s) == (1, 2, 11)
    regular = found["d/f"]
    assert (regular.uid, regular.gid, regular.mtime_s, regular.mtime_ns) == (3, 4, 12, 500_000_000)
    assert (regular.size, regular.nlink, regular.blocks, content(tar, regular)) == (4, 1, 1, b"data")
    assert (found["d/l"].target, found["d/l"].size) == (b"some/where", 10)
    assert found["d/c"].rdev == os.makedev(1, 3)
    assert found["d/b"].rdev == os.makedev(259, 70000)
    assert all(entry.link_path is None and not entry.flags & (GHOST | IMPLIED) for entry in found.values())


def test_times_before_1970_keep_positive_nanoseconds(index_of):
    entry = entry_at(index_of(layer(file("f", pax={"mtime": "-1.25"}))), "f")
    assert (entry.mtime_s, entry.mtime_ns) == (-2, 750_000_000)


def test_xattrs(index_of):
    capability = b"\x01\0\0\x02\0\x20" + bytes(14)
    index = index_of(
        layer(
            directory("d", xattrs={"user.d": b"1"}),
            file("d/f", xattrs={"security.capability": capability, "user.b": b"2"}),
            file("d/none"),
        )
    )
    assert index.totals.xattrs
    assert index.xattrs(entry_at(index, "d").node) == {b"user.d": b"1"}
    assert index.xattrs(entry_at(index, "d/f").node) == {b"security.capability": capability, b"user.b": b"2"}
    assert index.xattrs(entry_at(index, "d/none").node) == {}
    assert bool(entry_at(index, "d/f").xattrs) and not entry_at(index, "d/none").xattrs


def test_totals(index_of):
    tar = layer(directory("d"), file("d/a", b"x" * 513), file("d/b"), hardlink("d/c", "d/a"))
    totals = index_of(tar).totals
    assert (totals.size, totals.nodes, totals.blocks, bool(totals.xattrs)) == (len(tar), 4, 2, False)


def test_the_size_counts_what_follows_the_end_mark(index_of):
    tar = layer(file("a")) + b"trailing" * 1000
    assert index_of(tar).totals.size == len(tar)


def test_an_empty_layer(index_of):
    index = index_of(layer())
    assert index.listing(ROOT) == []
    assert (index.root().node, index.root().is_directory) == (ROOT, True)
    assert index.root().flags & IMPLIED


@pytest.mark.parametrize("name", [".", "./", "/"])
def test_an_entry_for_the_root(index_of, name):
    index = index_of(layer(directory(name, mode=0o700, uid=5, mtime=6, xattrs={"user.r": b"1"}), file("./a")))
    root = index.root()
    assert (stat.S_IMODE(root.mode), root.uid, root.mtime_s) == (0o700, 5, 6)
    assert not root.flags & IMPLIED
    assert index.xattrs(ROOT) == {b"user.r": b"1"}
    assert list(walk_layer(index)) == ["a"]


def test_the_root_is_a_directory(index_of):
    assert "root" in str(refused(index_of, symlink("./", "etc")))


def test_sparse_segments_lie_where_the_data_is(index_of):
    tar = pax({b"GNU.sparse.size": b"100", b"GNU.sparse.map": b"10,3,50,4"}) + header(b"f", size=7)
    offset = len(tar)
    index = index_of(tar + b"abcdefg".ljust(512, b"\0") + END)
    entry = entry_at(index, "f")
    assert (entry.size, entry.blocks, bool(entry.sparse)) == (100, 1, True)
    assert index.segments(entry.node) == [(10, 3, offset), (50, 4, offset + 3)]


def test_names_that_are_not_utf_8(index_of):
    name = b"caf\xe9\x01".decode("utf-8", "surrogateescape")
    index = index_of(layer(file(name, b"1")))
    assert index.lookup(ROOT, b"caf\xe9\x01").size == 1


def test_listings_are_sorted_by_bytes(index_of):
    names = ["b", "a", "é", "Z", "a.b", "a-b", "ab"]
    index = index_of(layer(*map(file, names)))
    assert [entry.name for entry in index.listing(ROOT)] == sorted(name.encode() for name in names)


def test_an_index_that_is_built_again_is_the_same(tmp_path):
    tar = layer(
        directory("d"), file("d/a", b"1"), hardlink("h", "d/a"), whiteout("d/w"), file("d/a", b"2"), opaque("e")
    )
    one = make_index(tmp_path / "one", tar)
    other = make_index(tmp_path / "other", tar, piece=100)
    assert walk_layer(one) == walk_layer(other)
    one.close()
    other.close()
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


@pytest.mark.parametrize("data", [b"", b"not a database at all" * 100])
def test_what_is_no_index_cannot_be_opened(tmp_path, data):
    path = tmp_path / "index"
    path.write_bytes(data)
    with pytest.raises(ContentMissing):
        LayerIndex(path)


# -- names that come again


def test_a_later_file_replaces_an_earlier_one(index_of):
    tar = layer(file("a", b"old", xattrs={"user.x": b"1"}), file("b"), file("a", b"new!", mode=0o600))
    index = index_of(tar)
    entry = entry_at(index, "a")
    assert (content(tar, entry), stat.S_IMODE(entry.mode), entry.nlink) == (b"new!", 0o600, 1)
    assert index.xattrs(entry.node) == {}
    assert index.totals.nodes == 3


def test_a_later_directory_entry_gives_attributes_and_keeps_content(index_of):
    index = index_of(
        layer(
            directory("d", mode=0o755, xattrs={"user.old": b"1"}),
            file("d/f"),
            directory("d", mode=0o700, uid=9, mtime=5, xattrs={"user.new": b"2"}),
        )
    )
    entry = entry_at(index, "d")
    assert (stat.S_IMODE(entry.mode), entry.uid, entry.mtime_s) == (0o700, 9, 5)
    assert index.xattrs(entry.node) == {b"user.new": b"2"}
    assert list(walk_layer(index)) == ["d", "d/f"]


def test_a_directory_is_replaced_by_a_file_and_back(index_of):
    tree = [directory("x/d"), file("x/d/f"), directory("x/d/e"), file("x/d/e/g")]
    index = index_of(layer(*tree, file("x/d", b"file")))
    assert list(walk_layer(index)) == ["x", "x/d"]
    assert entry_at(index, "x/d").is_regular
    assert index.totals.nodes == 3
    index = index_of(layer(*tree, file("x/d", b"file"), directory("x/d", mode=0o711), file("x/d/new")))
    assert list(walk_layer(index)) == ["x", "x/d", "x/d/new"]
    assert stat.S_IMODE(entry_at(index, "x/d").mode) == 0o711


def test_whiteouts_go_with_a_directory_that_is_replaced(index_of):
    index = index_of(layer(directory("d"), whiteout("d/w"), opaque("d"), file("d"), directory("d")))
    entry = entry_at(index, "d")
    assert not entry.flags & (OPAQUE | WHITEOUTS)
    assert index.whiteouts(entry.node) == frozenset()


KINDS = {"file": file("n", b"f"), "symlink": symlink("n", "t"), "directory": directory("n"), "fifo": fifo("n")}


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("last", KINDS)
@pytest.mark.parametrize("between", [0, 1500])
def test_the_last_type_wins_however_far_apart(index_of, first, last, between):
    first, last = KINDS[first], KINDS[last]
    index = index_of(layer(first, *(file(f"many/{number}") for number in range(between)), last))
    alone = index_of(layer(last))
    assert entry_at(index, "n").mode == entry_at(alone, "n").mode
    assert entry_at(index, "n").target == entry_at(alone, "n").target
    assert len(walk_layer(index)) == 1 + between + bool(between)


def test_a_name_given_three_times(index_of):
    tar = layer(file("a", b"1"), file("a", b"2"), file("a", b"3"))
    index = index_of(tar)
    assert content(tar, entry_at(index, "a")) == b"3"
    assert index.totals.nodes == 2


def test_blocks_of_replaced_files_are_not_counted(index_of):
    assert index_of(layer(file("a", b"x" * 5000), file("a", b"y"))).totals.blocks == 1


# -- hard links


def test_hard_links_share_a_node(index_of):
    index = index_of(layer(file("a", b"1"), directory("d"), hardlink("d/b", "a"), hardlink("./c", "./d/b")))
    nodes = {entry_at(index, path).node for path in ("a", "d/b", "c")}
    assert len(nodes) == 1
    assert [entry_at(index, path).nlink for path in ("a", "d/b", "c")] == [3, 3, 3]
    folder = entry_at(index, "d").node
    assert index.names_of(*nodes) == [(ROOT, b"a"), (ROOT, b"c"), (folder, b"b")]
    assert index.outward_links() == []


def test_a_hard_link_to_a_symlink_is_one_more_name_of_the_symlink(index_of):
    index = index_of(layer(symlink("l", "target"), hardlink("h", "l")))
    assert entry_at(index, "h").target == b"target"
    assert entry_at(index, "h").node == entry_at(index, "l").node


def test_hard_links_to_devices(index_of):
    index = index_of(layer(character_device("c", 1, 3), hardlink("h", "c")))
    assert entry_at(index, "h").rdev == os.makedev(1, 3)
    assert entry_at(index, "h").nlink == 2


def test_a_hard_link_keeps_what_its_target_loses(index_of):
    tar = layer(file("a", b"old"), hardlink("b", "a"), file("a", b"new"))
    index = index_of(tar)
    assert content(tar, entry_at(index, "b")) == b"old"
    assert content(tar, entry_at(index, "a")) == b"new"
    assert (entry_at(index, "a").nlink, entry_at(index, "b").nlink) == (1, 1)


def test_a_hard_link_replaces_what_has_its_name(index_of):
    index = index_of(layer(directory("d"), file("d/f"), file("a", b"1"), hardlink("d", "a")))
    assert list(walk_layer(index)) == ["a", "d"]
    assert entry_at(index, "d").node == entry_at(index, "a").node


def test_a_hard_link_to_itself_changes_nothing(index_of):
    tar = layer(file("a", b"1"), hardlink("a", "a"))
    index = index_of(tar)
    assert (content(tar, entry_at(index, "a")), entry_at(index, "a").nlink) == (b"1", 1)


def test_a_hard_link_before_its_target_leads_outward(index_of):
    index = index_of(layer(hardlink("d/h", "e/f"), file("e/f", b"1")))
    entry = entry_at(index, "d/h")
    assert entry.link_path == b"e/f"
    assert index.outward_links() == [(entry_at(index, "d").node, b"h", b"e/f")]
    assert entry_at(index, "e/f").link_path is None


def test_long_outward_links_are_not_kept_in_memory(index_of):
    target = b"/".join([b"n" * 250] * 2000)
    tar = b"".join(pax({b"linkpath": target}) + header(b"l%d" % number, b"1") for number in range(60)) + END
    tracemalloc.start()
    try:
        index = index_of(tar)
        assert tracemalloc.get_traced_memory()[1] < len(tar) / 2
    finally:
        tracemalloc.stop()
    assert entry_at(index, "l59").link_path == target


def test_an_outward_link_that_is_replaced_is_forgotten(index_of):
    index = index_of(layer(hardlink("h", "below"), file("h", b"1")))
    assert index.outward_links() == []
    assert entry_at(index, "h").link_path is None


def test_a_hard_link_to_a_directory_is_refused(index_of):
    error = refused(index_of, directory("d"), hardlink("the/link", "d"))
    assert error.member == "the/link"
    assert "directory" in str(error)


@pytest.mark.parametrize("entry", [hardlink("h", "/"), hardlink("h", ".."), hardlink(".", "a"), hardlink("h", "")])
def test_hard_links_at_or_to_the_root_are_refused(index_of, entry):
    assert "root" in str(refused(index_of, file("a"), entry))


def test_hard_links_that_climb_stay_inside(index_of):
    index = index_of(
        layer(file("etc/passwd", b"1"), hardlink("h", "../../../etc/passwd"), hardlink("i", "/etc/passwd"))
    )
    assert entry_at(index, "h").node == entry_at(index, "etc/passwd").node == entry_at(index, "i").node


# -- directories that no entry names


def test_implied_parents(index_of):
    index = index_of(layer(file("a/b/c")))
    for path in ("a", "a/b"):
        entry = entry_at(index, path)
        assert entry.flags == IMPLIED
        assert (stat.filemode(entry.mode), entry.uid, entry.gid) == ("drwxr-xr-x", 0, 0)


def test_an_entry_after_its_content_makes_an_implied_directory_real(index_of):
    index = index_of(layer(file("a/b"), directory("a", mode=0o700)))
    entry = entry_at(index, "a")
    assert not entry.flags & IMPLIED
    assert stat.S_IMODE(entry.mode) == 0o700


def test_an_implied_directory_does_not_touch_a_real_one(index_of):
    index = index_of(layer(directory("a", mode=0o700, uid=1), file("a/b")))
    assert (stat.S_IMODE(entry_at(index, "a").mode), entry_at(index, "a").flags) == (0o700, 0)


@pytest.mark.parametrize("entry", [whiteout("a/b/w"), opaque("a/b")], ids=["whiteout", "opaque"])
def test_whiteouts_alone_make_ghosts(index_of, entry):
    index = index_of(layer(entry))
    assert entry_at(index, "a").flags == IMPLIED | GHOST
    assert entry_at(index, "a/b").flags & (IMPLIED | GHOST) == IMPLIED | GHOST


@pytest.mark.parametrize("order", [1, -1])
def test_an_entry_beside_a_whiteout_makes_the_parents_exist(index_of, order):
    index = index_of(layer(*[whiteout("a/b/w"), file("a/f")][::order]))
    assert entry_at(index, "a").flags == IMPLIED
    assert entry_at(index, "a/b").flags == IMPLIED | GHOST | WHITEOUTS
    index = index_of(layer(*[whiteout("a/b/w"), file("a/b/f")][::order]))
    assert entry_at(index, "a").flags == IMPLIED
    assert entry_at(index, "a/b").flags == IMPLIED | WHITEOUTS


@pytest.mark.parametrize("order", [1, -1])
def test_an_entry_for_a_ghost_makes_it_and_its_parents_exist(index_of, order):
    index = index_of(layer(*[whiteout("a/b/w"), directory("a/b", mode=0o700)][::order]))
    assert entry_at(index, "a").flags == IMPLIED
    assert entry_at(index, "a/b").flags == WHITEOUTS
    assert stat.S_IMODE(entry_at(index, "a/b").mode) == 0o700


def test_a_hard_link_makes_a_ghost_exist(index_of):
    index = index_of(layer(file("f"), whiteout("a/w"), hardlink("a/h", "f")))
    assert entry_at(index, "a").flags == IMPLIED | WHITEOUTS


# -- whiteouts


def test_whiteouts_are_recorded_and_are_no_entries(index_of):
    index = index_of(layer(directory("d"), whiteout("d/gone"), whiteout("top"), file("d/kept")))
    assert list(walk_layer(index)) == ["d", "d/kept"]
    folder = entry_at(index, "d")
    assert folder.flags & WHITEOUTS and not folder.flags & OPAQUE
    assert index.whiteouts(folder.node) == {b"gone"}
    assert index.whiteouts(ROOT) == {b"top"}
    assert index.hides(folder.node, b"gone") and not index.hides(folder.node, b"kept")
    assert index.root().flags & WHITEOUTS


def test_a_whiteout_does_not_touch_its_own_layer(index_of):
    for entries in ([file("a", b"1"), whiteout("a")], [whiteout("a"), file("a", b"1")]):
        index = index_of(layer(*entries))
        assert entry_at(index, "a").size == 1
        assert index.hides(ROOT, b"a")


def test_opaque_markers(index_of):
    index = index_of(layer(file("d/a"), opaque("d"), opaque("")))
    assert entry_at(index, "d").flags & OPAQUE
    assert index.root().flags & OPAQUE
    assert list(walk_layer(index)) == ["d", "d/a"]


def test_whiteouts_that_come_twice(index_of):
    assert index_of(layer(whiteout("a"), whiteout("a"), opaque(""), opaque(""))).whiteouts(ROOT) == {b"a"}


def test_a_whiteout_of_any_type_of_member_counts(index_of):
    index = index_of(layer(directory(".wh.a"), symlink(".wh.b", "x"), hardlink(".wh.c", "nothing")))
    assert index.whiteouts(ROOT) == {b"a", b"b", b"c"}
    assert walk_layer(index) == {}


def test_a_whiteout_of_a_whiteout_like_name(index_of):
    # `.wh..wh.x` is of AUFS' own files, which all tools pass over.
    index = index_of(layer(file(".wh..wh.plnk/1"), file(".wh..wh.aufs"), whiteout(".hidden")))
    assert index.whiteouts(ROOT) == {b".hidden"}


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "d/.wh.", "d/.wh..", "d/.wh..."])
def test_whiteouts_of_no_possible_name_are_refused(index_of, name):
    error = refused(index_of, directory("d"), file(name))
    assert "whiteout" in str(error)
    assert error.member == name


# -- paths


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("/a", "a"),
        ("//a", "a"),
        ("./a", "a"),
        ("././a", "a"),
        ("../a", "a"),
        ("../../../a", "a"),
        ("/../a", "a"),
        ("d/../a", "a"),
        ("d/../../a", "a"),
        ("d//b", "d/b"),
        ("d/./b", "d/b"),
        ("d/e/../b", "d/b"),
        ("..a", "..a"),
        ("a..", "a.."),
        ("...", "..."),
        (".a", ".a"),
        ("d/..b", "d/..b"),
        ("d./b", "d./b"),
        ("d/b.", "d/b."),
    ],
)
def test_paths_stay_inside(index_of, name, path):
    index = index_of(layer(file(name, b"1")))
    assert entry_at(index, path).size == 1
    found = walk_layer(index)
    assert set(found) == {path, *(["/".join(path.split("/")[:-1])] if "/" in path else [])}


@pytest.mark.parametrize("name", ["d/", "d", "./d/", "d//", "d/.", "x/../d", "d/x/.."])
def test_directory_names_with_all_endings(index_of, name):
    assert list(walk_layer(index_of(layer(directory(name, mode=0o700))))) == ["d"]


@pytest.mark.parametrize("entry", [whiteout("../../w"), whiteout("/w")])
def test_whiteouts_stay_inside(index_of, entry):
    assert index_of(layer(entry)).whiteouts(ROOT) == {b"w"}


def test_names_of_255_bytes_are_the_longest(index_of):
    for name in ("n" * 255, "d/" + "n" * 255, "n" * 255 + "/f", "é" * 127):
        assert name in walk_layer(index_of(layer(file(name))))
    for name in ("n" * 256, "d/" + "n" * 256, "n" * 256 + "/f", "./" + "n" * 300, "é" * 128):
        assert "255 bytes" in str(refused(index_of, file(name)))


def test_the_longest_symlink_target(index_of):
    assert entry_at(index_of(layer(symlink("l", "t" * 4095))), "l").size == 4095
    refused(index_of, symlink("l", "t" * 4096))
    refused(index_of, symlink("l", ""))


def test_names_with_a_nul_byte_are_refused(index_of):
    with pytest.raises(LayerError, match="NUL"):
        index_of(pax({b"path": b"a\0b"}) + header() + END)


def test_an_entry_below_a_file_is_refused(index_of):
    error = refused(index_of, file("a/b"), file("a/b/c"))
    assert error.member == "a/b/c"
    assert "a/b" in error.problem


# -- symbolic links on the way


@pytest.mark.parametrize("target", ["usr/lib", "/usr/lib", "./usr/../usr/lib/", "../../usr/lib"])
def test_a_symlink_is_followed_within_a_layer(index_of, target):
    index = index_of(layer(directory("usr/lib"), symlink("lib", target), file("lib/f", b"1")))
    assert entry_at(index, "usr/lib/f").size == 1
    assert entry_at(index, "lib").is_symlink
    assert set(walk_layer(index)) == {"lib", "usr", "usr/lib", "usr/lib/f"}


def test_a_relative_symlink_is_followed_from_its_own_directory(index_of):
    entries = [
        directory("a/real"),
        symlink("a/link", "real"),
        file("a/link/f"),
        symlink("a/up", "../b"),
        file("a/up/g"),
    ]
    index = index_of(layer(*entries))
    assert set(walk_layer(index)) == {"a", "a/link", "a/real", "a/real/f", "a/up", "b", "b/g"}


def test_a_hard_link_finds_its_target_behind_a_symlink(index_of):
    index = index_of(layer(file("usr/lib/f"), symlink("lib", "usr/lib"), hardlink("h", "lib/f")))
    assert entry_at(index, "h").node == entry_at(index, "usr/lib/f").node


def test_symlinks_in_a_circle_are_refused(index_of):
    error = refused(index_of, symlink("a", "b"), symlink("b", "a"), file("a/f"))
    assert error.member == "a/f"
    assert "symbolic links" in str(error)


def test_a_symlink_that_is_the_last_name_is_replaced_and_not_followed(index_of):
    index = index_of(layer(file("target", b"1"), symlink("l", "target"), file("l", b"22")))
    assert (entry_at(index, "target").size, entry_at(index, "l").size) == (1, 2)


# -- what no file can be


@pytest.mark.parametrize("entry", [file("f", uid=1 << 33), file("f", gid=(1 << 32) - 1), directory("f", uid=1 << 32)])
def test_owners_out_of_range_are_refused(index_of, entry):
    error = refused(index_of, entry)
    assert "owner" in str(error)
    assert error.member.rstrip("/") == "f"


def test_the_last_owner(index_of):
    entry = entry_at(index_of(layer(file("f", uid=(1 << 32) - 2, gid=65534))), "f")
    assert (entry.uid, entry.gid) == ((1 << 32) - 2, 65534)


def test_devices_out_of_range_are_refused(index_of):
    assert "device" in str(refused(index_of, character_device("c", 1 << 12, 0)))
    assert "device" in str(refused(index_of, block_device("b", 0, 1 << 20)))


def test_unknown_types_are_refused_with_the_name(index_of):
    with pytest.raises(LayerError) as raised:
        index_of(header(b"the/name", b"Q") + END)
    assert raised.value.member == "the/name"


def test_volume_labels_are_passed_over(index_of):
    assert list(walk_layer(index_of(header(b"label", b"V") + header(b"a") + END))) == ["a"]


def test_a_truncated_layer(index_of):
    tar = layer(file("the/name", b"x" * 1000))
    with pytest.raises(Truncated) as raised:
        index_of(tar[:1000])
    assert raised.value.member == "the/name"


def test_a_broken_header_is_a_layers_error(index_of):
    with pytest.raises(LayerError, match="header"):
        index_of(header(b"a") + b"junk" * 128 + END)


# -- size


def test_many_names(index_of):
    index = index_of(layer(*(file(f"d{number % 50}/f{number}") for number in range(5000))))
    assert index.totals.nodes == 5051
    assert len(index.listing(entry_at(index, "d7").node)) == 100
    assert index.directory_path(entry_at(index, "d7").node) == [b"d7"]


def test_directory_path(index_of):
    index = index_of(layer(file("a/b/c/f")))
    assert index.directory_path(ROOT) == []
    assert index.directory_path(entry_at(index, "a/b/c").node) == [b"a", b"b", b"c"]
    assert index.directory_path(999) is None
    node = entry_at(index, "a/b/c/f").node
    assert list(index.places_of({node, 999})) == [(node, entry_at(index, "a/b/c").node, b"f")]


def test_that_a_path_went_through_something_replaced_is_noted_in_the_last_batch_too(index_of):
    """Where `d/sub` was, the layer has a file now: where the path to `d/sub/file` led, only lower layers can say."""
    index = index_of(layer(file("d/sub/file"), directory("other"), file("d")))
    assert (GONE, b"") in index.implied()


def test_what_was_replaced_and_implied_nothing_is_not_noted(index_of):
    index = index_of(layer(directory("d"), file("d/file"), file("d")))
    assert list(index.implied()) == []
