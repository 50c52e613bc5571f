"""The process of a background mount: `python -m imagefs.fuse READY_FD REQUEST`, started by `fuse.background`."""

import json
import logging
import logging.handlers
import os
import sqlite3
import sys

import msgspec

from imagefs.errors import ImagefsError
from imagefs.fuse.request import MountRequest
from imagefs.fuse.serve import serve


def main(ready_descriptor: str, request: str) -> int:
    """Serve; one line of JSON on the descriptor says whether it came up."""
    descriptor = int(ready_descriptor)
    # Nobody watches this process: what goes wrong goes to the system's log, where there is one.
    if os.path.exists("/dev/log"):
        logging.getLogger().addHandler(logging.handlers.SysLogHandler("/dev/log"))

    def report(error: str | None) -> None:
        nonlocal descriptor
        if descriptor >= 0:
            os.write(descriptor, json.dumps({"error": error}).encode())
            os.close(descriptor)
            descriptor = -1

    try:
        serve(msgspec.json.decode(request, type=MountRequest), lambda: report(None))
    except (ImagefsError, OSError, sqlite3.Error) as error:
        report(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
