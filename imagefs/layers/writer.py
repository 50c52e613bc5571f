"""The tables of a layer index in the making: rows in batches, and what becomes of names that come twice.

Memory does not grow with the layer: rows go to the database in batches of plain inserts; when one of a batch's names
turns out to be there already, which is rare, the batch is done again row by row with the rules for replacing.
"""

import sqlite3
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
from msgspec.structs import astuple

from imagefs.layers.entry import GHOST, IMPLIED, ROOT, WHITEOUTS, LayerTotals
from imagefs.layers.index import FORMAT, GONE, SCHEMA

BATCH = 1000
"""How many rows are kept back before they are written."""

_AT_A_TIME = 50
"""How many rows one statement inserts: each statement costs time, and lets go of the interpreter lock."""

NO_PATH = bytearray()
"""Stands for NULL where a path or a name would be, of which none is ever empty.

Paths go to sqlite3 as bytearrays, which it binds three times as fast as bytes and None: those it takes for types that
somebody may want to adapt.
"""


class NodeRow(msgspec.Struct, gc=False):
    """The columns of a node, in order, but its number, a directory's place and `nlink`; see `layers.entry.Entry`."""

    flags: int
    mode: int
    uid: int
    gid: int
    size: int
    mtime_s: int
    mtime_ns: int
    rdev: int = 0
    offset: int = 0
    blocks: int = 0
    target: bytearray = NO_PATH
    link_path: bytearray = NO_PATH
    xattrs: int = 0
    sparse: int = 0


DEFAULT_DIRECTORY = NodeRow(IMPLIED, stat.S_IFDIR | 0o755, 0, 0, 0, 0, 0)
"""What a directory is that no layer has an entry for."""

GHOST_DIRECTORY = NodeRow(IMPLIED | GHOST, stat.S_IFDIR | 0o755, 0, 0, 0, 0, 0)
"""The same where only whiteouts are in it."""

Key = tuple[int, bytes]
"""A name: the directory that it is in, and the name itself."""

_Value = int | bytearray
_TYPE = 0o170000

_NODE_COLUMNS = 17
_NODE = "(?,nullif(?,0),nullif(?,x''),?,?,?,?,?,?,?,?,?,1,?,nullif(?,x''),nullif(?,x''),?,?)"
_INSERT_NODE, _INSERT_NODES = (f"INSERT INTO node VALUES {','.join([_NODE] * rows)}" for rows in (1, _AT_A_TIME))
_INSERT_NAME, _INSERT_NAMES = (
    f"INSERT OR IGNORE INTO dirent VALUES {','.join(['(?,?,?)'] * rows)}" for rows in (1, _AT_A_TIME)
)


