"""Leases keep content from the garbage collector before, or after, a name does.

A **held** lease lives as long as its process: a file under `flock`, which the kernel lets go of at the
process's death, in whatever pid namespace. A **timed** lease lives until it expires. A lease can be both.
"""

import fcntl
import os
import secrets
import time
from pathlib import Path
from types import TracebackType

from imagefs.store.catalog import Catalog

INGEST_LIFETIME = 24 * 3600.0
"""Seconds for which an interrupted import's finished content is kept for the next try."""


_MOUNT = "mount "


def mount_label(mountpoint: str) -> str:
    """The label of a mount's lease."""
    return f"{_MOUNT}{mountpoint}"


def mountpoint_of(label: str) -> str | None:
    """Where the mount is whose lease has a label; None for what is none."""
    return label.removeprefix(_MOUNT) if label.startswith(_MOUNT) else None


class Lease:
    """A held lease, with `lifetime` seconds a timed one too; a context manager that ends it."""

    def __init__(self, catalog: Catalog, folder: Path, label: str, lifetime: float | None = None) -> None:
        self._catalog = catalog
        self.id = secrets.token_hex(8)
        folder.mkdir(exist_ok=True)
        self._path = folder / self.id
        # The lock comes first: a lease on record without one counts as dead.
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        catalog.add_lease(self.id, label, None if lifetime is None else time.time() + lifetime)

    def __enter__(self) -> "Lease":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def protect(self, kind: str, key: str) -> None:
        """Keep a "blob", a "layer", or an index or manifest, by its media type, with all that it refers to."""
        self._catalog.protect(self.id, kind, key)

    def unprotect(self, kind: str, key: str) -> None:
        """Keep it no longer."""
        self._catalog.unprotect(self.id, kind, key)

    def release(self) -> None:
        """End the lease, the timed one too."""
        self._catalog.drop_lease(self.id)
        self.let_go()

    def let_go(self) -> None:
        """End the held lease only; a timed one stays."""
        if self._descriptor >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1


def is_held(folder: Path, lease: str) -> bool:
    """Whether the lease's process lives."""
    try:
        descriptor = os.open(folder / lease, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def live(catalog: Catalog, folder: Path) -> tuple[set[str], set[str]]:
    """The leases that are held, and those that protect: held, or timed and not expired."""
    now = time.time()
    leases = catalog.leases()
    held = {lease for lease, _, _ in leases if is_held(folder, lease)}
    return held, held | {lease for lease, _, expires in leases if expires is not None and expires > now}
