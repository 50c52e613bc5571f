"""A mount in a process of its own: started, waited for until the tree can be read, and undone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

from imagefs.errors import MountError
from imagefs.fuse.request import MountRequest
from imagefs.mountinfo import mounts


def start(request: MountRequest) -> "subprocess.Popen[bytes]":
    """Mount in a new process and wait until the tree can be read.

    Raises `MountError` with the reason if it cannot be.
    """
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
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
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


def unmount(mountpoint: str | os.PathLike[str]) -> None:
    """Undo a mount. Raises `MountError` where it is none, or busy."""
    path = Path(mountpoint)
    if not is_mounted(path):
        raise MountError(f"{path}: not an imagefs mount")
    program = shutil.which("fusermount3") or shutil.which("umount")
    if program is None:
        raise MountError("neither fusermount3 nor umount is installed")
    command = [program, "-u", str(path)] if program.endswith("fusermount3") else [program, str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise MountError(
            result.stderr.strip().splitlines()[-1] if result.stderr.strip() else f"{path}: cannot be unmounted"
        )


def is_mounted(mountpoint: str | os.PathLike[str]) -> bool:
    """Whether an imagefs is mounted on exactly this folder."""
    wanted = os.fsencode(os.path.realpath(mountpoint))
    return any(mount.mountpoint == wanted for mount in mounts())