class IndexWriter:
    """The database of one layer. Use from one thread, then `finish` or `abandon`.

    `pieces` waits for the hashes of the tar's pieces; it is asked when all the rest is written.
    """

    def __init__(self, path: Path, pieces: Callable[[], bytes] | None = None) -> None:
        self._pieces = pieces
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # The file is worth nothing until it is renamed into place, after an fsync: no journal.
        self._database.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA locking_mode=EXCLUSIVE;"
            f"PRAGMA user_version={FORMAT};{SCHEMA}BEGIN;"
        )
        self._next = ROOT + 1
        self._nodes: dict[Key, tuple[int, NodeRow]] = {}  # not written yet, by name
        self._first_pending = self._next
        self._relied_on: set[Key] = set()  # names that a subclass has to know of when something is put there
        self._implied: list[Key] = []  # not written yet
        self._symlinks: list[tuple[bytes]] = []  # not written yet
        self._replaced = False
        self._linked = False
        self._has_xattrs = False
        self._database.execute(_INSERT_NODE, (ROOT, GONE, NO_PATH, *astuple(DEFAULT_DIRECTORY)))

    @property
    def nodes(self) -> int:
        """How many nodes there were so far, those that were replaced too."""
        return self._next - ROOT

    def names_changed(self) -> None:
        """A name was taken away; for a subclass that remembers places."""

    def name_reused(self, key: Key) -> None:
        """Something is about to be put under a name that is relied on; for that subclass too."""

    # -- names

    def find_in(self, parent: int, name: bytes) -> tuple[int, int] | None:
        """(node, mode) of what a directory holds under a name so far."""
        pending = self._nodes.get((parent, name))
        if pending is not None:
            return pending[0], pending[1].mode
        query = "SELECT n.id, n.mode FROM dirent d JOIN node n ON n.id = d.node WHERE d.parent = ? AND d.name = ?"
        found: tuple[int, int] | None = self._database.execute(query, (parent, name)).fetchone()
        return found

    def add(self, parent: int, name: bytes, row: NodeRow) -> int:
        """Put a node under a name; whatever had the name is replaced, two directories become one.

        Answers the node's number.
        """
        key = (parent, name)
        node = (self._next, row)
        if self._nodes.setdefault(key, node) is not node:
            self.flush()
            self._nodes[key] = node
        self._next += 1
        kind = row.mode & _TYPE
        if kind != stat.S_IFREG and (row.target or row.link_path):
            self._symlinks.append((name,))
        if key in self._relied_on:
            self.name_reused(key)
            self.flush()
        elif len(self._nodes) >= BATCH:
            self.flush()
        if kind != stat.S_IFDIR:
            return node[0]
        if self._is_written(key):
            self.flush()
        found = self.find_in(parent, name)
        assert found is not None, "it was just put there"
        return found[0]

    def add_link(self, parent: int, name: bytes, node: int, mode: int) -> None:
        """Give a node of this layer one more name."""
        self.flush()
        found = self.find_in(parent, name)
        if found is not None:
            if found[0] == node:
                return
            self._remove(parent, name, found)
        self._database.execute("INSERT INTO dirent VALUES (?, ?, ?)", (parent, name, node))
        if not stat.S_ISREG(mode):
            self._symlinks.append((name,))
        self._linked = True

    def mark_outward(self, node: int) -> None:
        """The node is a hard link to a path of a lower layer."""
        self.flush()  # the path may be as long as an extended header
        self._database.execute("INSERT INTO outward VALUES (?)", (node,))

    def add_xattrs(self, node: int, xattrs: Iterable[tuple[bytes, bytes]]) -> None:
        """The node's extended attributes."""
        self._has_xattrs = True
        self._database.executemany(
            "INSERT OR REPLACE INTO xattr VALUES (?, ?, ?)", [(node, name, value) for name, value in xattrs]
        )

    def add_segments(self, node: int, segments: Iterable[tuple[int, int, int]]) -> None:
        """Where the pieces of a sparse file are: (start in the file, length, offset in the tar)."""
        self._database.executemany("INSERT INTO sparse VALUES (?, ?, ?, ?)", [(node, *each) for each in segments])

    def finish(self, size: int) -> LayerTotals:
        """Write what is left and close the file; `size` is the layer's in bytes."""
        self.flush()
        self.flush()  # of what was replaced, the first may have noted more
        database = self._database
        if self._linked:
            database.execute(
                "INSERT INTO link SELECT node, parent, name FROM dirent WHERE node IN"
                " (SELECT node FROM dirent GROUP BY node HAVING count(*) > 1)"
            )
            database.execute(
                "UPDATE node SET nlink = (SELECT count(*) FROM link WHERE node = id)"
                " WHERE id IN (SELECT node FROM link)"
            )
        if self._replaced:
            self._drop_nameless()
        (nodes, blocks) = database.execute("SELECT count(*), ifnull(sum(blocks), 0) FROM node").fetchone()
        totals = LayerTotals(size, nodes, blocks, self._has_xattrs)
        database.execute("INSERT INTO totals VALUES (?, ?, ?, ?)", (size, nodes, blocks, self._has_xattrs))
        if self._pieces is not None:
            database.execute("INSERT INTO pieces VALUES (?)", (self._pieces(),))
        database.execute("COMMIT")
        database.close()
        return totals

    def abandon(self) -> None:
        """Close the file as it is."""
        self._database.close()

    def imply(self, parent: int, name: bytes) -> None:
        """A path went through a name that the layer has no word on, or through `GONE`."""
        self._implied.append((parent, name))
        if len(self._implied) >= BATCH:
            self.flush()

    # -- writing

    def _is_written(self, key: Key) -> bool:
        if key[0] >= self._first_pending:
            return False  # nor is the directory that it is in
        return self._database.execute("SELECT 1 FROM dirent WHERE parent = ? AND name = ?", key).fetchone() is not None

    def flush(self) -> None:
        """Write what was kept back."""
        if self._implied:
            self._database.executemany("INSERT OR IGNORE INTO implied VALUES (?, ?)", self._implied)
            self._implied = []
        if self._symlinks:
            self._database.executemany("INSERT OR IGNORE INTO symlink VALUES (?)", self._symlinks)
            self._symlinks = []
        if not self._nodes:
            return
        nodes, self._nodes, self._first_pending = self._nodes, {}, self._next
        before = self._database.total_changes
        names: list[_Value] = []
        columns: list[_Value] = []
        for (parent, name), (number, row) in nodes.items():
            bound_name = bytearray(name)
            names += (parent, bound_name, number)
            columns += (number, parent, bound_name) if row.mode & _TYPE == stat.S_IFDIR else (number, 0, NO_PATH)
            columns += astuple(row)
        self._insert(_INSERT_NAME, _INSERT_NAMES, 3, names)
        if self._database.total_changes - before == len(nodes):
            self._insert(_INSERT_NODE, _INSERT_NODES, _NODE_COLUMNS, columns)
        else:
            self._write_one_by_one(nodes, columns)

    def _insert(self, one: str, many: str, width: int, values: list[_Value]) -> None:
        """Insert rows that lie end to end in `values`, many at a time as far as there are as many."""
        step = width * _AT_A_TIME
        rest = len(values) - len(values) % step
        for start in range(0, rest, step):
            self._database.execute(many, values[start : start + step])
        for start in range(rest, len(values), width):
            self._database.execute(one, values[start : start + width])

    def _write_one_by_one(self, nodes: dict[Key, tuple[int, NodeRow]], columns: list[_Value]) -> None:
        """Insert nodes of which some names were there before: names that were not have their node already.

        Names are unique within a batch, so the order does not matter.
        """
        database = self._database
        for position, ((parent, name), (number, row)) in enumerate(nodes.items()):
            node = columns[position * _NODE_COLUMNS : (position + 1) * _NODE_COLUMNS]
            found = self.find_in(parent, name)
            if found is None:  # the new node's own name
                database.execute(_INSERT_NODE, node)
            elif stat.S_ISDIR(found[1]) and stat.S_ISDIR(row.mode):
                self.update_directory(found[0], row)
            else:
                self._remove(parent, name, found)
                database.execute("INSERT INTO dirent VALUES (?, ?, ?)", (parent, name, number))
                database.execute(_INSERT_NODE, node)
                if stat.S_ISDIR(row.mode):
                    # Whatever directory the layers below have here, the file before this one replaced it.
                    self.hide(parent, name, replacing=True)

    def hide(self, parent: int, name: bytes, *, replacing: bool = False) -> None:
        """A directory hides a name of the layers below, by a whiteout or by entries that replace each other."""
        self._database.execute(
            "INSERT INTO whiteout VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET replacing = min(replacing, excluded.replacing)",
            (parent, name, replacing),
        )
        self._database.execute("UPDATE node SET flags = flags | ? WHERE id = ?", (WHITEOUTS, parent))

    def update_directory(self, node: int, row: NodeRow) -> None:
        """A later entry for a directory: its attributes are the new ones, its content stays."""
        if row.flags & IMPLIED:
            return
        self._database.execute("DELETE FROM xattr WHERE node = ?", (node,))
        self._database.execute(
            "UPDATE node SET flags = flags & ~?, mode = ?, uid = ?, gid = ?, mtime_s = ?, mtime_ns = ?, xattrs = ?"
            " WHERE id = ?",
            (IMPLIED | GHOST, row.mode, row.uid, row.gid, row.mtime_s, row.mtime_ns, row.xattrs, node),
        )

    def _remove(self, parent: int, name: bytes, found: tuple[int, int]) -> None:
        """Take a name away; a directory goes with all that is in it."""
        self._replaced = True
        self._database.execute("DELETE FROM dirent WHERE parent = ? AND name = ?", (parent, name))
        if stat.S_ISDIR(found[1]):
            children = "SELECT d.node FROM dirent d JOIN below b ON d.parent = b.id"
            below = f"WITH RECURSIVE below(id) AS (VALUES (?) UNION {children})"
            implied = f"{below} SELECT EXISTS (SELECT 1 FROM implied WHERE parent IN (SELECT id FROM below))"
            if self._database.execute(implied, (found[0],)).fetchone()[0]:
                self.imply(GONE, b"")
            for table in ("whiteout", "implied", "dirent"):
                self._database.execute(
                    f"{below} DELETE FROM {table} WHERE parent IN (SELECT id FROM below)", (found[0],)
                )
        self.names_changed()

    def _drop_nameless(self) -> None:
        nameless = f"SELECT id FROM node WHERE id <> {ROOT} AND id NOT IN (SELECT node FROM dirent)"
        for table in ("xattr", "sparse", "outward"):
            self._database.execute(f"DELETE FROM {table} WHERE node IN ({nameless})")
        self._database.execute(f"DELETE FROM node WHERE id IN ({nameless})")
