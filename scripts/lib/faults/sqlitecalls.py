"""The calls by which SQLite itself changes files: its layer above the system lets others put theirs in between.

That layer is `sqlite3_vfs.xSetSystemCall`, see <https://www.sqlite.org/c3ref/vfs.html>. It has no place for `fsync`,
which SQLite calls on its own; that a commit fails there is the fault of a statement, see `points`. Where Python has
SQLite built in so that it cannot be reached, statements are all there is to be watched.
"""

import _sqlite3
import ctypes
import errno
import os
from collections.abc import Callable
from typing import Any

Passing = Callable[..., int]

_INT, _POINTER, _OFFSET = ctypes.c_int, ctypes.c_void_p, ctypes.c_int64


class _Vfs(ctypes.Structure):
    """`sqlite3_vfs` to its third version."""

    _fields_ = [
        ("version", _INT), ("file_size", _INT), ("longest_path", _INT), ("next", _POINTER), ("name", ctypes.c_char_p),
        ("data", _POINTER), ("functions", _POINTER * 12), ("current_time", _POINTER), ("set_system_call", _POINTER),
        ("get_system_call", _POINTER),
    ]  # fmt: skip


_kept: list[Any] = []  # what SQLite calls must live as long as the process


def install(passing: Passing) -> bool:
    """Let these calls pass by; answers whether SQLite can be reached."""
    library = ctypes.CDLL(_sqlite3.__file__)
    try:
        find = library.sqlite3_vfs_find
    except AttributeError:
        return False
    find.restype = ctypes.POINTER(_Vfs)
    find.argtypes = [ctypes.c_char_p]
    vfs = find(None)
    name_and_vfs = (ctypes.POINTER(_Vfs), ctypes.c_char_p)
    get = ctypes.CFUNCTYPE(_POINTER, *name_and_vfs)(vfs.contents.get_system_call)
    put = ctypes.CFUNCTYPE(_INT, *name_and_vfs, _POINTER)(vfs.contents.set_system_call)
    for name, make, types in (
        (b"open", _open, (_INT, ctypes.c_char_p, _INT, _INT)),
        (b"pwrite", _write, (_INT, _INT, _POINTER, ctypes.c_size_t, _OFFSET)),
        (b"pwrite64", _write, (_INT, _INT, _POINTER, ctypes.c_size_t, _OFFSET)),
        (b"ftruncate", _truncate, (_INT, _INT, _OFFSET)),
        (b"unlink", _unlink, (_INT, ctypes.c_char_p)),
    ):
        address = get(vfs, name)
        if address:
            kind = ctypes.CFUNCTYPE(*types, use_errno=True)
            replaced = kind(make(passing, kind(address)))
            _kept.append(replaced)
            put(vfs, name, ctypes.cast(replaced, _POINTER))
    return True


def _answer(call: Callable[[], int]) -> int:
    """What the call answers; where it was refused, as the system does it."""
    try:
        return call()
    except OSError as error:
        ctypes.set_errno(error.errno or errno.EIO)
        return -1


def _path_of(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")


def _open(passing: Passing, real: Callable[..., int]) -> Callable[..., int]:
    def call(path: bytes, flags: int, mode: int) -> int:
        if not flags & os.O_CREAT or os.path.exists(path):
            return real(path, flags, mode)
        return _answer(lambda: passing("sqlite create", (os.fsdecode(path),), lambda: real(path, flags, mode)))

    return call


def _write(passing: Passing, real: Callable[..., int]) -> Callable[..., int]:
    def call(descriptor: int, data: int, size: int, offset: int) -> int:
        def half() -> int:
            return real(descriptor, data, size // 2, offset)

        def do() -> int:
            return real(descriptor, data, size, offset)

        return _answer(lambda: passing("sqlite write", (_path_of(descriptor),), do, half))

    return call


def _truncate(passing: Passing, real: Callable[..., int]) -> Callable[..., int]:
    def call(descriptor: int, size: int) -> int:
        return _answer(lambda: passing("sqlite truncate", (_path_of(descriptor),), lambda: real(descriptor, size)))

    return call


def _unlink(passing: Passing, real: Callable[..., int]) -> Callable[..., int]:
    def call(path: bytes) -> int:
        return _answer(lambda: passing("sqlite unlink", (os.fsdecode(path),), lambda: real(path)))

    return call
