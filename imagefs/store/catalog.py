"""The catalogue: which images and layers there are and who protects what, in one SQLite database.

Blobs and derived layers are files; the catalogue only refers to them, and every row that does is
written after the file is in place.
"""

from collections.abc import Iterable, Mapping

import msgspec

from imagefs.digest import Digest
from imagefs.errors import StoreError
from imagefs.layers.entry import LayerTotals
from imagefs.oci.model import Descriptor
from imagefs.store.database import Database


class ImageRecord(msgspec.Struct, frozen=True):
    """A name and what it stands for.

    The name of an image that has none, a dangling one, is its digest. `complete` tells whether the store has all
    that is needed of it, `platforms` which platforms of an index are kept, None for all, and `moved_from` is the
    digest that an import took the name from. `bound_at` is in seconds since the epoch.
    """

    name: str
    target: Descriptor
    bound_at: float = 0.0
    complete: bool = True
    platforms: tuple[str, ...] | None = None
    moved_from: Digest | None = None

    @property
    def dangling(self) -> bool:
        """Whether it has no name."""
        return self.name == self.target.digest


class Slot(msgspec.Struct, frozen=True):
    """One binding of a name and a platform to a manifest: the number that inodes carry, never used again."""

    id: int
    name: str
    platform: str
    manifest: Digest


_LEFT = "left "
"""Before the kind of what was left to a lease to take away."""

_COLUMNS = "name, media_type, digest, size, bound_at, complete, platforms"


def _record(
    name: str, media_type: str, content: Digest, size: int, bound_at: float, complete: int, platforms: str | None
) -> ImageRecord:
    try:
        target = Descriptor(media_type, content, size)
    except ValueError as error:
        raise StoreError(f"catalog.sqlite: a damaged row: image {name!r}: {error}") from None
    kept = None if platforms is None else tuple(platforms.split(","))
    return ImageRecord(name, target, bound_at, bool(complete), kept)


