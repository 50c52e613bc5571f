"""The layer index: a small immutable database that answers for one layer.

    dirent   (parent, name) -> node          the layer's tree
    node     attributes of each node         a hard-linked file is one node with several names; a directory has
                                             one, which its row repeats
    whiteout (parent, name)                  what the layer removes from the layers below it; `replacing` where it
                                             does so by entries that come in place of each other
    link     (node, parent, name)            every name of the nodes that have more than one
    implied  (parent, name)                  what an entry's path went through before the layer had a word on it
    symlink  name                            names that may be symbolic links: theirs, and those of hard links to what
                                             only lower layers have; or were, until something replaced them
    xattr, sparse                            for the few nodes that have them
    pieces                                   the hashes of the tar's pieces, end to end, see `layers.pieces`

Node numbers are given in the order in which the tar first names things, so an index that is built
again from the same layer is the same. `layers.builder` writes it.
"""

import itertools
import sqlite3
import struct
from collections.abc import Collection, Iterator
from contextlib import closing
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

import msgspec

from imagefs.errors import ContentMissing
from imagefs.layers.entry import OPAQUE, ROOT, Entry, LayerTotals

FORMAT = 3
"""The version of the schema, kept in `user_version`."""

GONE = 0
"""In place of a parent in `implied`: somewhere that the layer has no directory, or not any more."""

SCHEMA = """
CREATE TABLE node (
    id INTEGER PRIMARY KEY, parent INTEGER, name BLOB, flags INTEGER NOT NULL, mode INTEGER NOT NULL,
    uid INTEGER NOT NULL, gid INTEGER NOT NULL, size INTEGER NOT NULL,
    mtime_s INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, rdev INTEGER NOT NULL, offset INTEGER NOT NULL,
    nlink INTEGER NOT NULL, blocks INTEGER NOT NULL, target BLOB, link_path BLOB,
    xattrs INTEGER NOT NULL, sparse INTEGER NOT NULL
);
CREATE TABLE dirent (parent INTEGER, name BLOB, node INTEGER NOT NULL, PRIMARY KEY (parent, name)) WITHOUT ROWID;
CREATE TABLE whiteout (parent INTEGER, name BLOB, replacing INTEGER NOT NULL, PRIMARY KEY (parent, name))
    WITHOUT ROWID;
CREATE TABLE link (node INTEGER, parent INTEGER, name BLOB, PRIMARY KEY (node, parent, name)) WITHOUT ROWID;
CREATE TABLE xattr (node INTEGER, name BLOB, value BLOB NOT NULL, PRIMARY KEY (node, name)) WITHOUT ROWID;
CREATE TABLE sparse (node INTEGER, start INTEGER, length INTEGER NOT NULL, offset INTEGER NOT NULL,
    PRIMARY KEY (node, start)) WITHOUT ROWID;
CREATE TABLE outward (node INTEGER PRIMARY KEY);
CREATE TABLE implied (parent INTEGER, name BLOB, PRIMARY KEY (parent, name)) WITHOUT ROWID;
CREATE TABLE symlink (name BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE totals (size INTEGER NOT NULL, nodes INTEGER NOT NULL, blocks INTEGER NOT NULL, xattrs INTEGER NOT NULL);
CREATE TABLE pieces (hashes BLOB NOT NULL);
"""

TABLES = (
    "node", "dirent", "whiteout", "link", "xattr", "sparse", "outward", "implied", "symlink", "totals", "pieces",
)  # fmt: skip

_ENTRIES = "FROM dirent d JOIN node n ON n.id = d.node WHERE d.parent = ?"
_NODE_COLUMNS = (
    "n.id, n.flags, n.mode, n.uid, n.gid, n.size, n.mtime_s, n.mtime_ns, n.rdev, n.offset, n.nlink,"
    " n.blocks, n.target, n.link_path, n.xattrs, n.sparse"
)


_NODE = f"SELECT x'', {_NODE_COLUMNS} FROM node n WHERE n.id = ?"
_LOOKUP = f"SELECT d.name, {_NODE_COLUMNS} {_ENTRIES} AND d.name = ?"
_LISTING = f"SELECT d.name, {_NODE_COLUMNS} {_ENTRIES} ORDER BY d.name"

_CACHE = 128
"""KiB of pages that are kept of each layer: a mount can have hundreds open, and the kernel keeps the file."""


_DEEPEST = 1 << 13
"""More folders than lie in each other in any layer: only in a damaged index does a way go on for longer."""

