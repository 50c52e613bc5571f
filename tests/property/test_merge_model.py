"""The lazy merge equals an eager model: random layer stacks, applied layer by layer to a dict.

Left out, for what extraction tools do about it is a question of its own: entries below a path that is a symbolic
link or another file in the same or a lower layer, and whiteouts below such a symbolic link. So are layers that give
one path as a file first and as a directory later where a lower layer has a directory: the layer chapter forbids
paths that come twice, and there the tools that extract remove what the layers below have in the directory.
"""

import tempfile
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.archives import TarEntry, directory, file, layer, opaque, symlink, whiteout
from support.layers import make_index, merged_at, walk_layer, walk_merged

from imagefs.layers import builder, writer
from imagefs.layers.index import LayerIndex
from imagefs.tree import merge

NAMES = "abc"
PAIRS = [f"{x}/{y}" for x in NAMES for y in NAMES]
PATHS = [*NAMES, *PAIRS, *(f"{x}/{y}/{z}" for x in "ab" for y in "ab" for z in NAMES)]


@dataclass(frozen=True)
class Node:
    """What the model knows of a path. Owners are given in turn, so that equal nodes are the same entry."""

    kind: str
    mode: int
    uid: int
    mtime: int
    target: str = ""


Tree = dict[str, Node]
Operation = tuple[str, str]  # what to do, where

IMPLIED = Node("directory", 0o755, 0, 0)


def parents(path: str) -> list[str]:
    """All directories above a path, the root first."""
    names = path.split("/")
    return ["/".join(names[:end]) for end in range(len(names))] if path else []


def remove(tree: Tree, path: str, *, itself: bool = True) -> None:
    prefix = f"{path}/" if path else ""
    for each in [each for each in tree if each.startswith(prefix) and each not in ("", path)]:
        del tree[each]
    if itself:
        tree.pop(path, None)


def apply_whiteouts(tree: Tree, operations: list[Operation]) -> None:
    for what, path in operations:
        if what == "whiteout":
            remove(tree, path)
        elif what == "opaque" and tree.get(path, IMPLIED).kind == "directory":
            remove(tree, path, itself=False)


def apply_entry(tree: Tree, path: str, node: Node) -> None:
    for parent in parents(path):
        tree.setdefault(parent, IMPLIED)
    if node.kind != "directory" or (path in tree and tree[path].kind != "directory"):
        remove(tree, path)
    tree[path] = node


def make_node(what: str, number: int) -> Node:
    if what == "symlink":
        return Node(what, 0o777, number, number * 7, "abc"[number % 3])
    return Node(what, (0o700, 0o644, 0o4755)[number % 3], number, number * 7)


def make_entry(what: str, path: str, number: int) -> TarEntry:
    node = make_node(what, number)
    if what == "directory":
        return directory(path or ".", mode=node.mode, uid=node.uid, mtime=node.mtime)
    if what == "symlink":
        return symlink(path, node.target, uid=node.uid, mtime=node.mtime)
    return file(path, b"x" * number, mode=node.mode, uid=node.uid, mtime=node.mtime)


def first_unwanted(lower: Tree, operations: list[Operation]) -> int | None:
    """The position of an operation that this test leaves out, see above."""
    tree = dict(lower)
    apply_whiteouts(tree, operations)
    left = dict(tree)  # of the lower layers
    files: set[str] = set()  # of this layer, replaced ones too
    for position, (what, path) in enumerate(operations):
        if what in ("whiteout", "opaque"):
            above = [*parents(path), *([path] if what == "opaque" else [])]
            if any(parent in files or lower.get(parent, IMPLIED).kind == "symlink" for parent in above):
                return position
            continue
        if any(tree.get(parent, IMPLIED).kind != "directory" for parent in parents(path)):
            return position
        if what == "directory":
            if path in files and path in left and left[path].kind == "directory":
                return position
        else:
            files.add(path)
        apply_entry(tree, path, make_node(what, 1))
    return None


paths = st.sampled_from(PATHS)
operations = st.one_of(
    st.tuples(st.sampled_from(["file", "symlink"]), paths),
    st.tuples(st.just("directory"), st.sampled_from(["", *PATHS])),
    st.tuples(st.just("file"), paths),
    st.tuples(st.just("whiteout"), paths),
    st.tuples(st.just("opaque"), st.sampled_from(["", *NAMES, *PAIRS])),
)
stacks = st.lists(st.lists(operations, max_size=9), min_size=1, max_size=5)


def build(stack: list[list[Operation]]) -> tuple[list[bytes], Tree]:
    """The tars of a stack, and what the model makes of it."""
    tars: list[bytes] = []
    tree: Tree = {"": IMPLIED}
    number = 0
    for each in stack:
        wanted = list(each)
        while (position := first_unwanted(tree, wanted)) is not None:
            del wanted[position]
        apply_whiteouts(tree, wanted)
        entries = []
        for what, path in wanted:
            if what == "whiteout":
                entries.append(whiteout(path))
            elif what == "opaque":
                entries.append(opaque(path))
            else:
                number += 1
                entries.append(make_entry(what, path, number))
                apply_entry(tree, path, make_node(what, number))
        tars.append(layer(*entries))
    return tars, tree


def as_node(merged: merge.Merged) -> Node:
    entry = merged.entry
    kind = "directory" if entry.is_directory else "symlink" if entry.is_symlink else "file"
    if kind == "file":
        assert entry.size == entry.uid
    return Node(kind, entry.mode & 0o7777, entry.uid, entry.mtime_s, (entry.target or b"").decode())


def check_listing(layers: list[LayerIndex], expected: Tree) -> None:
    found = list(walk_merged(layers))
    assert {path: as_node(merged) for path, merged in found} == expected
    assert len(found) == len(expected)


def check_lookup(layers: list[LayerIndex], expected: Tree) -> None:
    for path in ["", *PATHS, *(f"{path}/{name}" for path in PATHS for name in NAMES)]:
        merged = merged_at(layers, path)
        assert (None if merged is None else as_node(merged)) == expected.get(path), path


def check_entries_alone(layers: list[LayerIndex]) -> None:
    """What is known of an entry that no other layer has a word on is what the rule makes of it."""
    for position, index in enumerate(layers):
        for entry in [index.root(), *walk_layer(index).values()]:
            for hides in (False, True):
                assert merge.alone(position, entry) == merge.resolve([(position, entry, hides)])


def check_identities(layers: list[LayerIndex]) -> None:
    """A directory's identity leads to its one path."""
    for path, merged in walk_merged(layers):
        if merged.entry.is_directory:
            position, node = merged.identity
            names = layers[position].directory_path(node)
            assert names is not None and b"/".join(names).decode() == path


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stack=stacks, batch=st.sampled_from([1, 2, 3, 1000]), directories=st.sampled_from([1, 1000]))
def test_the_lazy_merge_equals_the_eager_model(stack, batch, directories):
    tars, expected = build(stack)
    with pytest.MonkeyPatch.context() as patch:
        # However often the builder writes and forgets.
        patch.setattr(writer, "BATCH", batch)
        patch.setattr(builder, "_DIRECTORIES", directories)
        check(tars, expected)


def check(tars: list[bytes], expected: Tree) -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        layers = [
            opened.enter_context(closing(make_index(Path(folder) / f"{number}.sqlite", tar)))
            for number, tar in enumerate(tars)
        ]
        check_listing(layers, expected)
        check_lookup(layers, expected)
        check_identities(layers)
        check_entries_alone(layers)
