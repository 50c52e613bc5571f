"""The points at which a process changes the disk: each call passes by a watcher, which may count it or fail it.

What is watched, below one folder: `os.open` that creates, `os.write`, `fsync`, `rename`, `replace`, `link`, `unlink`,
`mkdir` and `rmdir`, by whatever way they are called (pathlib and shutil come to them); files that `open` opens for
writing; the statements by which SQLite's databases change; and, below these, the calls of SQLite itself to the system,
see `sqlitecalls`.
"""

import builtins
import io
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from faults import sqlitecalls

Answer = TypeVar("Answer")

SQL = "sql"
"""The kind of a statement. The others are called after the call."""

GROWING = frozenset({"create", "write", "mkdir", "link", "rename", "fsync", "sqlite create", "sqlite write"})
"""The kinds that need space, and fail on a full disk."""

_CHANGING = ("BEGIN", "COMMIT", "INSERT", "UPDATE", "DELETE", "CREATE", "WITH")


class Watcher(Protocol):
    """Whoever is told of each call, and makes it."""

    def call(
        self, kind: str, paths: tuple[str, ...], do: Callable[[], Answer], half: Callable[[], object] | None
    ) -> Answer:
        """Make the call by `do`; `half` writes half of the data that a write has. May raise `OSError` instead."""
        ...

    def committed(self, connection: sqlite3.Connection, path: str) -> None:
        """What a database took in is committed."""
        ...


class _Watch:
    """Who watches what, in this process: nobody at first."""

    watcher: Watcher | None = None
    folder = ""


def watch(folder: Path, watcher: Watcher) -> None:
    """Let somebody watch what this process changes below a folder."""
    _Watch.folder, _Watch.watcher = f"{folder}/", watcher


def _passing(
    kind: str, paths: tuple[str, ...], do: Callable[[], Answer], half: Callable[[], object] | None = None
) -> Answer:
    if _Watch.watcher is None or not any(f"{path}/".startswith(_Watch.folder) for path in paths):
        return do()
    return _Watch.watcher.call(kind, paths, do, half)


def _path_of(path: Any, dir_fd: int | None = None) -> str:  # noqa: ANN401  as the functions of os take it
    if isinstance(path, int):
        return os.readlink(f"/proc/self/fd/{path}")
    folder = os.readlink(f"/proc/self/fd/{dir_fd}") if dir_fd is not None else os.getcwd()
    return os.path.join(folder, os.fsdecode(path))


def _watched_call(kind: str, real: Callable[..., Any], paths: int) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        named = tuple(_path_of(each, options.get("dir_fd")) for each in arguments[:paths])
        return _passing(kind, named, lambda: real(*arguments, **options))

    return call


_real_open, _real_write = os.open, os.write


def _open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:  # noqa: ANN401
    def do() -> int:
        return _real_open(path, flags, mode, dir_fd=dir_fd)

    return _passing("create", (_path_of(path, dir_fd),), do) if flags & os.O_CREAT else do()


def _write(descriptor: int, data: Any) -> int:  # noqa: ANN401
    def half() -> int:
        return _real_write(descriptor, memoryview(data)[: len(data) // 2])

    return _passing("write", (_path_of(descriptor),), lambda: _real_write(descriptor, data), half)


class _File(io.FileIO):
    """A file that `open` opened for writing."""

    def __init__(self, path: Any, mode: str) -> None:  # noqa: ANN401
        self._path = _path_of(path)
        _passing("create", (self._path,), lambda: io.FileIO.__init__(self, path, mode))

    def write(self, data: Any, /) -> Any:  # noqa: ANN401
        view = memoryview(data)
        write = super().write
        return _passing("write", (self._path,), lambda: write(view), lambda: write(view[: len(view) // 2]))


_real_file_open = io.open


def _file_open(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
    if mode in ("wb", "xb") and not isinstance(file, int) and _path_of(file).startswith(_Watch.folder or "\0"):
        return io.BufferedWriter(_File(file, mode))
    return _real_file_open(file, mode, *arguments, **options)


class _Connection(sqlite3.Connection):
    """A database whose changes are watched."""

    def __init__(self, database: Any, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        text = os.fsdecode(database)
        self._path = text.removeprefix("file:").partition("?")[0]
        super().__init__(database, *arguments, **options)

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:  # noqa: ANN401
        execute = super().execute
        return self._changing(sql, lambda: execute(sql, *arguments))

    def executemany(self, sql: str, *arguments: Any) -> sqlite3.Cursor:  # noqa: ANN401
        executemany = super().executemany
        return self._changing(sql, lambda: executemany(sql, *arguments))

    def executescript(self, script: str) -> sqlite3.Cursor:
        executescript = super().executescript
        return self._changing("CREATE", lambda: executescript(script))

    def _changing(self, sql: str, do: Callable[[], sqlite3.Cursor]) -> sqlite3.Cursor:
        if not sql.lstrip().startswith(_CHANGING):
            return do()
        answer = _passing(SQL, (self._path,), do)
        if _Watch.watcher is not None and not self.in_transaction and self._path.startswith(_Watch.folder):
            _Watch.watcher.committed(self, self._path)
        return answer


_real_connect = sqlite3.connect


def _connect(database: Any, *arguments: Any, **options: Any) -> sqlite3.Connection:  # noqa: ANN401
    return _real_connect(database, *arguments, factory=_Connection, **options)


def install() -> None:
    """Put the watched calls in the places of the real ones, for this process and those that it forks."""
    if os.write is _write:
        return
    changed: Any = os
    changed.open, changed.write = _open, _write
    for name, paths in (("fsync", 1), ("link", 2), ("unlink", 1), ("mkdir", 1), ("rmdir", 1), ("rename", 2)):
        setattr(os, name, _watched_call(name, getattr(os, name), paths))
    changed.remove, changed.replace = os.unlink, _watched_call("rename", os.replace, 2)
    changed = builtins
    changed.open = _file_open
    changed = io
    changed.open = _file_open
    changed = sqlite3
    changed.connect = _connect
    sqlitecalls.install(_passing)