_DAMAGED = (sqlite3.Error, msgspec.ValidationError, UnicodeDecodeError, TypeError)
"""What a file that is no whole index comes to when it is asked."""

_entry = partial(msgspec.convert, type=Entry)  # unlike the class itself, it looks at the types of values

_VERSION = struct.Struct(">16s44xI")
"""The head of a database: a magic string, and further on the `user_version` (SQLite's file format, 1.3)."""


def is_current(path: Path) -> bool:
    """Whether a file begins as an index of this format does; with an older one, the layer counts as not unpacked."""
    return _format_of(path) == FORMAT


def is_older(path: Path) -> bool:
    """Whether a file begins as an index of an earlier format does."""
    found = _format_of(path)
    return found is not None and found < FORMAT


def _format_of(path: Path) -> int | None:
    try:
        with open(path, "rb", buffering=0) as file:
            head = file.read(_VERSION.size)
    except OSError:  # none there, or a directory
        return None
    if len(head) < _VERSION.size:
        return None
    magic, version = _VERSION.unpack(head)
    return version if magic == b"SQLite format 3\0" else None


def same_content(one: Path, other: Path) -> bool:
    """Whether two indexes say the same of their layers, in the same order."""
    with closing(_connect(one)) as first, closing(_connect(other)) as second:
        try:
            return all(
                left == right
                for table in TABLES
                for left, right in itertools.zip_longest(
                    *(each.execute(f"SELECT * FROM {table}") for each in (first, second))
                )
            )
        except sqlite3.Error:  # one of them is broken
            return False


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True, check_same_thread=False)


