"""A chain whose layers lead over each other's symbolic links is what extracting them one over the other makes."""

import itertools
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.archives import TarEntry, directory, file, layer, opaque, symlink, whiteout
from support.layers import make_chain, shown

from imagefs.errors import LayerError

Folder = dict[str, "str | Folder"]
"""The eager tree: a folder is a dictionary, a link "-> target", a file its content."""

NAMES = st.sampled_from("abc")
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TARGETS = st.sampled_from(["a", "b", "/c", "../b", "a/b", "/b/a", "c/../a", "./c/", "..", "/", "../../a/c"])


class Impossible(Exception):
    """No tool extracts this."""


class Tree:
    """A file tree in memory, and tar's rules for putting an entry into it."""

    def __init__(self) -> None:
        self.root: Folder = {}

    def resolve(self, path: str) -> list[str]:
        """A path without links; what is missing counts as a folder."""
        names = path.split("/")[::-1]
        trail: list[str] = []
        followed = 0
        while names:
            name = names.pop()
            if name in ("", ".", ".."):
                del trail[len(trail) - (name == "..") :]
                continue
            found = self.find([*trail, name])
            if isinstance(found, str) and found.startswith("-> "):
                followed += 1
                if followed > 40:
                    raise Impossible
                names += found[3:].split("/")[::-1]
                trail = [] if found.startswith("-> /") else trail
            else:
                trail.append(name)
        return trail

    def find(self, trail: list[str]) -> "Folder | str | None":
        found: Folder | str | None = self.root
        for name in trail:
            found = found.get(name) if isinstance(found, dict) else None
        return found

    def make(self, trail: list[str], mine: set[str]) -> Folder:
        """A folder, in the place of a file if need be, but not of one of `mine`."""
        folder = self.root
        for end, name in enumerate(trail, 1):
            child = folder.get(name)
            if not isinstance(child, dict):
                if "/".join(trail[:end]) in mine:
                    raise Impossible
                child = folder[name] = {}
            folder = child
        return folder

    def apply(self, entries: list[TarEntry]) -> None:
        removals = [entry for entry in entries if "/.wh." in f"/{entry.name}"]
        others = [entry for entry in entries if entry not in removals]
        # All of them find the tree as it is, so that no order matters.
        places = [(self.find(self.resolve(entry.name.rpartition("/")[0])), entry) for entry in removals]
        for place, entry in places:
            if not isinstance(place, dict):
                continue
            name = entry.name.rpartition("/")[2]
            if name == ".wh..wh..opq":
                place.clear()
            else:
                place.pop(name.removeprefix(".wh."), None)
        mine: set[str] = set()
        for entry in others:
            self.put(entry, mine)

    def put(self, entry: TarEntry, mine: set[str]) -> None:
        parent, _, name = entry.name.rpartition("/")
        trail = self.resolve(parent)
        folder = self.make(trail, mine)
        place = "/".join([*trail, name])
        mine.discard(place)
        if entry.type == b"5":
            if not isinstance(folder.get(name), dict):
                folder[name] = {}
        elif entry.type == b"2":
            folder[name] = f"-> {entry.link}"
        else:
            folder[name] = entry.data.decode()
            mine.add(place)

    def listing(self) -> dict[str, str]:
        found: dict[str, str] = {}

        def visit(folder: Folder, prefix: str) -> None:
            for name, child in folder.items():
                if isinstance(child, dict):
                    found[prefix + name] = "directory"
                    visit(child, f"{prefix}{name}/")
                else:
                    found[prefix + name] = child

        visit(self.root, "")
        return found


_numbers = itertools.count()

REMOVALS = st.lists(PATHS.map(whiteout) | PATHS.map(opaque), max_size=2)
ENTRIES = st.lists(
    PATHS.map(directory)
    | st.builds(symlink, PATHS, TARGETS)
    | PATHS.map(lambda path: file(path, b"content %d" % next(_numbers))),
    max_size=5,
)
LAYERS = st.lists(st.tuples(REMOVALS, ENTRIES).map(lambda parts: [*parts[0], *parts[1]]), min_size=2, max_size=4)


@settings(max_examples=300, deadline=None)
@given(LAYERS)
def test_a_chain_equals_extracting_its_layers(layers):
    tree = Tree()
    try:
        for entries in layers:
            tree.apply(entries)
    except Impossible:
        assume(False)
    with TemporaryDirectory() as folder:
        try:
            chain = make_chain(Path(folder), *(layer(*entries) for entries in layers))
        except LayerError:
            assume(False)
        assert shown(chain) == tree.listing()
