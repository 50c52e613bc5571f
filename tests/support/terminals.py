"""Commands whose standard input, output or error is a terminal."""

import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from typing import Literal

from support.command import Imagefs


def shown_on_terminal(
    imagefs: Imagefs,
    stream: Literal["stdout", "stderr"],
    *arguments: str,
    environment: Mapping[str, str] | None = None,
) -> tuple[subprocess.CompletedProcess[bytes], bytes]:
    """A command that was run with a terminal for one of its outputs, and what that showed."""
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "imagefs", "--store", str(imagefs.store), *arguments],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: theirs},
        check=False, timeout=60, env={**os.environ, **(environment or {})},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while data := os.read(ours, 65536):
            shown += data
    except OSError:
        pass  # the terminal ends with its last user
    os.close(ours)
    return done, shown


def with_terminal(imagefs: Imagefs, stream: Literal["stdin", "stdout"], *arguments: str) -> tuple[int, str]:
    """The exit status of a command that must not use the terminal, and what it said about it."""
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "imagefs", "--store", str(imagefs.store), *arguments],
            **{stream: theirs}, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
    return done.returncode, done.stderr
