"""The database behind the catalogue: one SQLite file, its schema, and transactions on it."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from imagefs.errors import StoreBusy, StoreError
from imagefs.store import rowsums
from imagefs.store.reading import Reader, connect
from imagefs.store.rowsums import COLUMNS, Value
from imagefs.store.sharing import make_file

FORMAT = 3
"""The version of the schema, kept in `user_version`."""

BUSY_TIMEOUT = 60.0
"""Seconds to wait for another process's transaction, a garbage collection's included."""

_SCHEMA = """
CREATE TABLE image (
    name TEXT PRIMARY KEY, digest TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL,
    bound_at REAL NOT NULL, complete INTEGER NOT NULL, platforms TEXT, checksum INTEGER
);
CREATE TABLE label (
    name TEXT NOT NULL REFERENCES image ON DELETE CASCADE, key TEXT NOT NULL, value TEXT NOT NULL,
    checksum INTEGER, PRIMARY KEY (name, key)
) WITHOUT ROWID;
CREATE TABLE slot (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL REFERENCES image ON DELETE CASCADE,
    platform TEXT NOT NULL, manifest TEXT NOT NULL, checksum INTEGER, UNIQUE (name, platform, manifest)
);
CREATE TABLE layer (
    number INTEGER PRIMARY KEY AUTOINCREMENT, diff_id TEXT NOT NULL UNIQUE,
    size INTEGER, nodes INTEGER, blocks INTEGER, xattrs INTEGER, index_digest TEXT, checksum INTEGER
);
CREATE TABLE layer_blob (blob TEXT PRIMARY KEY, diff_id TEXT NOT NULL, checksum INTEGER);
CREATE TABLE lease (id TEXT PRIMARY KEY, label TEXT NOT NULL, expires_at REAL, checksum INTEGER);
CREATE TABLE lease_resource (
    lease TEXT NOT NULL REFERENCES lease ON DELETE CASCADE, kind TEXT NOT NULL, key TEXT NOT NULL,
    checksum INTEGER, PRIMARY KEY (lease, kind, key)
) WITHOUT ROWID;
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, action TEXT NOT NULL, name TEXT, digest TEXT,
    mountpoint TEXT, checksum INTEGER
);
"""


def make_tables(connection: sqlite3.Connection) -> None:
    """Make the tables, all of them and empty."""
    for statement in (*_SCHEMA.split(";"), *rowsums.triggers()):
        connection.execute(statement)


class Database:
    """An open SQLite file, for one thread at a time. Raises `StoreError` where it is broken, or of another format."""

    def __init__(self, path: Path, *, read_only: bool, obstacle: str = "the store is read-only") -> None:
        self.read_only = read_only
        self._path = path
        self._obstacle = obstacle
        self._renewed = 0
        try:
            if read_only:
                self._reader = Reader(path)
                self.connection = self._reader.connection
            else:
                make_file(path)
                self.connection = connect(path, "rw", BUSY_TIMEOUT)
            (version,) = self.connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, FORMAT) or (version == 0 and read_only):
                raise StoreError(f"{path}: {_other_format(version)}")
            if not read_only:
                self.connection.execute("PRAGMA journal_mode = WAL")
                # A lease that a power cut loses is dead anyway; names are made durable by `transaction`.
                self.connection.execute("PRAGMA synchronous = NORMAL")
            rowsums.define(self.connection)
            if version == 0:
                self._create()
            self.connection.execute("PRAGMA foreign_keys = ON")
        except (sqlite3.Error, UnicodeDecodeError) as error:  # what SQLite quotes in its errors may be no text
            raise StoreError(f"{path}: {error}") from None

    def _create(self) -> None:
        with self.transaction():
            (version,) = self.connection.execute("PRAGMA user_version").fetchone()
            if version == 0:  # nobody else was faster
                make_tables(self.connection)
                self.connection.execute(f"PRAGMA user_version = {FORMAT}")

    def rebuild(self, rows: Mapping[str, Sequence[Sequence[Value]]]) -> None:
        """Make all tables anew with these rows, inside a `transaction` and without foreign keys.

        Rows that refer to what is not there are left out. Numbers that were given once are never given again.
        """
        connection = self.connection
        given = connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
        for table in reversed(COLUMNS):
            connection.execute(f"DROP TABLE {table}")
        make_tables(connection)
        for table, columns in COLUMNS.items():
            places = ", ".join("?" * len(columns))
            statement = f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({places})"
            connection.executemany(statement, rows[table])
        for table in ("label", "slot"):
            connection.execute(f"DELETE FROM {table} WHERE name NOT IN (SELECT name FROM image)")
        connection.execute("DELETE FROM lease_resource WHERE lease NOT IN (SELECT id FROM lease)")
        for name, number in given:
            connection.execute("DELETE FROM sqlite_sequence WHERE name = ? AND seq < ?", (name, number))
            connection.execute(
                "INSERT INTO sqlite_sequence SELECT ?1, ?2"
                " WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?1)",
                (name, number),
            )

    def has_its_tables(self) -> bool:
        """Whether tables and triggers are as they are made."""
        query = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"
        with closing(sqlite3.connect(":memory:")) as model:
            rowsums.define(model)
            make_tables(model)
            return bool(model.execute(query).fetchall() == self.connection.execute(query).fetchall())

    def close(self) -> None:
        """Let go of the file; the last one to do so leaves it without a journal."""
        self.connection.close()

    @contextmanager
    def transaction(self, *, durable: bool = False, wait: float = BUSY_TIMEOUT) -> Iterator[None]:
        """All or nothing, and alone: other writers wait, and so does this one, for `wait` seconds at most.

        With `durable`, it is on the disk when the block ends. Raises `StoreBusy`, and `StoreError` where nothing can
        be written.
        """
        if self.read_only:
            raise StoreError(self._obstacle)
        self.connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        self.connection.execute(f"PRAGMA busy_timeout = {int(wait * 1000)}")
        try:
            with self.writing():
                self.connection.execute("BEGIN IMMEDIATE")
        finally:
            self.connection.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT * 1000)}")
        try:
            with self.writing():
                yield
                self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:  # where the disk is full, SQLite may have gone back already, or not
                with suppress(sqlite3.OperationalError):  # what went wrong first is what the user has to know
                    self.connection.execute("ROLLBACK")
            raise

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Say of what SQLite raises in the block which file it is about.

        Raises `StoreBusy` where others did not let go of it, and `StoreError` where it cannot be written to.
        """
        try:
            yield
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise StoreBusy(f"the store's catalogue is in use: {error}") from None
            raise StoreError(f"{self._path}: {error}") from None

    def version(self) -> int:
        """A number that changes when another process has changed the catalogue.

        What is read after it shows the change; where nothing can be written, it is this that looks for it.
        """
        if self.read_only and self._reader.renew():
            self.connection = self._reader.connection
            rowsums.define(self.connection)
            self._renewed += 1
        (version,) = self.connection.execute("PRAGMA data_version").fetchone()
        return int(version) + self.connection.total_changes + (self._renewed << 32)


def _other_format(version: int) -> str:
    made_by, advice = "a newer", "use that one, or another store"
    if version < FORMAT:
        made_by, advice = "an older", "export its images with that one, and import them into another store"
    return f"a store of format {version}, made by {made_by} imagefs; this one knows format {FORMAT}: {advice}"
