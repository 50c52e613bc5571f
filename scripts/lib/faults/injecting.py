"""The faults, and the watcher that lets one happen at the n-th point."""

import enum
import errno
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable

from faults.points import GROWING, SQL, Answer


class Fault(enum.Enum):
    """What happens at a point."""

    NONE = "none"
    KILL = "kill"
    KILL_HALF = "kill-half"
    ENOSPC = "ENOSPC"
    EDQUOT = "EDQUOT"
    EIO = "EIO"
    FULL = "full"
    BROKEN = "broken"
    POWER = "power"

    @property
    def is_death(self) -> bool:
        """Whether the process ends there: before the call, or with half of what it writes written."""
        return self in (Fault.KILL, Fault.KILL_HALF)

    @property
    def number(self) -> int:
        """The errno: for one call, or with `FULL` and `BROKEN` for all that follow, too."""
        return {Fault.FULL: errno.ENOSPC, Fault.BROKEN: errno.EIO}.get(self) or int(getattr(errno, self.value))

    @property
    def texts(self) -> tuple[str, ...]:
        """What a message has to say, one of these: the system's words, or SQLite's."""
        return os.strerror(self.number), "database or disk is full", "disk I/O error", "unable to open database file"


class Injector:
    """Counts points, tells of the one where the fault happens (of all without one), and lets it happen."""

    def __init__(self, fault: Fault, number: int, tell: Callable[[str], None]) -> None:
        self._fault, self._number, self._tell = fault, number, tell
        self._count = 0
        self._lock = threading.Lock()

    def call(
        self, kind: str, paths: tuple[str, ...], do: Callable[[], Answer], half: Callable[[], object] | None
    ) -> Answer:
        """Make the call, or not."""
        if self._fault is Fault.KILL_HALF and half is None:
            return do()
        with self._lock:
            self._count += 1
            count = self._count
            if count == self._number or self._fault is Fault.NONE:
                self._tell(f"{kind} {paths[-1]}")
        if self._fault is Fault.NONE or count < self._number:
            return do()
        if count == self._number and self._fault.is_death:
            if half is not None and self._fault is Fault.KILL_HALF:
                half()
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        if count == self._number or self._goes_on(kind):
            raise self._error(kind, paths)
        return do()

    def committed(self, connection: sqlite3.Connection, path: str) -> None:
        """Nothing happens then."""

    def _goes_on(self, kind: str) -> bool:
        if self._fault is Fault.FULL:
            return kind in GROWING
        return self._fault is Fault.BROKEN and kind != SQL  # which fails by what it does

    def _error(self, kind: str, paths: tuple[str, ...]) -> Exception:
        number = self._fault.number
        if kind == SQL:
            full = number == errno.ENOSPC
            error = sqlite3.OperationalError("database or disk is full" if full else "disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL if full else sqlite3.SQLITE_IOERR
            return error
        if kind in ("write", "fsync"):  # the system knows only a descriptor
            return OSError(number, os.strerror(number))
        return OSError(number, os.strerror(number), *(paths[:1] if len(paths) == 1 else (paths[0], None, paths[1])))
