"""What happens in a store, on record for whoever watches: `imagefs events`, the counterpart of docker's events.

An event is written in the transaction that makes it happen, so nobody sees one without the other. The latest
`KEPT` are kept.
"""

import sqlite3
import time
from collections.abc import Iterator
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


def latest(database: Database) -> int:
    """The number of the latest event, 0 where there was none."""
    (number,) = database.connection.execute("SELECT max(id) FROM event").fetchone()
    return number or 0


def after(database: Database, number: int) -> Iterator[Event]:
    """The events after a number that are on record, in the order in which they happened."""
    rows: sqlite3.Cursor = database.connection.execute(
        "SELECT id, time, action, name, digest, mountpoint FROM event WHERE id > ? ORDER BY id", (number,)
    )
    for row in rows:
        yield Event(*row)
