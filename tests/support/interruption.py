"""Running `imagefs` with a signal at a moment that no clock would hit."""

import subprocess
import sys
from pathlib import Path

from support.command import Imagefs

_SCRIPT = """
import importlib, os, signal, sys

signal.signal(*signal_and_handler) if (signal_and_handler := eval(sys.argv.pop(1))) else None
module, _, name = sys.argv.pop(1).rpartition(".")
module, how = importlib.import_module(module), getattr(signal, sys.argv.pop(1))
real = getattr(module, name)


def function(*arguments, **options):
    answer = real(*arguments, **options)
    os.kill(os.getpid(), how)
    return answer


setattr(module, name, function)
importlib.import_module("imagefs.cli.main").main()
"""


def interrupted(
    imagefs: Imagefs, where: str, how: str, *arguments: str | Path, before: str = "()"
) -> subprocess.CompletedProcess:
    """Run a command that gets a signal whenever a function, `module.name`, has done its work and not answered yet.

    `before` is python for a signal and what the command's parent has made of it.
    """
    command = [sys.executable, "-c", _SCRIPT, before, where, how, "--store", str(imagefs.store), *map(str, arguments)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
