"""Comparing two trees: passing over what both share gives what comparing two full listings gives.

Random layers, hard links between them and inside them included, are stacked to two chains: with a common beginning,
with layers in common elsewhere, and with layers that come twice.
"""

import stat
import tempfile
from collections import defaultdict
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.archives import directory, file, hardlink, layer, opaque, symlink, whiteout
from support.layers import FakeLayer, make_index

from imagefs.browse.difference import ADDED, ASPECTS, CHANGED, REMOVED, Side, differences, twins
from imagefs.browse.provenance import REMOVED as GONE
from imagefs.browse.provenance import versions
from imagefs.errors import LayerError, NoSuchEntry, NotADirectory
from imagefs.layers.entry import IMPLIED
from imagefs.layers.index import LayerIndex
from imagefs.tree import context
from imagefs.tree.chain import Chain
from imagefs.tree.openlayers import LayerFile

FOLDERS = ["d", "e", "d/f", "e/f"]
FILES = ["a", "d/a", "d/b", "e/a", "e/b", "d/f/a", "e/f/a"]
PATHS = [*FOLDERS, *FILES]
STARTS = [((), ()), ((b"d",), (b"d",)), ((b"d",), (b"e",)), ((b"e", b"f"), (b"d", b"f")), ((b"a",), (b"d", b"a"))]

small = st.integers(0, 2)
files, folders = st.sampled_from(FILES), st.sampled_from(FOLDERS)


@st.composite
def entries(draw):
    what, number = draw(st.sampled_from("fffddslhhhwwo")), draw(small)
    attributes = {"uid": draw(st.integers(0, 1)), "mtime": 1}
    if what == "f":
        xattrs = {"user.x": b"%d" % number} if draw(st.booleans()) else {}
        return file(draw(files), b"xyz"[:number] * draw(small), mode=(0o644, 0o600)[number % 2], xattrs=xattrs)
    if what == "d":
        return directory(draw(folders), mode=(0o755, 0o700, 0o711)[number], **attributes)
    if what == "s":
        return symlink(draw(folders), draw(folders))
    if what == "l":
        return symlink(draw(files), "a" * number + "b", **attributes)
    if what == "h":
        return hardlink(draw(files), draw(files))
    return whiteout(draw(st.sampled_from(PATHS))) if what == "w" else opaque(draw(st.sampled_from(["", *FOLDERS])))


pools = st.lists(st.lists(entries(), max_size=6), min_size=3, max_size=3)
stacks = st.lists(st.integers(0, 2), max_size=3)


def chain_of(layers, stack):
    return context.chain_of([layers[number] for number in stack])


def make_layer(folder, number, members):
    """The layer, without the entries that no tool extracts."""
    wanted = list(members)
    while True:
        tar = layer(*wanted)
        try:
            index = make_index(Path(tempfile.mkdtemp(dir=folder)) / "index.sqlite", tar)
        except LayerError as error:
            wanted.remove(next(each for each in reversed(wanted) if each.name == error.member.rstrip("/")))
            continue
        return FakeLayer(tar, index, f"sha256:{number:064}", number)


# -- the model: two full listings


def listed(chain, start):
    """Everything by path: its attributes by aspect, and what all names of a file have in common."""
    found = {}

    def visit(path, merged):
        try:
            merged = chain.follow(merged)
        except NoSuchEntry:
            return
        entry, layer = merged.entry, chain.layers[merged.layer] if len(chain) else None
        attributes = {
            "type": stat.S_IFMT(entry.mode),
            "owner": (entry.uid, entry.gid),
            "mtime": entry.mtime_s * 10**9 + entry.mtime_ns,
            "xattrs": chain.views[merged.layer].xattrs(entry.node) if layer else {},
        }
        if entry.is_regular:
            attributes |= {"content": layer.pread(entry.size, entry.offset), "size": entry.size}
        if entry.is_symlink:
            attributes["target"] = entry.target
        else:
            attributes["mode"] = stat.S_IMODE(entry.mode)
        key = path if entry.is_directory else (merged.layer, entry.node)
        found[path] = (attributes, key)
        if entry.is_directory:
            for name, below in chain.listing(merged).items():
                visit((*path, name), below)

    visit((), chain.follow(chain.walk(start)))
    return found


