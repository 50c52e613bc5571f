"""File systems for the time of a block: ours and the peers'. Each is served by a new process, if by any."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bench.machine import ProgramFailed, drop_caches, imagefs, run, seconds, shell

Mount = Callable[[], AbstractContextManager[Path]]
"""Mounts something; the folder where it is to be seen."""

RATARMOUNT = Path(sys.executable).with_name("ratarmount")


def cold(mount: Mount, script: str) -> float:
    """Seconds that a script takes in a tree of which nothing is cached and that nobody has looked into."""
    drop_caches()
    with mount() as root:
        return seconds(lambda: shell(script, root))


@contextmanager
def ours(store: Path, mountpoint: Path, *arguments: str, below: str = ".") -> Iterator[Path]:
    """Our mount; `below` leads from the mount point to what is looked at."""
    imagefs(store, "mount", *arguments, mountpoint)
    with _unmounted(mountpoint):
        yield mountpoint / below


@contextmanager
def fuse_overlayfs(mountpoint: Path, layers: Sequence[Path]) -> Iterator[Path]:
    """fuse-overlayfs over folders, the lowest first. Of a single one it takes a second, empty one to make a union."""
    empty = mountpoint.with_name("empty")
    empty.mkdir(exist_ok=True)
    run("fuse-overlayfs", "-o", f"lowerdir={_lowers([empty, *layers])}", mountpoint)
    with _unmounted(mountpoint):
        yield mountpoint


@contextmanager
def ratarmount(mountpoint: Path, archive: Path) -> Iterator[Path]:
    """ratarmount over one tar, which it indexes the first time."""
    run(RATARMOUNT, archive, mountpoint)
    with _unmounted(mountpoint):
        yield mountpoint


@contextmanager
def squashfuse(program: str, mountpoint: Path, image: Path) -> Iterator[Path]:
    """squashfuse, or squashfuse_ll, which is built on FUSE's low-level interface."""
    run(program, image, mountpoint)
    with _unmounted(mountpoint):
        yield mountpoint


@contextmanager
def overlayfs(mountpoint: Path, layers: Sequence[Path]) -> Iterator[Path]:
    """The kernel's own, over folders, the lowest first."""
    run("mount", "-t", "overlay", "overlay", "-o", f"ro,lowerdir={_lowers(layers)}", mountpoint)
    with _unmounted(mountpoint):
        yield mountpoint


def _lowers(layers: Sequence[Path]) -> str:
    return ":".join(map(str, reversed(layers)))


@contextmanager
def _unmounted(mountpoint: Path) -> Iterator[None]:
    try:
        yield
    finally:
        for _ in range(50):
            try:
                run("umount", mountpoint)
                break
            except ProgramFailed as error:
                if "busy" not in str(error):
                    raise
                time.sleep(0.1)
        else:
            run("umount", "--lazy", mountpoint)
