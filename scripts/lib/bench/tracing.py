"""Counts the read requests that the kernel sends to a FUSE mount, by its own trace event."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.machine import ProgramFailed

_TRACING = Path("/sys/kernel/tracing")
_READ = 15
_SEEN = re.compile(r"^(?:entries|overrun): (\d+)$", re.MULTILINE)


@contextmanager
def read_requests(mountpoint: Path) -> Iterator[Callable[[], int]]:
    """What the block gets tells how many there were so far. Raises `ProgramFailed` where the event is not to be had."""
    instance = _TRACING / "instances" / f"imagefs-bench-{os.getpid()}"
    try:
        instance.mkdir()
    except OSError as error:
        raise ProgramFailed(f"tracefs: {error.strerror}") from None
    event = instance / "events" / "fuse" / "fuse_request_send"
    try:
        if not event.is_dir():
            raise ProgramFailed("tracefs: this kernel does not trace FUSE requests, which Linux 6.10 and later do")
        connection = os.minor(mountpoint.stat().st_dev)
        (event / "filter").write_text(f"opcode == {_READ} && connection == {connection}")
        (event / "enable").write_text("1")
        yield lambda: _seen(instance)
        (event / "enable").write_text("0")
    finally:
        instance.rmdir()


def _seen(instance: Path) -> int:
    """All events: those that are in the buffers, and those that newer ones have taken the place of."""
    return sum(
        int(count) for stats in instance.glob("per_cpu/cpu*/stats") for count in _SEEN.findall(stats.read_text())
    )
