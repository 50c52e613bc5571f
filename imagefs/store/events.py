"""What happens in a store, on record for whoever watches: `imagefs events`, the counterpart of docker's events.

An event is written in the transaction that makes it happen, so nobody sees one without the other. The latest
`KEPT` are kept.
"""

import time
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from imagefs.digest import Digest
from imagefs.store.database import Database

KEPT = 10_000
"""How many events stay on record."""

Action = Literal["load", "tag", "untag", "delete", "mount", "unmount"]


class Event(msgspec.Struct, frozen=True):
    """One thing that happened.

    `number` grows with time, and `time` is in seconds since the epoch. `name` and `digest` are those of the image;
    `mountpoint` is that of a mount, which has no image of its own where all are mounted.
    """

    number: int
    time: float
    action: Action
    name: str | None = None
    digest: Digest | None = None
    mountpoint: str | None = None

    def described(self) -> dict[str, Any]:
        """The event as JSON values: what does not apply is left out."""
        moment = datetime.fromtimestamp(self.time, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        values = {"time": moment, "action": self.action, "name": self.name, "digest": self.digest}
        return {key: value for key, value in (values | {"mountpoint": self.mountpoint}).items() if value is not None}


def record(
    database: Database,
    action: Action,
    *,
    name: str | None = None,
    digest: Digest | None = None,
    mountpoint: str | None = None,
) -> None:
    """Put an event on record, inside a `transaction`. A dangling image has a digest and no name."""
    cursor = database.connection.execute(
        "INSERT INTO event (time, action, name, digest, mountpoint) VALUES (?, ?, ?, ?, ?)",
        (time.time(), action, name if name != digest else None, digest, mountpoint),
    )
    database.connection.execute("DELETE FROM event WHERE id <= ?", ((cursor.lastrowid or 0) - KEPT,))


def unmounted(database: Database, mountpoint: str) -> None:
    """Put on record that a mount ended, once: as many events as it began with. Inside a `transaction`."""
    last = database.connection.execute(
        "SELECT action FROM event WHERE mountpoint = ? ORDER BY id DESC LIMIT 1", (mountpoint,)
    ).fetchone()
    if last == ("unmount",):  # by another mount there, or one of several that were killed
        return
    began = database.connection.execute(
        "SELECT DISTINCT name, digest FROM event WHERE action = 'mount' AND mountpoint = ?1 AND id > coalesce("
        "(SELECT max(id) FROM event WHERE action = 'unmount' AND mountpoint = ?1), 0)",
        (mountpoint,),
    ).fetchall()
    # When it began may be off the record by now.
    for name, content in began or [(None, None)]:
        record(database, "unmount", name=name, digest=content, mountpoint=mountpoint)


def latest(database: Database) -> int:
    """The number of the latest event, 0 where there was none."""
    (number,) = database.connection.execute("SELECT max(id) FROM event").fetchone()
    return number or 0


def after(database: Database, number: int) -> list[Event]:
    """The events after a number that are on record, in the order in which they happened."""
    rows = database.connection.execute(
        "SELECT id, time, action, name, digest, mountpoint FROM event WHERE id > ? ORDER BY id", (number,)
    )
    return [Event(*row) for row in rows]
