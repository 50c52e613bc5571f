"""The processes that serve mounts, and what becomes of them."""

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from imagefs.fuse import stats

PATIENCE = 20.0
"""Seconds after which something never comes."""


def process_of(folder: Path) -> int:
    """The process that serves a mount."""
    return stats.ask(os.fsencode(folder)).pid


def lives(process: int) -> bool:
    """Whether a process is there, and not only its number until somebody asks how it ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def eventually(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Whether something becomes true in time."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def held_leases(store: Path) -> list[str]:
    """The leases whose process lives."""
    held = []
    for path in (store / "leases").iterdir():
        with path.open("rb") as lease:
            try:
                fcntl.flock(lease, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(path.name)
    return held
