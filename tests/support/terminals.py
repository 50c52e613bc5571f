"""Commands whose standard input or output is a terminal."""

import os
import pty
import subprocess
import sys
from typing import Literal

from support.command import Imagefs


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