def groups(tree, other):
    """By path, all names of the same file that are of the same type in both trees."""
    names = defaultdict(set)
    for path, (attributes, key) in tree.items():
        if path in other and other[path][0]["type"] == attributes["type"]:
            names[key].add(path)
    return {path: names[key] for path, (_, key) in tree.items()}


def expected(a, b):
    before, after = listed(a.chain, a.start), listed(b.chain, b.start)
    names_before, names_after = groups(before, after), groups(after, before)
    found = []
    for path in sorted(before.keys() | after.keys()):
        if path not in before:
            found.append((path, ADDED, []))
        elif path not in after:
            found.append((path, REMOVED, []))
        else:
            one, other = before[path][0], after[path][0]
            changes = {aspect for aspect in one.keys() & other.keys() if one[aspect] != other[aspect]}
            if one["type"] == other["type"] and names_before[path] != names_after[path]:
                changes.add("links")
            if changes:
                found.append((path, CHANGED, [aspect for aspect in ASPECTS if aspect in changes]))
    return found


def told(a, b, **options):
    return [(each.path, each.kind, list(each.changes)) for each in differences(a, b, **options)]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(pool=pools, common=stacks, above_a=stacks, above_b=stacks)
def test_passing_over_what_both_share_makes_no_difference(pool, common, above_a, above_b):
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        layers = [make_layer(folder, number, members) for number, members in enumerate(pool)]
        for each in layers:
            opened.enter_context(closing(each.index))
        a, b = chain_of(layers, common + above_a), chain_of(layers, common + above_b)
        assert {value: key for key, value in twins(a, b).items()} == twins(b, a)
        for start_a, start_b in STARTS:
            sides = Side(a, start_a), Side(b, start_b)
            try:
                wanted = expected(*sides)
            except (NoSuchEntry, NotADirectory):
                continue
            assert told(*sides) == told(*sides, skip=False) == wanted


LINK_OUT = [hardlink("d/a", "e/a")]
LEADS_ELSEWHERE = [directory("d"), file("e/a")]


@pytest.mark.parametrize(
    ("above_a", "above_b"),
    [
        # What a hard link to a lower layer stands for, the layers below decide.
        ([[file("e/a", b"a")], LINK_OUT], [[file("e/a", b"b")], LINK_OUT]),
        # A path leads over a symbolic link below, so one node of one layer has a file more.
        ([[symlink("e", "d")], LEADS_ELSEWHERE], [LEADS_ELSEWHERE]),
        # A part above mentions a name by removing it.
        ([[file("d/a"), file("d/b")]], [[file("d/a"), file("d/b")], [whiteout("d/a"), file("d/c")]]),
        ([[file("d/a")]], [[file("d/a")], [opaque("d")]]),
        # A name that is passed over is no hard link any more.
        ([[file("d/a"), hardlink("e/a", "d/a")]], [[file("d/a"), hardlink("e/a", "d/a")], [file("e/a")]]),
        # The same layer twice: the names of one file come from one of them, or from both.
        ([[file("a")], [hardlink("d/a", "a")]], [[file("a")], [hardlink("d/a", "a")], [whiteout("a")], [file("a")]]),
        # A layer that is not at the same place, with an implied directory whose attributes come from below.
        ([[directory("d", mode=0o700)], [file("d/a")]], [[directory("d")], [], [file("d/a")]]),
    ],
)
def test_what_must_not_be_passed_over(tmp_path, above_a, above_b):
    sides = []
    layers = {}
    for stack in (above_a, above_b):
        for members in stack:
            tar = layer(*members)
            layers.setdefault(tar, make_layer(tmp_path, len(layers), members))
        sides.append(Side(chain_of(layers, [layer(*members) for members in stack])))
    assert told(*sides) == told(*sides, skip=False) == expected(*sides) != []


def test_deep_folders(tmp_path):
    deep = make_layer(tmp_path, 0, [file("d/" * 2000 + "x")])
    found = told(Side(chain_of([deep], [])), Side(chain_of([deep], [0])))
    assert found[-1] == ((b"d",) * 2000 + (b"x",), ADDED, [])
    assert [len(path) for path, _, _ in found] == list(range(1, 2002))


