"""Writing a layer index while the layer streams by.

Memory does not grow with the layer: rows go to the database in batches, and of the tree only the
directories used last are remembered. A batch goes in with plain inserts; when one of its names turns
out to be there already, which is rare, the batch is done again row by row with the rules for
replacing.
"""

import sqlite3
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from imagefs.errors import LayerError
from imagefs.layers.entry import GHOST, IMPLIED, OPAQUE, ROOT, WHITEOUTS, LayerTotals
from imagefs.layers.index import FORMAT, SCHEMA
from imagefs.streams.tarfields import printable

_BATCH = 1000
_DIRECTORIES = 1 << 15
_LINKS_FOLLOWED = 40

Lower = Callable[[bytes], bytes | None]
"""The target of the symbolic link that the layers below have at a path of this layer, None for anything else."""


class NodeRow(NamedTuple):
    """The columns of a node but its number and, of a directory, its place; see `layers.entry.Entry`."""

    flags: int
    mode: int
    uid: int
    gid: int
    size: int
    mtime_s: int
    mtime_ns: int
    rdev: int = 0
    offset: int = 0
    nlink: int = 1
    blocks: int = 0
    target: bytes | None = None
    link_path: bytes | None = None
    xattrs: int = 0
    sparse: int = 0


_DEFAULT_DIRECTORY = NodeRow(IMPLIED, stat.S_IFDIR | 0o755, 0, 0, 0, 0, 0)
"""What a directory is that no layer has an entry for."""

_INSERT_NODE = f"INSERT INTO node VALUES ({','.join('?' * 18)})"


