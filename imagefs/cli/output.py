"""Standard output where it is not as one would have it: closed, full, or read by nobody."""

import errno
import io
import os
import sys
from contextlib import suppress


class _Closed(io.RawIOBase):
    """Standard output of a process that was started without: only what does write to it fails."""

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        raise OSError(errno.EBADF, "it is closed", "standard output")


def open_standard_streams() -> None:
    """Give a process that lacks standard streams something in their places."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free: without it, the next file that is opened would have it, and would get
            # what is meant for the stream.
            os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115  for as long as the process lives
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(_Closed()))


def write(text: str) -> None:
    """Print text, in UTF-8 as names in images are."""
    sys.stdout.buffer.write(text.encode())


def flush() -> None:
    """Bring out what was printed. Raises `OSError`."""
    sys.stdout.flush()


def abandon() -> None:
    """Bring out what was printed, if it can be; the interpreter has nothing to complain about then when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, 1)
            os.close(nothing)
        sys.stdout = None