class Catalog(Database):
    """The database `catalog.sqlite` of a store, for one thread at a time."""

    # -- images

    def images(self) -> list[ImageRecord]:
        """All images, sorted by name."""
        rows = self.connection.execute(f"SELECT {_COLUMNS} FROM image ORDER BY name")
        return [_record(*row) for row in rows]

    def image(self, name: str) -> ImageRecord | None:
        """The image with exactly this name."""
        row = self.connection.execute(f"SELECT {_COLUMNS} FROM image WHERE name = ?", (name,)).fetchone()
        return None if row is None else _record(*row)

    def names_of(self, content: Digest) -> list[str]:
        """The names of an image, sorted; of a dangling one its digest."""
        rows = self.connection.execute("SELECT name FROM image WHERE digest = ? ORDER BY name", (content,))
        return [name for (name,) in rows]

    def bind(self, record: ImageRecord, manifests: Iterable[tuple[str, Digest]]) -> None:
        """Put an image on record, inside a `transaction`. Labels that the name has stay.

        `manifests` are the (platform, digest) of its manifests that are present: each gets a slot, and
        keeps the one it has.
        """
        platforms = None if record.platforms is None else ",".join(record.platforms)
        target = record.target
        values = (target.digest, target.media_type, target.size, record.bound_at, record.complete, platforms)
        self.connection.execute(
            "INSERT INTO image (name, digest, media_type, size, bound_at, complete, platforms)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (name) DO UPDATE SET"
            " digest = ?2, media_type = ?3, size = ?4, bound_at = ?5, complete = ?6, platforms = ?7",
            (record.name, *values),
        )
        wanted = set(manifests)
        for slot in self.slots(record.name):
            if (slot.platform, slot.manifest) not in wanted:
                self.connection.execute("DELETE FROM slot WHERE id = ?", (slot.id,))
            wanted.discard((slot.platform, slot.manifest))
        self.connection.executemany(
            "INSERT INTO slot (name, platform, manifest) VALUES (?, ?, ?)",
            [(record.name, platform, manifest) for platform, manifest in sorted(wanted)],
        )

    def unbind(self, name: str) -> None:
        """Take a name away."""
        self.connection.execute("DELETE FROM image WHERE name = ?", (name,))

    def slots(self, name: str) -> list[Slot]:
        """The slots of a name, in the order in which they were given."""
        rows = self.connection.execute(
            "SELECT id, name, platform, manifest FROM slot WHERE name = ? ORDER BY id", (name,)
        )
        return [Slot(*row) for row in rows]

    def all_slots(self) -> dict[str, list[Slot]]:
        """The slots of every name that has any, in the order in which they were given."""
        found: dict[str, list[Slot]] = {}
        for row in self.connection.execute("SELECT id, name, platform, manifest FROM slot ORDER BY id"):
            found.setdefault(row[1], []).append(Slot(*row))
        return found

    def slot(self, number: int) -> Slot | None:
        """The slot with this number, None for one whose name is gone or moved on."""
        query = "SELECT id, name, platform, manifest FROM slot WHERE id = ?"
        row = self.connection.execute(query, (number,)).fetchone()
        return None if row is None else Slot(*row)

    # -- labels

    def labels(self, name: str) -> dict[str, str]:
        """The labels of an image, sorted by key."""
        rows = self.connection.execute("SELECT key, value FROM label WHERE name = ? ORDER BY key", (name,))
        return dict(rows.fetchall())

    def set_labels(self, name: str, labels: Mapping[str, str]) -> None:
        """Give an image these labels, and no others."""
        self.connection.execute("DELETE FROM label WHERE name = ?", (name,))
        self.connection.executemany(
            "INSERT INTO label (name, key, value) VALUES (?, ?, ?)",
            [(name, key, value) for key, value in labels.items()],
        )

    # -- layers

    def layer_number(self, diff_id: Digest) -> int | None:
        """The layer's number in this store, None for a layer it never saw."""
        row = self.connection.execute("SELECT number FROM layer WHERE diff_id = ?", (diff_id,)).fetchone()
        return None if row is None else row[0]

    def add_layer(self, diff_id: Digest) -> None:
        """Give a layer its number."""
        with self.writing():
            self.connection.execute("INSERT OR IGNORE INTO layer (diff_id) VALUES (?)", (diff_id,))

    def layer_totals(self, diff_id: Digest) -> LayerTotals | None:
        """What the layer amounts to, None where it was never unpacked."""
        row = self.connection.execute(
            "SELECT size, nodes, blocks, xattrs FROM layer WHERE diff_id = ? AND size IS NOT NULL", (diff_id,)
        ).fetchone()
        return None if row is None else LayerTotals(row[0], row[1], row[2], bool(row[3]))

    def all_layer_totals(self) -> dict[Digest, LayerTotals]:
        """What each layer amounts to that was ever unpacked."""
        rows = self.connection.execute("SELECT diff_id, size, nodes, blocks, xattrs FROM layer WHERE size IS NOT NULL")
        return {
            diff_id: LayerTotals(size, nodes, blocks, bool(xattrs)) for diff_id, size, nodes, blocks, xattrs in rows
        }

    def set_unpacked(self, blob: Digest, diff_id: Digest, totals: LayerTotals, index: Digest | None = None) -> None:
        """On record: unpacking this blob gave this layer.

        `index` is the digest of the layer's index where that was made by it, None where it was there before.
        """
        with self.transaction():
            self.set_layer(diff_id, totals, index)
            self.set_layer_blob(blob, diff_id)

    def set_layer_blob(self, blob: Digest, diff_id: Digest) -> None:
        """On record: this blob holds this layer."""
        self.connection.execute("INSERT OR REPLACE INTO layer_blob (blob, diff_id) VALUES (?, ?)", (blob, diff_id))

    def set_layer(self, diff_id: Digest, totals: LayerTotals, index: Digest | None) -> None:
        """On record: what a layer amounts to, and the digest of its index, None where that stays as it was."""
        self.add_layer(diff_id)
        self.connection.execute(
            "UPDATE layer SET size = ?, nodes = ?, blocks = ?, xattrs = ?, index_digest = ifnull(?, index_digest)"
            " WHERE diff_id = ?",
            (totals.size, totals.nodes, totals.blocks, totals.xattrs, index, diff_id),
        )

    def index_digest(self, diff_id: Digest) -> Digest | None:
        """The digest that the layer's index had when it was made."""
        row = self.connection.execute("SELECT index_digest FROM layer WHERE diff_id = ?", (diff_id,)).fetchone()
        return None if row is None else row[0]

    def diff_id_of(self, blob: Digest) -> Digest | None:
        """The layer that a blob was once unpacked to."""
        row = self.connection.execute("SELECT diff_id FROM layer_blob WHERE blob = ?", (blob,)).fetchone()
        return None if row is None else Digest(row[0])

    def blobs_of(self, diff_id: Digest) -> list[Digest]:
        """The blobs that were unpacked to a layer, whether or not they are still there."""
        rows = self.connection.execute("SELECT blob FROM layer_blob WHERE diff_id = ? ORDER BY blob", (diff_id,))
        return [Digest(blob) for (blob,) in rows]

    # -- leases

    def add_lease(self, lease: str, label: str, expires_at: float | None) -> None:
        """A lease; `expires_at` in seconds since the epoch, None for one that is held only."""
        with self.writing():
            self.connection.execute(
                "INSERT INTO lease (id, label, expires_at) VALUES (?, ?, ?)", (lease, label, expires_at)
            )

    def drop_lease(self, lease: str) -> None:
        """End a lease."""
        with self.writing():
            self.connection.execute("DELETE FROM lease WHERE id = ?", (lease,))

    def leases(self) -> list[tuple[str, str, float | None]]:
        """(id, label, expires_at) of every lease on record."""
        return self.connection.execute("SELECT id, label, expires_at FROM lease ORDER BY id").fetchall()

    def protect(self, lease: str, kind: str, key: str) -> None:
        """Put something under a lease: kind is as in `store.gc.Node`."""
        self.protect_all(lease, [(kind, key)])

    def protect_all(self, lease: str, resources: Iterable[tuple[str, str]]) -> None:
        """Put many things under a lease: (kind, key) of each."""
        with self.writing():
            self.connection.executemany(
                "INSERT OR IGNORE INTO lease_resource (lease, kind, key) VALUES (?, ?, ?)",
                [(lease, *each) for each in resources],
            )

    def unprotect(self, lease: str, kind: str, key: str) -> None:
        """Take something from under a lease."""
        with self.writing():
            self.connection.execute(
                "DELETE FROM lease_resource WHERE lease = ? AND kind = ? AND key = ?", (lease, kind, key)
            )

    def protected(self, lease: str) -> list[tuple[str, str]]:
        """(kind, key) of all that a lease protects."""
        return [(kind, key) for kind, key in self._resources(lease) if not kind.startswith(_LEFT)]

    def leave(self, lease: str, resources: Iterable[tuple[str, str]]) -> None:
        """Leave it to a lease to take away, in the end, what others brought and it protects: (kind, key) of each."""
        self.protect_all(lease, [(f"{_LEFT}{kind}", key) for kind, key in resources])

    def left(self, lease: str) -> list[tuple[str, str]]:
        """(kind, key) of what was left to a lease."""
        found = self._resources(lease)
        return [(kind.removeprefix(_LEFT), key) for kind, key in found if kind.startswith(_LEFT)]

    def _resources(self, lease: str) -> list[tuple[str, str]]:
        query = "SELECT kind, key FROM lease_resource WHERE lease = ? ORDER BY kind, key"
        return self.connection.execute(query, (lease,)).fetchall()
