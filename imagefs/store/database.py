"""The database behind the catalogue: one SQLite file, its schema, and transactions on it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from imagefs.errors import StoreBusy, StoreError

FORMAT = 2
"""The version of the schema, kept in `user_version`."""

BUSY_TIMEOUT = 60.0
"""Seconds to wait for another process's transaction, a garbage collection's included."""

_SCHEMA = """
CREATE TABLE image (
    name TEXT PRIMARY KEY, digest TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL,
    bound_at REAL NOT NULL, complete INTEGER NOT NULL, platforms TEXT
);
CREATE TABLE label (
    name TEXT NOT NULL REFERENCES image ON DELETE CASCADE, key TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (name, key)
) WITHOUT ROWID;
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
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, action TEXT NOT NULL, name TEXT, digest TEXT,
    mountpoint TEXT
);
"""


class Database:
    """An open SQLite file, for one thread at a time. Raises `StoreError` where it is broken, or of another format."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self.read_only = read_only
        mode = "ro&immutable=1" if read_only else "rwc"
        try:
            self.connection = sqlite3.connect(
                f"file:{quote(str(path))}?mode={mode}",
                uri=True,
                timeout=BUSY_TIMEOUT,
                isolation_level=None,
                check_same_thread=False,
            )
            self.connection.execute("PRAGMA foreign_keys = ON")
            if not read_only:
                self.connection.execute("PRAGMA journal_mode = WAL")
                # A lease that a power cut loses is dead anyway; names are made durable by `transaction`.
                self.connection.execute("PRAGMA synchronous = NORMAL")
            (version,) = self.connection.execute("PRAGMA user_version").fetchone()
            if version == 0 and not read_only:
                self._create()
            elif version != FORMAT:
                raise StoreError(f"{path}: a store of format {version}; this imagefs knows format {FORMAT}")
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {error}") from None

    def _create(self) -> None:
        with self.transaction():
            (version,) = self.connection.execute("PRAGMA user_version").fetchone()
            if version == 0:  # nobody else was faster
                for statement in _SCHEMA.split(";"):
                    self.connection.execute(statement)
                self.connection.execute(f"PRAGMA user_version = {FORMAT}")

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
            raise StoreError("the store is on a read-only file system")
        self.connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        self.connection.execute(f"PRAGMA busy_timeout = {int(wait * 1000)}")
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise StoreBusy(f"the store's catalogue is in use: {error}") from None
        finally:
            self.connection.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT * 1000)}")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:  # where the disk is full, SQLite may have gone back already, or not
                self.connection.execute("ROLLBACK")
            raise

    def version(self) -> int:
        """A number that changes when another process has changed the catalogue."""
        (version,) = self.connection.execute("PRAGMA data_version").fetchone()
        return int(version) + self.connection.total_changes
