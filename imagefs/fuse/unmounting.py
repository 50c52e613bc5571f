"""Undoing a mount, also one whose process is gone."""

import logging
import os
import re
import select
import shutil
import subprocess
from pathlib import Path

from imagefs.errors import MountError
from imagefs.fuse import stats
from imagefs.fuse.stats import MountStats
from imagefs.mountinfo import mounted_at, mounts

log = logging.getLogger(__name__)

_ENDING = 10.0
"""Seconds that the serving process may take from the end of its mount to its own."""


def unmount(mountpoint: str | os.PathLike[str], *, lazy: bool = False) -> bool:
    """Undo a mount and wait for its process to end; answers whether that was gone already.

    A `lazy` one is detached though it is in use, and ends when it is no more: nobody waits for that. Raises
    `MountError` where there is none, or it is busy.
    """
    path = Path(mountpoint)
    mounted = mounted_at(path)
    if mounted is None:
        raise MountError(f"{path}: not an imagefs mount")
    found = stats.look(mounted.mountpoint)
    if found.state == "dead":
        _undo(path, lazy=True)  # whoever is in it still cannot do anything there but leave
        return True
    process = _process(found.stats)
    try:
        _undo(path, lazy=lazy)
        # Where it is mounted elsewhere too, its process has to go on.
        if process is not None and not lazy and all(other.device != mounted.device for other in mounts()):
            _await(process, path)
    finally:
        if process is not None:
            os.close(process)
    return False


def clear_dead(mountpoint: str | os.PathLike[str]) -> bool:
    """Undo a mount whose process is gone; answers whether there was one. Raises `MountError` where it cannot be."""
    mounted = mounted_at(mountpoint)
    if mounted is None or stats.look(mounted.mountpoint).state != "dead":
        return False
    _undo(Path(mountpoint), lazy=True)
    return True


def _process(served: MountStats | None) -> int | None:
    """A descriptor of the serving process; None where this one cannot see it."""
    if served is None or served.pid_namespace != stats.pid_namespace():
        return None
    try:
        return os.pidfd_open(served.pid)
    except OSError:
        return None


def _await(process: int, path: Path) -> None:
    ended = select.poll()
    ended.register(process, select.POLLIN)
    if not ended.poll(_ENDING * 1000):
        log.warning("%s: unmounted, but the process that served it has not ended yet", path)


def _undo(path: Path, *, lazy: bool) -> None:
    program = shutil.which("fusermount3") or shutil.which("umount")
    if program is None:
        raise MountError("neither fusermount3 nor umount is installed")
    options = ["-u", *["-z"] * lazy] if program.endswith("fusermount3") else ["-l"] * lazy
    result = subprocess.run(
        [program, *options, "--", path], capture_output=True, check=False, env={**os.environ, "LC_ALL": "C"}
    )
    if not result.returncode:
        return
    lines = os.fsdecode(result.stderr).strip().splitlines()
    reason = lines[-1] if lines else "it cannot be unmounted"
    if "busy" in reason:
        raise MountError(f"{path}: in use: somebody has a file in it open, or stands in it; --lazy detaches it anyway")
    # The program puts its own name first, and perhaps the path; what counts is what comes last.
    raise MountError(f"{path}: {re.sub(r'^.*: ', '', reason)}")
