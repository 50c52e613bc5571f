"""Where the log of a serving process goes, and the stacks of its threads when SIGUSR1 asks for them."""

import faulthandler
import logging
import logging.handlers
import os
import signal
import threading
from typing import TextIO

from imagefs.errors import MountError

LEVELS = ("debug", "info", "warning", "error")
"""How much is logged, most first."""

_SYSLOG = "/dev/log"

log = logging.getLogger(__name__)


def to_background(level: str, file: str | None) -> None:
    """Log to a file, or without one to the system's log, where there is one: nobody watches this process.

    Raises `MountError` where the file cannot be written to.
    """
    root = logging.getLogger()
    root.setLevel(level.upper())
    if file is not None:
        to_file(file)
        return
    if os.path.exists(_SYSLOG):
        handler = logging.handlers.SysLogHandler(_SYSLOG)
        handler.ident = f"imagefs[{os.getpid()}]: "
        root.addHandler(handler)
    _dump_on_signal(_into_the_log())


def to_file(path: str) -> None:
    """Log to the end of a file, and nowhere else. Raises `MountError` where it cannot be written to."""
    try:
        stream = open(path, "a", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115  until the process ends
    except OSError as error:
        raise MountError(f"{path}: {error.strerror}") from None
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter(f"%(asctime)s imagefs[{os.getpid()}] %(levelname)s %(message)s"))
    root = logging.getLogger()
    for other in list(root.handlers):
        root.removeHandler(other)
    root.addHandler(handler)
    _dump_on_signal(stream)


def to_stderr() -> None:
    """The log goes to stderr already; so do the stacks."""
    # What pyfuse3 and libfuse say while they mount is read from descriptor 2 and told by us: this is another one.
    _dump_on_signal(open(os.dup(2), "w", encoding="utf-8"))  # noqa: SIM115  for as long as the process lives


def _dump_on_signal(file: TextIO) -> None:
    faulthandler.register(signal.SIGUSR1, file, all_threads=True)


def _into_the_log() -> TextIO:
    """A file whose lines are logged, by a thread that does nothing else and so is not stuck where the others are."""
    read_end, write_end = os.pipe()

    def copy() -> None:
        with open(read_end, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                log.warning("%s", line.rstrip("\n"))

    threading.Thread(target=copy, name="stacks", daemon=True).start()
    return open(write_end, "w", encoding="utf-8")