def test_what_only_shared_layers_hold_is_not_looked_into(tmp_path, monkeypatch):
    base = make_layer(tmp_path, 0, [file(f"d{number}/e/{name}") for number in range(20) for name in "abc"])
    top = make_layer(tmp_path, 1, [file("d3/e/b", b"new"), whiteout("d4/e/a")])
    other = make_layer(tmp_path, 2, [file("d3/e/c", b"new")])
    asked = []
    for question in ("listing", "lookup"):
        answer = getattr(LayerIndex, question)

        def ask(index, *place, question=question, answer=answer):
            asked.append((question, index))
            return answer(index, *place)

        monkeypatch.setattr(LayerIndex, question, ask)
    a, b = chain_of([base, top, other], [0, 1]), chain_of([base, top, other], [0, 2])
    asked.clear()
    assert told(Side(a), Side(b)) == [
        ((b"d3", b"e", b"b"), CHANGED, ["content", "size"]),
        ((b"d3", b"e", b"c"), CHANGED, ["content", "size"]),
        ((b"d4", b"e", b"a"), ADDED, []),
    ]
    assert ("listing", base.index) not in asked
    # d3, d4, d3/e, d4/e and the three files, on each side.
    assert asked.count(("lookup", base.index)) <= 2 * 7


def test_names_are_looked_for_once_for_each_file(tmp_path, monkeypatch):
    stacks = [[file("f0", data), *[hardlink(f"f{number}", "f0") for number in range(1, 100)]] for data in (b"a", b"b")]
    layers = [make_layer(tmp_path, number, each) for number, each in enumerate(stacks)]
    asked = []
    names = Chain.names
    monkeypatch.setattr(Chain, "names", lambda *arguments: asked.append(arguments) or names(*arguments))
    assert len(told(*(Side(chain_of(layers, [number])) for number in range(2)))) == 100
    assert len(asked) <= 4, "of two files, to find all that could differ and to compare"


def test_the_pieces_of_sparse_files_are_read_together(tmp_path, monkeypatch):
    pieces = "".join(f"{2048 * number}\n1\n" for number in range(1000))
    content = f"1000\n{pieces}".encode()
    content += bytes(-len(content) % 512) + b"x" * 1000
    pax = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "f", "GNU.sparse.realsize": "2048000"}
    stacks = [[file("f", content, pax=pax)], [file("a"), file("f", content, pax=pax)]]
    layers = [make_layer(tmp_path, number, each) for number, each in enumerate(stacks)]
    asked = []
    read = LayerFile.read
    monkeypatch.setattr(LayerFile, "read", lambda *arguments: asked.append(arguments) or read(*arguments))
    assert told(*(Side(chain_of(layers, [number])) for number in range(2))) == [((b"a",), ADDED, [])]
    assert len(asked) == 4, "a megabyte at a time"


# -- provenance, over the same layers


def by_definition(chain, path):
    """The versions of a path: what each layer changes, with every layer looked at."""
    found = []
    before = None
    for position in range(len(chain)):
        try:
            after = chain.prefix(position + 1).walk(path)
        except (NoSuchEntry, NotADirectory):
            after = None
        if before is not None and after is None:
            found.append((position + 1, GONE))
        if after is not None and after.layer == position and not after.entry.flags & IMPLIED:
            found.append((position + 1, after.entry))
        before = after
    return found[::-1]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(pool=pools, stack=st.lists(st.integers(0, 2), max_size=5))
def test_versions_are_what_their_definition_says(pool, stack):
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        layers = [make_layer(folder, number, members) for number, members in enumerate(pool)]
        for each in layers:
            opened.enter_context(closing(each.index))
        chain = chain_of(layers, stack)
        for path in ((), *(tuple(path.encode().split(b"/")) for path in PATHS)):
            found = versions(chain, path)
            assert all((each.removal is not None) == (each.what == GONE) for each in found)
            own = [each for each in found if each.entry is None or not each.entry.flags & IMPLIED]
            assert [each.position for each in own] == [position for position, _ in by_definition(chain, path)]
