"""A checksum in each row of the catalogue, so that a bit which a disk flips in one is found.

Triggers keep it, whoever writes: no statement that changes a row can forget it. It is a CRC-32 over the other columns.
One flipped bit can be found again by it: of all rows that differ in one bit, one has this checksum.
"""

import json
import sqlite3
import struct
import zlib
from collections.abc import Iterator, Sequence

import msgspec

Value = int | float | bytes | str | None

COLUMNS: dict[str, tuple[str, ...]] = {
    "image": ("name", "digest", "media_type", "size", "bound_at", "complete", "platforms"),
    "label": ("name", "key", "value"),
    "slot": ("id", "name", "platform", "manifest"),
    "layer": ("number", "diff_id", "size", "nodes", "blocks", "xattrs", "index_digest"),
    "layer_blob": ("blob", "diff_id"),
    "lease": ("id", "label", "expires_at"),
    "lease_resource": ("lease", "kind", "key"),
    "event": ("id", "time", "action", "name", "digest", "mountpoint"),
}
"""The tables, those first that others refer to, and the columns of each that its checksum is over."""

_KEYS = {
    "image": ("name",), "label": ("name", "key"), "slot": ("id",), "layer": ("number",), "layer_blob": ("blob",),
    "lease": ("id",), "lease_resource": ("lease", "kind", "key"), "event": ("id",),
}  # fmt: skip

_DOUBLE = struct.Struct(">d")


class DamagedRow(msgspec.Struct, frozen=True):
    """A row whose checksum is another one: its table, its values as they read, and as they were if that is known."""

    table: str
    values: tuple[Value, ...]
    mended: tuple[Value, ...] | None

    def __str__(self) -> str:
        shown = [each.decode(errors="replace") if isinstance(each, bytes) else each for each in self.values]
        return f"{self.table} {json.dumps(shown, ensure_ascii=True)}"


def triggers() -> Iterator[str]:
    """The statements that make the triggers."""
    for table, columns in COLUMNS.items():
        sealed = ", ".join(f"NEW.{column}" for column in columns)
        row = " AND ".join(f"{key} = NEW.{key}" for key in _KEYS[table])
        seal = f"BEGIN UPDATE {table} SET checksum = row_checksum({sealed}) WHERE {row}; END"
        yield f"CREATE TRIGGER {table}_inserted AFTER INSERT ON {table} {seal}"
        yield f"CREATE TRIGGER {table}_updated AFTER UPDATE OF {', '.join(columns)} ON {table} {seal}"


def define(connection: sqlite3.Connection) -> None:
    """Let a connection compute what the triggers ask for."""
    connection.create_function("row_checksum", -1, _checksum_of, deterministic=True)


def _checksum_of(*values: Value) -> int:
    return checksum(values)


def checksum(values: Sequence[Value]) -> int:
    """The checksum of a row. Text counts by its bytes."""
    return zlib.crc32(b"".join(map(_encoded, values)))


def _encoded(value: Value) -> bytes:
    if value is None:
        return b"n"
    if isinstance(value, float):
        return b"f" + _DOUBLE.pack(value)
    if isinstance(value, int):
        return b"i%d;" % value
    data = value.encode() if isinstance(value, str) else value
    return b"t%d;" % len(data) + data


def rows(connection: sqlite3.Connection, table: str) -> Iterator[tuple[tuple[Value, ...], Value]]:
    """(values, checksum) of each row of a table, text as bytes. Raises `sqlite3.Error` where it cannot be read."""
    before = connection.text_factory
    connection.text_factory = bytes
    try:
        # In the order of the table itself: an index may be what is damaged.
        for row in connection.execute(f"SELECT {', '.join(COLUMNS[table])}, checksum FROM {table} NOT INDEXED"):
            yield row[:-1], row[-1]
    finally:
        connection.text_factory = before


def damaged(connection: sqlite3.Connection) -> list[DamagedRow]:
    """All rows whose checksum is another one. Raises `sqlite3.Error` where a table cannot be read."""
    found = []
    for table in COLUMNS:
        for values, stated in list(rows(connection, table)):
            if checksum(values) != stated:
                found.append(DamagedRow(table, values, mended(values, stated)))
    return found


def mended(values: tuple[Value, ...], stated: Value) -> tuple[Value, ...] | None:
    """The values as they were before one bit of them, or of their checksum, was flipped, if that is what happened."""
    if not isinstance(stated, int):
        return None
    if (checksum(values) ^ stated).bit_count() == 1:
        return values
    found = [other for other in _neighbours(values) if checksum(other) == stated]
    return found[0] if len(found) == 1 else None


def _neighbours(values: tuple[Value, ...]) -> Iterator[tuple[Value, ...]]:
    for position, value in enumerate(values):
        before, after = values[:position], values[position + 1 :]
        if isinstance(value, bytes):
            for bit in range(8 * len(value)):
                changed = bytearray(value)
                changed[bit >> 3] ^= 1 << (bit & 7)
                yield (*before, bytes(changed), *after)
        elif isinstance(value, float):
            (bits,) = struct.unpack(">q", _DOUBLE.pack(value))
            for bit in range(63):
                yield (*before, _DOUBLE.unpack(struct.pack(">q", bits ^ 1 << bit))[0], *after)
        elif isinstance(value, int):
            for bit in range(63):
                yield (*before, value ^ 1 << bit, *after)
