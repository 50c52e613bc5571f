"""Counting what a mount answers, so cheaply that it does not show: a few additions for each request."""

import errno
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from imagefs.fuse import wire
from imagefs.fuse.stats import Latency
from imagefs.fuse.wire import Request

_KINDS = {
    wire.LOOKUP: "lookup", wire.FORGET: "forget", wire.GETATTR: "getattr", wire.READLINK: "readlink",
    wire.OPEN: "open", wire.READ: "read", wire.STATFS: "statfs", wire.RELEASE: "release",
    wire.GETXATTR: "getxattr", wire.LISTXATTR: "listxattr", wire.OPENDIR: "opendir", wire.READDIR: "readdir",
    wire.RELEASEDIR: "releasedir", wire.INTERRUPT: "interrupt", wire.DESTROY: "destroy", wire.IOCTL: "ioctl",
    wire.BATCH_FORGET: "batch_forget", wire.READDIRPLUS: "readdirplus",
    25: "flush", 34: "access", 46: "lseek", 52: "statx",
}  # fmt: skip
"""The last few have no handler: the kernel asks once for each of them, and then knows."""

_SLOTS = 128
"""Each slot of a histogram is for times that are up to the square root of two longer than those of the one before."""


def kind(operation: int) -> str:
    """What an operation is called."""
    return _KINDS.get(operation, str(operation))


class _Tally:
    """How long the requests of a kind took, in nanoseconds: in all, and how many took about how long."""

    __slots__ = ("slots", "total")

    def __init__(self) -> None:
        self.total = 0
        self.slots = [0] * _SLOTS


class _Side:
    """What one side counts, in which nobody else counts at the same time."""

    def __init__(self) -> None:
        self.tallies: defaultdict[int, _Tally] = defaultdict(_Tally)
        self.errors: Counter[int] = Counter()
        self.bytes_read = 0

    def add(self, request: Request, answer: Sequence[int] | int) -> None:
        took = time.perf_counter_ns() - request.began
        tally = self.tallies[request.operation]
        tally.total += took
        tally.slots[(took * took).bit_length()] += 1
        if isinstance(answer, int):
            self.errors[answer] += 1
        elif request.operation == wire.READ:
            self.bytes_read += len(answer)


class Counts:
    """The counts of one mount. `answered` is for the thread of the loop alone, `answered_late` for all others."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._at_once = _Side()
        self._late = _Side()
        self._lock = threading.Lock()
        self.answered = self._at_once.add
        self.unpacked_layers = 0

    def answered_late(self, request: Request, answer: Sequence[int] | int) -> None:
        """A request that had to wait was answered, with a reply or an errno."""
        with self._lock:
            self._late.add(request, answer)

    @property
    def uptime(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    @property
    def bytes_read(self) -> int:
        """How many bytes of files the kernel was given."""
        return self._at_once.bytes_read + self._late.bytes_read

    @property
    def cached_reads(self) -> int:
        """How many reads nobody had to wait for the disk for."""
        return sum(self._at_once.tallies[wire.READ].slots)

    def errors(self) -> dict[str, int]:
        """How often each errno was the answer, by name."""
        with self._lock:
            errors = self._at_once.errors + self._late.errors
        return {errno.errorcode.get(number, str(number)): count for number, count in sorted(errors.items())}

    def latencies(self) -> dict[str, Latency]:
        """The requests by kind."""
        with self._lock:
            sides = [dict(self._at_once.tallies), dict(self._late.tallies)]
            found = {}
            for operation in sorted({*sides[0], *sides[1]}):
                tallies = [side[operation] for side in sides if operation in side]
                slots = [sum(counts) for counts in zip(*(tally.slots for tally in tallies), strict=True)]
                if any(slots):
                    found[kind(operation)] = _latency(slots, sum(tally.total for tally in tallies))
        return found


def _latency(slots: Sequence[int], total: int) -> Latency:
    count = sum(slots)
    return Latency(count, total / count / 1e9, _quantile(slots, count * 0.5), _quantile(slots, count * 0.99))


def _quantile(slots: Sequence[int], wanted: float) -> float:
    """How many seconds the first so many of all requests took at most, evenly spread within a slot."""
    passed = 0
    for slot, count in enumerate(slots):
        if count and passed + count >= wanted:
            return float(2 ** ((slot - 1 + (wanted - passed) / count) / 2)) / 1e9
        passed += count
    return 0.0


def memory() -> int:
    """The resident memory of this process in bytes; 0 without /proc."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGESIZE")
    except (OSError, ValueError):
        return 0


def open_files() -> int:
    """How many descriptors this process has open; 0 without /proc."""
    try:
        return len(os.listdir("/proc/self/fd")) - 1  # the listing's own
    except OSError:
        return 0
