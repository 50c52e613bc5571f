"""Leases keep content from the garbage collector before, or after, a name does.

A **held** lease lives as long as its process: a file under `flock`, which the kernel lets go of at the process's
death, in whatever container or pid namespace, and which shows wherever the same file does. A **timed** lease lives
until it expires. A lease can be both.

Where the file of a held lease is gone though its row is not, somebody took it away: whoever ends a lease removes the
row first. Nobody can tell then whether the process lives, so it counts as held until the machine starts again, which
no process survives, or until a user ends it.
"""

import fcntl
import os
import secrets
import sqlite3
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Literal

import msgspec

from imagefs.errors import StoreError
from imagefs.store.catalog import Catalog
from imagefs.store.sharing import share

INGEST_LIFETIME = 24 * 3600.0
"""Seconds for which an interrupted import's finished content is kept for the next try."""

IMPORT = "import"
"""The label of an import's lease."""

_MOUNT = "mount "

State = Literal["held", "lost", "timed", "dead"]
"""Held by a process that lives; held by one of which nobody knows; not held and not expired; none of these."""


def mount_label(mountpoint: str) -> str:
    """The label of a mount's lease."""
    return f"{_MOUNT}{mountpoint}"


def mountpoint_of(label: str) -> str | None:
    """Where the mount is whose lease has a label; None for what is none."""
    return label.removeprefix(_MOUNT) if label.startswith(_MOUNT) else None


class LeaseStanding(msgspec.Struct, frozen=True):
    """A lease on record, and how it stands. `expires_at` is in seconds since the epoch, None where it is held only."""

    id: str
    label: str
    expires_at: float | None
    state: State

    @property
    def held(self) -> bool:
        """Whether a process has it, or may have it."""
        return self.state in ("held", "lost")

    @property
    def protects(self) -> bool:
        """Whether it keeps anything."""
        return self.state != "dead"


class Lease:
    """A held lease, with `lifetime` seconds a timed one too; a context manager that ends it."""

    def __init__(self, catalog: Catalog, folder: Path, label: str, lifetime: float | None = None) -> None:
        self._catalog = catalog
        self._label = label
        self._timed = lifetime is not None
        self.id, self._descriptor = _locked_file(folder)
        self._path = folder / self.id
        try:
            # The lock comes first: a lease on record without one counts as dead.
            catalog.add_lease(self.id, label, None if lifetime is None else time.time() + lifetime)
        except BaseException:
            self._close(unlink=True)
            raise

    def __enter__(self) -> "Lease":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def protect(self, kind: str, key: str) -> None:
        """Keep a "blob", a "layer", or an index or manifest, by its media type, with all that it refers to.

        Raises `StoreError` where somebody ended the lease.
        """
        self.protect_all([(kind, key)])

    def protect_all(self, resources: Iterable[tuple[str, str]]) -> None:
        """Keep many things, (kind, key) each. Raises `StoreError` where somebody ended the lease."""
        try:
            self._catalog.protect_all(self.id, resources)
        except sqlite3.IntegrityError:
            raise StoreError(f"{self._label}: its lease {self.id} was removed, and nothing is kept for it") from None

    def unprotect(self, kind: str, key: str) -> None:
        """Keep it no longer."""
        self._catalog.unprotect(self.id, kind, key)

    def release(self) -> None:
        """End the lease, the timed one too."""
        self._catalog.drop_lease(self.id)
        self._close(unlink=True)

    def let_go(self) -> None:
        """End the held lease only, as the process's death does; a timed one stays."""
        self._close(unlink=self._timed)

    def _close(self, *, unlink: bool) -> None:
        if self._descriptor >= 0:
            if unlink:
                self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1


def _locked_file(folder: Path) -> tuple[str, int]:
    """The name and the descriptor of a new file, under our lock."""
    folder.mkdir(exist_ok=True)
    while True:
        name = secrets.token_hex(4) + _boot()
        with suppress(FileExistsError):
            descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                # Before it was locked, it was rubbish to a collection.
                if _is_at(descriptor, folder / name):
                    share(folder / name)
                    return name, descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


@cache
def _boot() -> str:
    """Some digits that this run of the machine's kernel has, and no other."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    return "0" * 8


def is_held(folder: Path, lease: str) -> bool:
    """Whether the lease's process lives, as far as its file tells."""
    return _holder(folder, lease) == "held"


def _holder(folder: Path, lease: str) -> Literal["held", "nobody", "no file"]:
    try:
        descriptor = os.open(folder / lease, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return "no file"
    except PermissionError:  # another user's: who cannot look takes it for held
        return "held"
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return "held"
    finally:
        os.close(descriptor)
    return "nobody"


def standings(catalog: Catalog, folder: Path) -> list[LeaseStanding]:
    """How every lease on record stands, sorted by ID."""
    now = time.time()
    return [
        LeaseStanding(lease, label, expires_at, _state(folder, lease, expires_at, now))
        for lease, label, expires_at in catalog.leases()
    ]


def _state(folder: Path, lease: str, expires_at: float | None, now: float) -> State:
    holder = _holder(folder, lease)
    if holder == "held":
        return "held"
    if expires_at is not None:
        return "timed" if expires_at > now else "dead"
    return "lost" if holder == "no file" and lease.endswith(_boot()) else "dead"


def live(catalog: Catalog, folder: Path) -> tuple[set[str], set[str]]:
    """The leases that are held, and those that protect: held, or timed and not expired."""
    found = standings(catalog, folder)
    return {lease.id for lease in found if lease.held}, {lease.id for lease in found if lease.protects}


def sweep(folder: Path) -> None:
    """Remove the files that nobody holds."""
    for path in folder.iterdir():
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                # Whoever is about to lock it has to wait, and sees then that it is gone.
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(descriptor)
