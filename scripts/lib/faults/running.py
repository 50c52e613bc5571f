"""Commands in child processes of one that has imagefs loaded: a fork costs a tenth of a start.

A child runs the same `main` as the command does, with its standard streams in files.
"""

import contextlib
import json
import os
import select
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from faults import points
from imagefs.cli import main as command

TIMEOUT = 120.0
"""Seconds after which a command hangs."""


class Outcome(NamedTuple):
    """How a command ended: its status, negative for a signal; what it said; and what the watcher had to tell."""

    status: int
    out: bytes
    err: str
    told: list[str]


class Hangs(Exception):
    """A command does not end."""


def load() -> None:
    """Load all of imagefs, once, and let its calls be watched."""
    for module in {f"imagefs.cli.{name}" for name in command._MODULES} | {
        "imagefs.api", "imagefs.archive.docker", "imagefs.archive.oci", "imagefs.archive.docker_v1",
        "imagefs.archive.written", "imagefs.browse.tarout", "imagefs.fuse.request", "click.testing",
        "unicodedata", "encodings.idna", "concurrent.futures.thread",
    }:  # fmt: skip
        import_module(module)
    points.install()


def run(
    store: Path,
    arguments: Sequence[str],
    *,
    stdin: Path | None = None,
    watch: tuple[Path, Callable[[Callable[[str], None]], points.Watcher]] | None = None,
) -> Outcome:
    """Run a command; `stdin` goes through a pipe. `watch` is a folder and what makes its watcher. Raises `Hangs`."""

    def work(tell: Callable[[str], None]) -> int:
        if watch is not None:
            points.watch(watch[0], watch[1](tell))
        sys.argv = ["imagefs", "--store", str(store), *arguments]
        try:
            command.main()
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    return _forked(work, stdin)


def apart(work: Callable[[], Any]) -> Any:  # noqa: ANN401  what the caller's function answers, by way of JSON
    """What a function answers in a process of its own. Raises `RuntimeError` where it raises."""

    def told(tell: Callable[[str], None]) -> int:
        tell(json.dumps(work()))
        return 0

    outcome = _forked(told, None)
    if outcome.status != 0:
        raise RuntimeError(outcome.err.strip() or f"status {outcome.status}")
    return json.loads(outcome.told[0])


def _forked(work: Callable[[Callable[[str], None]], int], stdin: Path | None) -> Outcome:
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as told:
        child = os.fork()
        if child == 0:
            _be_child(work, stdin, out.fileno(), err.fileno(), told.fileno())
        status = _wait(child)
        for file in (out, err, told):
            file.seek(0)
        return Outcome(status, out.read(), os.fsdecode(err.read()), os.fsdecode(told.read()).splitlines())


def _be_child(work: Callable[[Callable[[str], None]], int], stdin: Path | None, out: int, err: int, told: int) -> None:
    status = 99
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        nothing = os.open(os.devnull, os.O_RDONLY) if stdin is None else _pipe_from(stdin)
        for number, descriptor in enumerate((nothing, out, err)):
            os.dup2(descriptor, number)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115  for as long as the process lives
        status = work(lambda text: _tell(told, text))
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            if sys.stdout is not None:
                sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _tell(descriptor: int, text: str) -> None:
    os.writev(descriptor, [os.fsencode(f"{text}\n")])


def _pipe_from(file: Path) -> int:
    reading, writing = os.pipe()
    if os.fork() == 0:
        try:
            os.close(reading)
            with open(writing, "wb", buffering=0) as pipe:
                pipe.write(file.read_bytes())
        finally:
            os._exit(0)
    os.close(writing)
    return reading


def _wait(child: int) -> int:
    descriptor = os.pidfd_open(child)
    try:
        if not select.select([descriptor], [], [], TIMEOUT)[0]:
            os.kill(child, 9)
            os.waitpid(child, 0)
            raise Hangs(f"it did not end in {TIMEOUT:.0f} seconds")
    finally:
        os.close(descriptor)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
