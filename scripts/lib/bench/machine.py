"""The machine: programs, clocks, the page cache, the memory and the input of processes."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# An ordinary user may lack /sbin, where some of the tools are.
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])

TIME_LIMIT = 600
"""Seconds after which a program counts as hanging."""


class ProgramFailed(Exception):
    """A program that ended with an error, or not at all."""


def run(
    *command: str | Path, cwd: Path | None = None, environment: dict[str, str] | None = None, shown: str | None = None
) -> str:
    """Run a program; its standard output. Raises `ProgramFailed` with the last line that it said."""
    words = [str(part) for part in command]
    name = shown or " ".join([Path(words[0]).name, *words[1:2]])
    environment = {**os.environ, "PATH": PATH, **(environment or {})}
    # Into files, not pipes: a daemon that a program leaves behind may hold them open.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, cwd=cwd, env=environment
            )
        except OSError as error:
            raise ProgramFailed(f"{name}: {error.strerror}") from None
        # To wait with a time limit is to look every 50 ms, which is longer than some of what is measured here.
        limit = threading.Timer(TIME_LIMIT, process.kill)
        limit.start()
        try:
            status = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            limit.cancel()
        if status == -signal.SIGKILL:
            raise ProgramFailed(f"{name}: killed, or not ready after {TIME_LIMIT} seconds")
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip().splitlines()
        if status:
            raise ProgramFailed(f"{name}: exit {status}: {said[-1] if said else 'said nothing'}")
        output.seek(0)
        return output.read().decode(errors="replace")


def shell(script: str, cwd: Path) -> None:
    """Run a script, which fails where a part of a pipe does."""
    run("bash", "-o", "pipefail", "-c", script, cwd=cwd, shown=script)


def imagefs(store: Path, *arguments: str | Path) -> str:
    """Run our command on a store; its standard output."""
    return run(sys.executable, "-m", "imagefs", "--store", store, *arguments, shown=f"imagefs {arguments[0]}")


def seconds(work: Callable[[], object]) -> float:
    """How long some work takes. What others left to be written is written before."""
    os.sync()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def drop_caches() -> None:
    """Forget all files, names and attributes that are cached."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")


def times_dropped() -> int:
    """How often anybody has dropped caches since the system started."""
    counters = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    return int(counters["drop_pagecache"]) + int(counters["drop_slab"])


def warm(path: Path) -> None:
    """Have a file in the page cache."""
    with path.open("rb", buffering=0) as file:
        while file.read(1 << 20):
            pass


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """An empty folder for the time of the block."""
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def is_mounted(path: Path) -> bool:
    """Whether something is mounted there; bind mounts, which stat(2) does not show, too."""
    return any(line.split()[4] == str(path) for line in Path("/proc/self/mountinfo").read_text().splitlines())


def servers(mountpoint: Path) -> list[int]:
    """The processes of ours that serve a mount point."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if b"imagefs" in words and os.fsencode(mountpoint) in words:
            found.append(int(process.name))
    return found


def resident(processes: Sequence[int]) -> float:
    """The memory that processes have now, in MB; what they share counts once."""
    private, shared = 0, [0]
    for process in processes:
        kibibytes = {}
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]:
            name, size, *_ = line.split()
            kibibytes[name.rstrip(":")] = int(size)
        private += kibibytes["Private_Clean"] + kibibytes["Private_Dirty"]
        shared.append(kibibytes["Shared_Clean"] + kibibytes["Shared_Dirty"])
    return (private + max(shared)) * 1024 / 1e6