class LayerIndex:
    """Read access to one layer's index. Opened in one thread and used from one at a time.

    This, and all that it is asked, raises `ContentMissing` where the file is not a whole index.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._database = _connect(path)
            self._database.execute(f"PRAGMA cache_size = -{_CACHE}")
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            if version != FORMAT:
                raise ContentMissing(f"{path}: a layer index of version {version}, not {FORMAT}")
            totals = self._database.execute("SELECT size, nodes, blocks, xattrs FROM totals").fetchone()
            size, nodes, blocks, xattrs = msgspec.convert(totals, tuple[int, int, int, int])
            self.totals = LayerTotals(size, nodes, blocks, bool(xattrs))
        except _DAMAGED as error:
            self._fail(error)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def root(self) -> Entry:
        """The layer's root directory."""
        return self._root

    @cached_property
    def _root(self) -> Entry:
        # Every chain that has the layer asks for it, and opening a chain makes as many as it has layers.
        root = self.node(ROOT)
        if root is None or not root.is_directory:
            raise ContentMissing(f"{self.path}: not a layer index: it has no root")
        return root

    def node(self, number: int) -> Entry | None:
        """The node with this number, under an empty name."""
        try:
            row = self._database.execute(_NODE, (number,)).fetchone()
            return None if row is None else _entry(row)
        except _DAMAGED as error:
            self._fail(error)

    def lookup(self, parent: int, name: bytes) -> Entry | None:
        """What the directory holds under this name."""
        try:
            row = self._database.execute(_LOOKUP, (parent, name)).fetchone()
            return None if row is None else _entry(row)
        except _DAMAGED as error:
            self._fail(error)

    def entries(self, parent: int) -> Iterator[Entry]:
        """All that the directory holds, sorted by name, and no more than one at a time."""
        try:
            yield from map(_entry, self._database.execute(_LISTING, (parent,)))
        except _DAMAGED as error:
            self._fail(error)

    def listing(self, parent: int) -> list[Entry]:
        """All that the directory holds, sorted by name."""
        return list(self.entries(parent))

    def hides(self, parent: int, name: bytes) -> bool:
        """Whether the directory hides this name of the layers below."""
        query = "SELECT 1 FROM whiteout WHERE parent = ? AND name = ?"
        return self._has(query, parent, name)

    def whites_out(self, parent: int, name: bytes) -> bool:
        """Whether it does so by a whiteout, and not by putting a file and a directory into its place."""
        query = "SELECT 1 FROM whiteout WHERE parent = ? AND name = ? AND NOT replacing"
        return self._has(query, parent, name)

    def whiteouts(self, parent: int) -> frozenset[bytes]:
        """All names that the directory hides."""
        query = "SELECT name FROM whiteout WHERE parent = ?"
        return frozenset(name for (name,) in self._rows(query, (parent,), tuple[bytes]))

    def place(self, directory: int) -> tuple[int, bytes] | None:
        """(parent, name) of a directory; None for the root and for what is no directory."""
        query = "SELECT parent, name FROM node WHERE id = ? AND parent IS NOT NULL"
        for place in self._rows(query, (directory,), tuple[int, bytes]):
            return place  # type: ignore[no-any-return]  # as it says
        return None

    @cached_property
    def link_names(self) -> frozenset[bytes]:
        """All names that may be symbolic links in an image, wherever they are in the layer."""
        return frozenset(name for (name,) in self._rows("SELECT name FROM symlink", (), tuple[bytes]))

    def removes_anything(self) -> bool:
        """Whether it has a whiteout or an opaque marker."""
        whiteouts = "SELECT 1 FROM whiteout WHERE NOT replacing"
        query = f"SELECT EXISTS ({whiteouts}) OR EXISTS (SELECT 1 FROM node WHERE flags & {OPAQUE})"
        return bool(self._rows(query, (), tuple[int])[0][0])

    def directory_path(self, node: int) -> list[bytes] | None:
        """The names that lead from the root to a directory; None when there is no such directory."""
        names: list[bytes] = []
        while node != ROOT:
            place = self.place(node)
            if place is None:
                return None
            node, name = place
            names.append(name)
            if len(names) > _DEEPEST:
                raise ContentMissing(f"{self.path}: a damaged layer index: its folders lie in each other")
        return names[::-1]

    def names_of(self, node: int) -> list[tuple[int, bytes]]:
        """(parent, name) of every name of a node; only nodes with several names are on record here."""
        query = "SELECT parent, name FROM link WHERE node = ? ORDER BY parent, name"
        return self._rows(query, (node,), tuple[int, bytes])

    def places_of(self, nodes: Collection[int]) -> Iterator[tuple[int, int, bytes]]:
        """(node, parent, name) of every name of some nodes; looks through the whole layer, for the rare case."""
        for parent, name, node in self._one_by_one("SELECT parent, name, node FROM dirent", tuple[int, bytes, int]):
            if node in nodes:
                yield node, parent, name

    def outward_links(self) -> list[tuple[int, bytes, bytes]]:
        """(parent, name, path) of every hard link to a path that only lower layers can have."""
        return self._rows(
            "SELECT d.parent, d.name, n.link_path FROM outward o JOIN node n ON n.id = o.node"
            " JOIN dirent d ON d.node = n.id ORDER BY n.id, d.parent, d.name",
            (),
            tuple[int, bytes, bytes],
        )

    def implied(self) -> Iterator[tuple[int, bytes]]:
        """(parent, name) of all that only lower layers could say something of when an entry's path went through it.

        The parent is `GONE` where the layer has none.
        """
        return self._one_by_one("SELECT parent, name FROM implied ORDER BY parent, name", tuple[int, bytes])

    def piece_hashes(self) -> bytes:
        """The hashes of the tar's pieces; of what was indexed for one chain, none."""
        row = self._database.execute("SELECT hashes FROM pieces").fetchone()
        return b"" if row is None else row[0]

    def xattrs(self, node: int) -> dict[bytes, bytes]:
        """The node's extended attributes."""
        if not self.totals.xattrs:
            return {}
        query = "SELECT name, value FROM xattr WHERE node = ? ORDER BY name"
        return dict(self._rows(query, (node,), tuple[bytes, bytes]))

    def segments(self, node: int) -> list[tuple[int, int, int]]:
        """(start in the file, length, offset in the tar) of each piece of a sparse file, in order."""
        query = "SELECT start, length, offset FROM sparse WHERE node = ? ORDER BY start"
        return self._rows(query, (node,), tuple[int, int, int])

    # -- damage

    def _rows(self, query: str, parameters: tuple[object, ...], row: Any) -> list[Any]:  # noqa: ANN401  a type
        """What a query answers, rows of a type."""
        try:
            found: list[Any] = msgspec.convert(self._database.execute(query, parameters).fetchall(), list[row])
        except _DAMAGED as error:
            self._fail(error)
        return found

    def _has(self, query: str, parent: int, name: bytes) -> bool:
        """Whether a query about a name answers anything."""
        try:
            return self._database.execute(query, (parent, name)).fetchone() is not None
        except _DAMAGED as error:
            self._fail(error)

    def _one_by_one(self, query: str, row: Any) -> Iterator[Any]:  # noqa: ANN401  a type
        """The same for what may be many."""
        try:
            yield from map(partial(msgspec.convert, type=row), self._database.execute(query))
        except _DAMAGED as error:
            self._fail(error)

    def _fail(self, error: Exception) -> NoReturn:
        raise ContentMissing(f"{self.path}: not a layer index, or a damaged one: {error}") from None