class IndexBuilder:
    """The index of one layer in the making. Use from one thread, then `finish` or `abandon`.

    With `lower`, a path that the layer has no word on is looked for in the layers below: an entry goes where their
    symbolic links lead, as extracting it over them would put it. Without, the index is the layer's alone.
    """

    def __init__(self, path: Path, lower: Lower = lambda _: None) -> None:
        self._lower = lower
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # The file is worth nothing until it is renamed into place, after an fsync: no journal.
        self._database.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA locking_mode=EXCLUSIVE;"
            f"PRAGMA user_version={FORMAT};{SCHEMA}BEGIN;"
        )
        self._next = ROOT + 1
        self._directories: dict[bytes, int] = {b"": ROOT}
        self._nodes: list[tuple[int | bytes | None, ...]] = []  # not written yet
        self._dirents: dict[tuple[int, bytes], tuple[int, int]] = {}  # not written yet: node, mode
        self._directory_names: set[tuple[int, bytes]] = set()  # where the remembered directories are
        self._links_passed: set[tuple[int, bytes]] = set()  # and where symbolic links led to them
        self._implied: list[tuple[int, bytes]] = []  # not written yet
        self._ghosts: set[int] = set()
        self._replaced = False
        self._linked = False
        self._has_xattrs = False
        self._database.execute(_INSERT_NODE, (ROOT, None, None, *_DEFAULT_DIRECTORY))

    # -- what the scanner says

    def directory(self, path: bytes, *, ghost: bool = False) -> int:
        """The node of the directory at a clean relative path, implied where it has no entry yet.

        `ghost` asks for it on behalf of a whiteout, which alone brings no directory into being.
        Symbolic links on the way are followed inside the layer, as extracting would. Raises
        `LayerError` where something else is in the way.
        """
        known = self._directories.get(path)
        if known is not None:
            if not ghost:
                self._unghost(known)
            return known
        node, _ = self._descend(path, lambda parent, name: self._add_implied(parent, name, ghost=ghost))
        assert node is not None, "what is missing is made"
        if not ghost:
            self._unghost(node)
        self._remember(path, node)
        return node

    def find(self, path: bytes) -> tuple[tuple[int, int] | None, bytes]:
        """What the layer holds at a path, without following a last symbolic link: its (node, mode), if anything.

        Answers the path too, as the links on its way make it. Raises `LayerError` where they lead in circles.
        """
        directory, _, name = path.rpartition(b"/")
        node, trail = self._descend(directory, None)
        return None if node is None else self._find(node, name), b"/".join([*trail, name])

    def _descend(self, path: bytes, make: Callable[[int, bytes], int] | None) -> tuple[int | None, list[bytes]]:
        """Walk to a directory over the layer's symbolic links and, where it has no word, those below it.

        Answers its node and the names that lead there. `make` puts a directory where there is none; without it the
        walk goes on by names alone, and there is no node in the end. Raises `LayerError`.
        """
        names = path.split(b"/")[::-1]
        trail: list[bytes] = []
        nodes: list[int | None] = [ROOT]  # the root's, and one for each name of the trail
        followed = 0
        while names:
            name = names.pop()
            if name in (b"", b"."):
                continue
            if name == b"..":
                if trail:
                    trail.pop()
                    nodes.pop()
                continue
            node = nodes[-1]
            found = None if node is None else self._find(node, name)
            target = None
            if found is not None and stat.S_ISLNK(found[1]):
                target = self._symlink_target(found[0])
            elif found is None:
                target = self._lower(b"/".join([*trail, name]))
                if node is not None:
                    self._imply(node, name)
            if target is not None:
                followed += 1
                if followed > _LINKS_FOLLOWED:
                    raise LayerError("too many symbolic links on the way to it")
                if node is not None:
                    self._links_passed.add((node, name))
                names += target.split(b"/")[::-1]
                if target.startswith(b"/"):
                    trail, nodes = [], [ROOT]
                continue
            trail.append(name)
            if found is None or node is None:
                nodes.append(None if node is None or make is None else make(node, name))
            elif stat.S_ISDIR(found[1]):
                self._directory_names.add((node, name))
                nodes.append(found[0])
            elif make is None:
                nodes.append(None)
            else:
                raise LayerError(f"{printable(b'/'.join(trail))} is in its way and is no directory")
        return nodes[-1], trail

    def add(self, parent: int, name: bytes, row: NodeRow) -> int:
        """Put a node under a name; whatever had the name is replaced, two directories become one.

        Answers the node's number.
        """
        is_directory = stat.S_ISDIR(row.mode)
        key = (parent, name)
        if key in self._links_passed:
            self._forget_directories()  # the link leads there no more
        if key in self._dirents:
            self._flush()
        number = self._next
        self._next += 1
        self._nodes.append((number, *((parent, name) if is_directory else (None, None)), *row))
        self._dirents[key] = (number, row.mode)
        if len(self._nodes) >= _BATCH or key in self._directory_names or (is_directory and self._is_written(key)):
            self._flush()
        if not is_directory:
            return number
        found = self._find(parent, name)
        assert found is not None, "it was just put there"
        if not row.flags & GHOST:
            self._ghosts.discard(found[0])
        return found[0]

    def update_root(self, row: NodeRow) -> None:
        """The layer has an entry for its root."""
        self._update_directory(ROOT, row)

    def add_link(self, parent: int, name: bytes, node: int, mode: int) -> None:
        """Give a node of this layer one more name."""
        self._flush()
        found = self._find(parent, name)
        if found is not None:
            if found[0] == node:
                return
            self._remove(parent, name, found)
        self._database.execute("INSERT INTO dirent VALUES (?, ?, ?)", (parent, name, node))
        self._linked = True

    def mark_outward(self, node: int) -> None:
        """The node is a hard link to a path of a lower layer."""
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

    def whiteout(self, parent: int, name: bytes) -> None:
        """The directory removes a name of the layers below."""
        self._flush()
        self._hide(parent, name)

    def opaque(self, directory: int) -> None:
        """The directory hides all that the layers below have in it."""
        self._flush()
        self._database.execute("UPDATE node SET flags = flags | ? WHERE id = ?", (OPAQUE, directory))

    def finish(self, size: int) -> LayerTotals:
        """Write what is left and close the file; `size` is the layer's in bytes."""
        self._flush()
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
        database.execute("COMMIT")
        database.close()
        return totals

    def abandon(self) -> None:
        """Close the file as it is."""
        self._database.close()

    # -- the tree so far

    def _find(self, parent: int, name: bytes) -> tuple[int, int] | None:
        pending = self._dirents.get((parent, name))
        if pending is not None:
            return pending
        query = "SELECT n.id, n.mode FROM dirent d JOIN node n ON n.id = d.node WHERE d.parent = ? AND d.name = ?"
        found: tuple[int, int] | None = self._database.execute(query, (parent, name)).fetchone()
        return found

    def _symlink_target(self, node: int) -> bytes:
        self._flush()
        (target,) = self._database.execute("SELECT target FROM node WHERE id = ?", (node,)).fetchone()
        return bytes(target)

    def _remember(self, path: bytes, node: int) -> None:
        self._directories[path] = node
        if len(self._directories) > _DIRECTORIES:
            self._forget_directories()

    def _forget_directories(self) -> None:
        self._directories = {b"": ROOT}
        self._directory_names.clear()
        self._links_passed.clear()

    def _add_implied(self, parent: int, name: bytes, *, ghost: bool) -> int:
        if not ghost:
            self._unghost(parent)
        row = _DEFAULT_DIRECTORY._replace(flags=IMPLIED | GHOST) if ghost else _DEFAULT_DIRECTORY
        node = self.add(parent, name, row)
        self._directory_names.add((parent, name))
        if ghost:
            self._ghosts.add(node)
        return node

    def _imply(self, parent: int, name: bytes) -> None:
        self._implied.append((parent, name))
        if len(self._implied) >= _BATCH:
            self._flush()

    def _unghost(self, node: int) -> None:
        """Something real is put into a directory: it and its parents exist after all."""
        while node in self._ghosts:
            self._flush()
            self._ghosts.remove(node)
            self._database.execute("UPDATE node SET flags = flags & ~? WHERE id = ?", (GHOST, node))
            (node,) = self._database.execute("SELECT parent FROM node WHERE id = ?", (node,)).fetchone()

    # -- writing

    def _is_written(self, key: tuple[int, bytes]) -> bool:
        return self._database.execute("SELECT 1 FROM dirent WHERE parent = ? AND name = ?", key).fetchone() is not None

    def _flush(self) -> None:
        self._database.executemany("INSERT OR IGNORE INTO implied VALUES (?, ?)", self._implied)
        self._implied = []
        if not self._nodes:
            return
        nodes, dirents = self._nodes, self._dirents
        self._nodes, self._dirents = [], {}
        database = self._database
        before = database.total_changes
        rows = [(parent, name, node) for (parent, name), (node, _) in dirents.items()]
        database.executemany("INSERT OR IGNORE INTO dirent VALUES (?, ?, ?)", rows)
        if database.total_changes - before == len(rows):
            database.executemany(_INSERT_NODE, nodes)
            return
        # Some names were there before. Names are unique within a batch, so the order does not matter.
        for (parent, name, number), node in zip(rows, nodes, strict=True):
            found = self._find(parent, name)
            row = NodeRow(*node[3:])  # type: ignore[arg-type]
            if found is None:  # the new node's own name
                database.execute(_INSERT_NODE, node)
            elif stat.S_ISDIR(found[1]) and stat.S_ISDIR(row.mode):
                self._update_directory(found[0], row)
            else:
                self._remove(parent, name, found)
                database.execute("INSERT INTO dirent VALUES (?, ?, ?)", (parent, name, number))
                database.execute(_INSERT_NODE, node)
                if stat.S_ISDIR(row.mode):
                    # Whatever directory the layers below have here, the file before this one replaced it.
                    self._hide(parent, name)

    def _hide(self, parent: int, name: bytes) -> None:
        self._database.execute("INSERT OR IGNORE INTO whiteout VALUES (?, ?)", (parent, name))
        self._database.execute("UPDATE node SET flags = flags | ? WHERE id = ?", (WHITEOUTS, parent))

    def _update_directory(self, node: int, row: NodeRow) -> None:
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
            for table in ("whiteout", "implied", "dirent"):
                self._database.execute(
                    f"{below} DELETE FROM {table} WHERE parent IN (SELECT id FROM below)", (found[0],)
                )
        self._forget_directories()

    def _drop_nameless(self) -> None:
        nameless = f"SELECT id FROM node WHERE id <> {ROOT} AND id NOT IN (SELECT node FROM dirent)"
        for table in ("xattr", "sparse", "outward"):
            self._database.execute(f"DELETE FROM {table} WHERE node IN ({nameless})")
        self._database.execute(f"DELETE FROM node WHERE id IN ({nameless})")
