"""A mount in a process of its own: started, waited for until the tree can be read, and undone."""

import json
import os
import subprocess
import sys

import msgspec

from imagefs.errors import MountError
from imagefs.fuse import notify
from imagefs.fuse.request import MountRequest
from imagefs.mountinfo import mounted_at


def start(request: MountRequest) -> "subprocess.Popen[bytes]":
    """Mount in a new process and wait until the tree can be read.

    Raises `MountError` with the reason if it cannot be.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment.pop(notify.SOCKET, None)  # the command that waits here is the service, if anything is
    read_end, write_end = os.pipe()
    command = [sys.executable, "-m", "imagefs.fuse", str(write_end), msgspec.json.encode(request).decode()]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[write_end],
        start_new_session=True,
        cwd="/",
        env=environment,
    )
    os.close(write_end)
    with open(read_end, "rb") as reports:
        report = reports.read()
    if not report:
        raise MountError(f"{request.mountpoint}: the mount's process ended with status {process.wait()}")
    answer = json.loads(report)
    if answer["error"] is not None:
        process.wait()
        raise MountError(answer["error"])
    return process


def is_mounted(mountpoint: str | os.PathLike[str]) -> bool:
    """Whether an imagefs is mounted on exactly this folder."""
    return mounted_at(mountpoint) is not None
