"""What a command does to the disk, as a list: for states that a loss of power may leave, see `powerloss`."""

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from faults.points import SQL, Answer

CATALOGUE = "catalog.sqlite"


class Step(NamedTuple):
    """One change: `paths` are below the watched folder.

    `kind` is "create", "mkdir", "rename", "link", "unlink" or "rmdir"; or "fsync", of a file whose content is in the
    file `saved` then, or of a folder; or "written", where a file was written to and not synced yet, with what it holds
    in `saved`; or "commit", which is `durable` or not, of the catalogue, a copy of which is in `saved`.
    """

    kind: str
    paths: tuple[str, ...]
    saved: str = ""
    durable: bool = False


class Recorder:
    """Makes each call, and writes down what it changed. `saved` is a folder for contents."""

    def __init__(self, folder: Path, saved: Path, tell: Callable[[Step], None]) -> None:
        self._folder, self._saved, self._tell = folder, saved, tell
        self._count = 0
        self._lock = threading.RLock()

    def call(
        self, kind: str, paths: tuple[str, ...], do: Callable[[], Answer], half: Callable[[], object] | None
    ) -> Answer:
        """Make the call, and note it."""
        kind = kind.removeprefix("sqlite ")
        if kind in (SQL, "truncate") or CATALOGUE in paths[-1]:
            return do()
        with self._lock:  # so that the order of the notes is that of the calls
            answer = do()
            below = tuple(os.path.relpath(path, self._folder) for path in paths)
            if kind == "write":
                self._tell(Step("written", below, self._copy(paths[0])))
            elif kind == "fsync" and os.path.isfile(paths[0]):
                self._tell(Step("fsync", below, self._copy(paths[0])))
            else:
                self._tell(Step(kind, below))
        return answer

    def committed(self, connection: sqlite3.Connection, path: str) -> None:
        """Keep the catalogue as it is now."""
        if not path.endswith(CATALOGUE):
            return
        with self._lock:
            (level,) = sqlite3.Connection.execute(connection, "PRAGMA synchronous").fetchone()
            self._count += 1
            saved = self._saved / str(self._count)
            target = sqlite3.Connection(str(saved))
            connection.backup(target)
            target.close()
            self._tell(Step("commit", (os.path.relpath(path, self._folder),), saved.name, durable=level >= 2))

    def _copy(self, path: str) -> str:
        self._count += 1
        shutil.copyfile(path, self._saved / str(self._count))
        return str(self._count)
