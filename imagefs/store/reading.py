"""Reading the catalogue of a store that cannot be written to, beside those who can write to it.

Readers of a database with a write-ahead log mark in `catalog.sqlite-shm` what they read. Where a writer is at it, or
was, that file is there, and a reader who must not write to it can still lock it: then changes show as they happen.
Without it nobody is writing now, but somebody may begin at any time, and would not know of this reader: so what is
there is copied to memory, and copied again when it is another one.
"""

import sqlite3
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from imagefs.errors import StoreBusy, StoreError
from imagefs.store.sharing import owned

_TRIES = 20
_PAUSE = 0.05  # seconds between two tries

_State = tuple[tuple[int, int, int] | None, ...]


class Reader:
    """A connection that reads, in `connection`, and is a new one after `renew` where it has to be."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._copied: _State | None = None
        self.connection = self._open()

    def renew(self) -> bool:
        """Open the database again where a copy of it is not what is there any more; answers whether it was so."""
        if self._copied is None or self._copied == self._state():
            return False
        self.connection.close()
        self.connection = self._open()
        return True

    def _open(self) -> sqlite3.Connection:
        try:
            self._path.open("rb").close()
        except PermissionError:
            raise StoreError(f"{self._path}: not to be read, {owned(self._path)}") from None
        for _ in range(_TRIES):
            before = self._state()
            if before[1:] != (None, None):
                with suppress(sqlite3.OperationalError):  # the log of nobody who is still at it
                    connection = connect(self._path, "ro")
                    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
                    self._copied = None
                    return connection
            with suppress(sqlite3.DatabaseError, FileNotFoundError):  # changed meanwhile; what is broken fails below
                copy = self._copy(logged=before[1] is not None)
                if self._state() == before:
                    self._copied = before
                    return copy
                copy.close()
            time.sleep(_PAUSE)
        # Where it is broken, this says how.
        with closing(connect(self._path, "ro&immutable=1")) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        raise StoreBusy(f"{self._path}: it is being changed all the time")

    def _state(self) -> _State:
        """What the database, its log and the log's index are like, None for what is not there."""
        found: list[tuple[int, int, int] | None] = []
        for end in ("", "-wal", "-shm"):
            try:
                status = self._path.with_name(self._path.name + end).stat()
                found.append((status.st_ino, status.st_size, status.st_mtime_ns))
            except FileNotFoundError:
                found.append(None)
        return tuple(found)

    def _copy(self, *, logged: bool) -> sqlite3.Connection:
        """The database in memory, with what is in its log."""
        copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        try:
            if not logged:
                with closing(connect(self._path, "ro&immutable=1")) as database:
                    database.backup(copy)
                return copy
            with tempfile.TemporaryDirectory(prefix="imagefs-") as folder:
                there = Path(folder) / self._path.name
                for end in ("", "-wal"):
                    there.with_name(there.name + end).write_bytes(
                        self._path.with_name(self._path.name + end).read_bytes()
                    )
                with closing(connect(there, "rw")) as database:
                    database.backup(copy)
        except BaseException:
            copy.close()
            raise
        return copy


def connect(path: Path, mode: str, timeout: float = 60.0) -> sqlite3.Connection:
    """Open a database for any thread, with `mode` as in SQLite's URIs; `timeout` is in seconds."""
    uri = f"file:{quote(str(path))}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)
