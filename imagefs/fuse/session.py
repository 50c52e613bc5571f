"""Opening and naming the FUSE session: the options that libfuse gets, and the reason when it refuses."""

import logging
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pyfuse3

from imagefs.errors import MountError
from imagefs.fuse.operations import FuseOperations
from imagefs.fuse.options import escaped

log = logging.getLogger(__name__)

_DEFAULT_OPTIONS = ("ro", "nosuid", "nodev", "default_permissions", "subtype=imagefs")

_DEVICE = os.makedev(10, 229)  # /dev/fuse, whatever it is called


class _Option(str):
    """pyfuse3 encodes options as ASCII, but a store's folder may have any name."""

    __slots__ = ()

    def encode(self, encoding: str = "", errors: str = "") -> bytes:
        """The bytes that the name stands for."""
        return os.fsencode(str(self))


def open_session(operations: FuseOperations, mountpoint: str, source: str, options: Iterable[str]) -> None:
    """Mount, with the `source` that mount(8) and df(1) show. Raises `MountError` with libfuse's reason."""
    # libfuse goes through them in their order, and the last one counts: the user's come after ours.
    given = [*_DEFAULT_OPTIONS, f"fsname={escaped(source)}"]
    if os.geteuid() == 0:
        given.append("allow_other")
    given += options
    reasons: list[str] = []
    try:
        with _errors_into(reasons):
            # A set is what it asks for, and to go through it in order is all that it does.
            pyfuse3.init(operations, mountpoint, [_Option(each) for each in given])  # type: ignore[arg-type]
    except RuntimeError as error:
        reason = "; ".join(reasons) or f"{error}; the options were {','.join(given)}"
        raise MountError(f"{mountpoint}: {reason}") from None
    for reason in reasons:
        log.warning("%s", reason)


def devices() -> set[int]:
    """The descriptors of this process that are FUSE devices, for pyfuse3 does not tell its own; none without /proc."""
    try:
        return {int(name) for name in os.listdir("/proc/self/fd") if _is_device(int(name))}
    except OSError:
        return set()


def _is_device(descriptor: int) -> bool:
    try:
        status = os.fstat(descriptor)
    except OSError:  # that of the listing, closed again
        return False
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == _DEVICE


@contextmanager
def _errors_into(lines: list[str]) -> Iterator[None]:
    """Collect what goes to descriptor 2, which is where libfuse and fusermount3 tell what they dislike."""
    with tempfile.TemporaryFile() as file:
        before = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)
            file.seek(0)
            lines += filter(None, file.read().decode(errors="replace").splitlines())
