"""The process of a background mount: `python -m imagefs.fuse READY_FD REQUEST`, started by `fuse.background`."""

import json
import logging
import os
import sqlite3
import sys

import msgspec

from imagefs.errors import ImagefsError
from imagefs.fuse import logs
from imagefs.fuse.request import MountRequest
from imagefs.fuse.serve import serve


def main(ready_descriptor: str, request: str) -> int:
    """Serve; one line of JSON on the descriptor says whether it came up."""
    descriptor = int(ready_descriptor)

    def report(error: str | None) -> None:
        nonlocal descriptor
        if descriptor >= 0:
            os.write(descriptor, json.dumps({"error": error}).encode())
            os.close(descriptor)
            descriptor = -1

    try:
        asked = msgspec.json.decode(request, type=MountRequest)
        logs.to_background(asked.log_level, asked.log)
        serve(asked, lambda: report(None))
    except Exception as error:
        if descriptor < 0 or not isinstance(error, ImagefsError | OSError | sqlite3.Error):
            logging.getLogger(__name__).exception("the mount ended")
        report(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
