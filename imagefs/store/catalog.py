"""The catalogue: which images and layers there are and who protects what, in one SQLite database.

Blobs and derived layers are files; the catalogue only refers to them, and every row that does is
written after the file is in place.
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import msgspec

from imagefs.digest import Digest
from imagefs.errors import StoreBusy, StoreError
from imagefs.layers.entry import LayerTotals
from imagefs.oci.model import Descriptor

FORMAT = 1
"""The version of the schema, kept in `user_version`."""

BUSY_TIMEOUT = 60.0
"""Seconds to wait for another process's transaction, a garbage collection's included."""

_SCHEMA = """
CREATE TABLE image (
    name TEXT PRIMARY KEY, digest TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL,
    bound_at REAL NOT NULL
);
CREATE TABLE slot (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL REFERENCES image ON DELETE CASCADE,
    platform TEXT NOT NULL, manifest TEXT NOT NULL, UNIQUE (name, platform, manifest)
);
CREATE TABLE layer (
    number INTEGER PRIMARY KEY AUTOINCREMENT, diff_id TEXT NOT NULL UNIQUE,
    size INTEGER, nodes INTEGER, blocks INTEGER, xattrs INTEGER
);
CREATE TABLE layer_blob (blob TEXT PRIMARY KEY, diff_id TEXT NOT NULL);
CREATE TABLE lease (id TEXT PRIMARY KEY, label TEXT NOT NULL, expires_at REAL);
CREATE TABLE lease_resource (
    lease TEXT NOT NULL REFERENCES lease ON DELETE CASCADE, kind TEXT NOT NULL, key TEXT NOT NULL,
    PRIMARY KEY (lease, kind, key)
) WITHOUT ROWID;
"""


class ImageRecord(msgspec.Struct, frozen=True):
    """A name and what it stands for; `moved_from` is the digest that an import took the name from."""

    name: str
    target: Descriptor
    bound_at: float = 0.0
    moved_from: Digest | None = None


class Slot(msgspec.Struct, frozen=True):
    """One binding of a name and a platform to a manifest: the number that inodes carry, never used again."""

    id: int
    name: str
    platform: str
    manifest: Digest


class Catalog:
    """The database `catalog.sqlite` of a store, for one thread at a time."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self.read_only = read_only
        mode = "ro&immutable=1" if read_only else "rwc"
        try:
            self._database = sqlite3.connect(
                f"file:{quote(str(path))}?mode={mode}",
                uri=True,
                timeout=BUSY_TIMEOUT,
                isolation_level=None,
                check_same_thread=False,
            )
            self._database.execute("PRAGMA foreign_keys = ON")
            if not read_only:
                self._database.execute("PRAGMA journal_mode = WAL")
                # A lease that a power cut loses is dead anyway; names are made durable by `transaction`.
                self._database.execute("PRAGMA synchronous = NORMAL")
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            if version == 0 and not read_only:
                self._create()
            elif version != FORMAT:
                raise StoreError(f"{path}: a store of format {version}; this imagefs knows format {FORMAT}")
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {error}") from None

    def _create(self) -> None:
        with self.transaction():
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            if version == 0:  # nobody else was faster
                for statement in _SCHEMA.split(";"):
                    self._database.execute(statement)
                self._database.execute(f"PRAGMA user_version = {FORMAT}")

    def close(self) -> None:
        """Let go of the file; the last one to do so leaves it without a journal."""
        self._database.close()

    @contextmanager
    def transaction(self, *, durable: bool = False, wait: float = BUSY_TIMEOUT) -> Iterator[None]:
        """All or nothing, and alone: other writers wait, and so does this one, for `wait` seconds at most.

        With `durable`, it is on the disk when the block ends. Raises `StoreBusy`.
        """
        self._database.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        self._database.execute(f"PRAGMA busy_timeout = {int(wait * 1000)}")
        try:
            self._database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise StoreBusy(f"the store's catalogue is in use: {error}") from None
        finally:
            self._database.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT * 1000)}")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def version(self) -> int:
        """A number that changes when another process has changed the catalogue."""
        (version,) = self._database.execute("PRAGMA data_version").fetchone()
        return int(version) + self._database.total_changes

    # -- images

    def images(self) -> list[ImageRecord]:
        """All names, sorted."""
        rows = self._database.execute("SELECT name, media_type, digest, size, bound_at FROM image ORDER BY name")
        return [ImageRecord(name, Descriptor(*target), bound_at) for name, *target, bound_at in rows]

    def bind(self, name: str, target: Descriptor, manifests: Iterable[tuple[str, Digest]]) -> Digest | None:
        """Give a name to an image, inside a `transaction`; answers the digest that had the name before.

        `manifests` are the (platform, digest) of its manifests that are present: each gets a slot, and
        keeps the one it has.
        """
        previous = self._database.execute("SELECT digest FROM image WHERE name = ?", (name,)).fetchone()
        wanted = set(manifests)
        values = (name, target.digest, target.media_type, target.size, time.time())
        if previous is None:
            self._database.execute("INSERT INTO image VALUES (?, ?, ?, ?, ?)", values)
        elif previous[0] != target.digest:
            self._database.execute(
                "UPDATE image SET digest = ?, media_type = ?, size = ?, bound_at = ? WHERE name = ?",
                (*values[1:], name),
            )
        for slot in self.slots(name):
            if (slot.platform, slot.manifest) not in wanted:
                self._database.execute("DELETE FROM slot WHERE id = ?", (slot.id,))
            wanted.discard((slot.platform, slot.manifest))
        self._database.executemany(
            "INSERT INTO slot (name, platform, manifest) VALUES (?, ?, ?)",
            [(name, platform, manifest) for platform, manifest in sorted(wanted)],
        )
        return previous[0] if previous is not None and previous[0] != target.digest else None

    def unbind(self, name: str) -> None:
        """Take a name away."""
        self._database.execute("DELETE FROM image WHERE name = ?", (name,))

    def slots(self, name: str) -> list[Slot]:
        """The slots of a name, in the order in which they were given."""
        rows = self._database.execute(
            "SELECT id, name, platform, manifest FROM slot WHERE name = ? ORDER BY id", (name,)
        )
        return [Slot(*row) for row in rows]

    def all_slots(self) -> dict[str, list[Slot]]:
        """The slots of every name that has any, in the order in which they were given."""
        found: dict[str, list[Slot]] = {}
        for row in self._database.execute("SELECT id, name, platform, manifest FROM slot ORDER BY id"):
            found.setdefault(row[1], []).append(Slot(*row))
        return found

    def slot(self, number: int) -> Slot | None:
        """The slot with this number, None for one whose name is gone or moved on."""
        row = self._database.execute("SELECT id, name, platform, manifest FROM slot WHERE id = ?", (number,)).fetchone()
        return None if row is None else Slot(*row)

    # -- layers

    def layer_number(self, diff_id: Digest) -> int | None:
        """The layer's number in this store, None for a layer it never saw."""
        row = self._database.execute("SELECT number FROM layer WHERE diff_id = ?", (diff_id,)).fetchone()
        return None if row is None else row[0]

    def add_layer(self, diff_id: Digest) -> None:
        """Give a layer its number."""
        self._database.execute("INSERT OR IGNORE INTO layer (diff_id) VALUES (?)", (diff_id,))

    def layer_totals(self, diff_id: Digest) -> LayerTotals | None:
        """What the layer amounts to, None where it was never unpacked."""
        row = self._database.execute(
            "SELECT size, nodes, blocks, xattrs FROM layer WHERE diff_id = ? AND size IS NOT NULL", (diff_id,)
        ).fetchone()
        return None if row is None else LayerTotals(row[0], row[1], row[2], bool(row[3]))

    def all_layer_totals(self) -> dict[Digest, LayerTotals]:
        """What each layer amounts to that was ever unpacked."""
        rows = self._database.execute("SELECT diff_id, size, nodes, blocks, xattrs FROM layer WHERE size IS NOT NULL")
        return {
            diff_id: LayerTotals(size, nodes, blocks, bool(xattrs)) for diff_id, size, nodes, blocks, xattrs in rows
        }

    def set_unpacked(self, blob: Digest, diff_id: Digest, totals: LayerTotals) -> None:
        """On record: unpacking this blob gave this layer."""
        with self.transaction():
            self.add_layer(diff_id)
            self._database.execute(
                "UPDATE layer SET size = ?, nodes = ?, blocks = ?, xattrs = ? WHERE diff_id = ?",
                (totals.size, totals.nodes, totals.blocks, totals.xattrs, diff_id),
            )
            self._database.execute("INSERT OR REPLACE INTO layer_blob VALUES (?, ?)", (blob, diff_id))

    def diff_id_of(self, blob: Digest) -> Digest | None:
        """The layer that a blob was once unpacked to."""
        row = self._database.execute("SELECT diff_id FROM layer_blob WHERE blob = ?", (blob,)).fetchone()
        return None if row is None else Digest(row[0])

    # -- leases

    def add_lease(self, lease: str, label: str, expires_at: float | None) -> None:
        """A lease; `expires_at` in seconds since the epoch, None for one that is held only."""
        self._database.execute("INSERT INTO lease VALUES (?, ?, ?)", (lease, label, expires_at))

    def drop_lease(self, lease: str) -> None:
        """End a lease."""
        self._database.execute("DELETE FROM lease WHERE id = ?", (lease,))

    def leases(self) -> list[tuple[str, str, float | None]]:
        """(id, label, expires_at) of every lease on record."""
        return self._database.execute("SELECT id, label, expires_at FROM lease ORDER BY id").fetchall()

    def protect(self, lease: str, kind: str, key: str) -> None:
        """Put something under a lease: kind is as in `store.gc.Node`."""
        self.protect_all(lease, [(kind, key)])

    def protect_all(self, lease: str, resources: Iterable[tuple[str, str]]) -> None:
        """Put many things under a lease: (kind, key) of each."""
        self._database.executemany(
            "INSERT OR IGNORE INTO lease_resource VALUES (?, ?, ?)", [(lease, *each) for each in resources]
        )

    def unprotect(self, lease: str, kind: str, key: str) -> None:
        """Take something from under a lease."""
        self._database.execute(
            "DELETE FROM lease_resource WHERE lease = ? AND kind = ? AND key = ?", (lease, kind, key)
        )

    def protected(self, lease: str) -> list[tuple[str, str]]:
        """(kind, key) of all that a lease protects."""
        query = "SELECT kind, key FROM lease_resource WHERE lease = ? ORDER BY kind, key"
        return self._database.execute(query, (lease,)).fetchall()
