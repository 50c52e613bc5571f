"""A mount in which what a file says goes wrong: `python faulty_mount.py STORE MOUNTPOINT FAULT` serves it.

While the file FAULT holds `METHOD ERROR`, the method raises the error; otherwise all is as ever. Standard output gets a
line when the tree can be read, standard error the log.
"""

import functools
import logging
import sqlite3
import struct
import sys
from collections.abc import Callable
from pathlib import Path

from imagefs.errors import StoreError
from imagefs.fuse.request import MountRequest
from imagefs.fuse.serve import serve
from imagefs.tree.namespace import Namespace
from imagefs.tree.openlayers import LayerFile

ERRORS = {
    "RuntimeError": RuntimeError("odd"),
    "KeyError": KeyError(7),
    "MemoryError": MemoryError(),
    "AssertionError": AssertionError(),
    "OperationalError": sqlite3.OperationalError("disk I/O error"),
    "DatabaseError": sqlite3.DatabaseError("database disk image is malformed"),
    "StructError": struct.error("odd"),
    "OSError": OSError(5, "the disk is broken"),
    "StopIteration": StopIteration(),
    "StoreError": StoreError("the store is broken"),
}
METHODS = {
    Namespace: ("lookup", "listdir", "open", "readlink", "xattrs", "statistics", "refresh"),
    LayerFile: ("read", "read_cached"),
}


def fail(name: str) -> None:
    if name == "RecursionError":
        fail(name)
    raise ERRORS[name]


def main(store: str, mountpoint: str, fault: str) -> None:
    logging.basicConfig(level=logging.WARNING)

    def faulty(method: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(method)
        def wrapper(*arguments: object) -> object:
            wanted, _, error = Path(fault).read_text().partition(" ")
            if wanted == method.__name__:
                fail(error)
            return method(*arguments)

        return wrapper

    for kind, methods in METHODS.items():
        for name in methods:
            setattr(kind, name, faulty(getattr(kind, name)))
    serve(MountRequest(store, mountpoint), lambda: print("ready", flush=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
