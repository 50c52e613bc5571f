"""Writing a damaged catalogue anew: what is whole stays, what one flipped bit spoilt is as it was.

All of it is one transaction: other processes see the catalogue before or after it.
"""

import json
import sqlite3

from imagefs import digest
from imagefs.errors import InvalidReference, StoreError
from imagefs.oci.model import Descriptor
from imagefs.store import rowsums
from imagefs.store.blobs import QUARANTINE
from imagefs.store.catalog import ImageRecord
from imagefs.store.rederiving import put_on_record
from imagefs.store.rowsums import COLUMNS, DamagedRow, Value
from imagefs.store.store import Store

_AS_IT_READS = frozenset(["lease", "lease_resource"])
"""What is not certain in these protects too much rather than too little."""

_NOT_DERIVED = frozenset(["image", "label"])

_ROWS = "rows.jsonl"
"""The file in the quarantine with the rows that could not be kept."""


def rewrite(store: Store) -> list[str]:
    """Write all tables anew; answers what became of the damaged rows. Raises `StoreError`."""
    catalog = store.catalog
    connection = catalog.connection
    connection.execute("PRAGMA foreign_keys = OFF")
    try:
        with catalog.transaction(durable=True):
            tables: dict[str, list[tuple[Value, ...]]] = {}
            done: list[str] = []
            spoilt: list[DamagedRow] = []
            for table in COLUMNS:
                tables[table] = _read(connection, table, done, spoilt)
            catalog.rebuild(tables)
            for row in spoilt:
                done.append(_give_up(store, row))
            put_on_record(store)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise StoreError(f"catalog.sqlite: cannot be repaired: {error}") from None
    finally:
        connection.execute("PRAGMA foreign_keys = ON")
    return done


def _read(
    connection: sqlite3.Connection, table: str, done: list[str], spoilt: list[DamagedRow]
) -> list[tuple[Value, ...]]:
    """The rows of a table that are to be kept."""
    kept = []
    try:
        for values, stated in rowsums.rows(connection, table):
            row: tuple[Value, ...] | None = values
            if rowsums.checksum(values) != stated:
                damaged = DamagedRow(table, values, rowsums.mended(values, stated))
                row = damaged.mended
                if row is not None:
                    done.append(f"catalog.sqlite: a row is as it was: {DamagedRow(table, row, None)}")
                elif table in _AS_IT_READS:
                    row = values
                else:
                    spoilt.append(damaged)
            if row is not None:
                kept.append(_as_text(row))
    except sqlite3.Error as error:
        done.append(f"catalog.sqlite: not all of table {table} can be read: {error}")
    return kept


def _as_text(row: tuple[Value, ...]) -> tuple[Value, ...]:
    return tuple(each.decode(errors="replace") if isinstance(each, bytes) else each for each in row)


def _give_up(store: Store, row: DamagedRow) -> str:
    """A row that cannot be kept: what is derived is made again, an image stays without a name if it can be told."""
    if row.table not in _NOT_DERIVED:
        return f"catalog.sqlite: a damaged row was dropped: {row}"
    folder = store.folder / QUARANTINE
    folder.mkdir(exist_ok=True)
    with (folder / _ROWS).open("a", encoding="ascii") as file:
        file.write(json.dumps(str(row)) + "\n")
    record = _dangling(store, row) if row.table == "image" else None
    if record is None:
        return f"catalog.sqlite: a damaged row was moved to {QUARANTINE}/{_ROWS}: {row}"
    if not store.catalog.names_of(record.target.digest):
        store.catalog.bind(record, [])
    return f"{record.name}: kept, but whether its name was {_as_text(row.values)[0]!r} is not certain"


def _dangling(store: Store, row: DamagedRow) -> ImageRecord | None:
    """The image that a damaged row is about, without its name; None where its content is not there either."""
    _, content, media_type, size, bound_at, _, _ = _as_text(row.values)
    try:
        target = Descriptor(str(media_type), digest.parse(str(content)), int(size or 0))
        if not store.blobs.holds(target.digest, target.size):
            return None
        # What it was kept for is not certain either, and must not cost any of it.
        return ImageRecord(target.digest, target, float(bound_at or 0), complete=False)
    except (InvalidReference, ValueError):
        return None
