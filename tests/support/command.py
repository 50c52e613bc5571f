"""Running `imagefs` as a user does: a process of its own, its exit status and what it printed."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """What it printed, line by line."""
        return self.out.splitlines()


@dataclass(frozen=True)
class Imagefs:
    """`imagefs` on one store."""

    store: Path

    def __call__(self, *arguments: str | Path, stdin: bytes | None = None, check: bool = True) -> Result:
        """Run a command; a status that is not 0 fails the test unless `check` is off."""
        done = subprocess.run(
            [sys.executable, "-m", "imagefs", "--store", str(self.store), *map(str, arguments)],
            input=stdin if stdin is not None else b"",
            capture_output=True,
            check=False,
            timeout=120,
        )
        result = Result(done.returncode, os.fsdecode(done.stdout), os.fsdecode(done.stderr))
        assert not check or result.status == 0, result
        return result

    def files(self) -> list[str]:
        """Every file in the store but the catalogue's own, as paths below it."""
        found = (path.relative_to(self.store) for path in self.store.rglob("*") if path.is_file())
        return sorted(str(path) for path in found if not path.name.startswith("catalog.sqlite"))
