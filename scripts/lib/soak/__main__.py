"""The command: how long, how often it is measured, and what came of it."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from soak.churn import STEADY, make_archive
from soak.figures import BOUNDS, beyond, sample


def main() -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(prog="soak", description="Read two mounts while images come and go.")
    parser.add_argument("--minutes", type=float, default=15, help="for how long")
    parser.add_argument("--every", type=float, metavar="SECONDS", help="between two lines [default: 40 lines in all]")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that mounts are undone
    seconds = options.minutes * 60
    with tempfile.TemporaryDirectory(prefix="imagefs-soak-") as folder:
        problems = Soak(Path(folder), seconds, options.every or seconds / 40).run()
    for problem in problems:
        print(f"soak: {problem}", file=sys.stderr)
    print("soak: " + ("failed" if problems else "all stayed within bounds"))
    return int(bool(problems))


Process = subprocess.Popen[str]


class Soak:
    """One run in a folder of its own."""

    def __init__(self, folder: Path, seconds: float, every: float) -> None:
        self._folder = folder
        self._store = folder / "store"
        self._seconds = seconds
        self._every = every
        self._came = 0
        self._ended: list[str] = []

    def run(self) -> list[str]:
        """Do it all; answers what went wrong."""
        archives = self._folder / "archives"
        archives.mkdir()
        self._imagefs("import", "-q", str(make_archive(archives, STEADY, 0)))
        with self._mounted("all") as everything, self._mounted("one", "--view", "rootfs", STEADY) as one:
            mounts = {"all": everything, "one": one}
            with (
                _process("walk", everything) as first,
                _process("walk", one) as second,
                _process("come and go", self._store, archives) as churning,
            ):
                counting = threading.Thread(target=self._count, args=(churning,))
                counting.start()
                samples = self._watch(mounts, [first, second, churning])
            counting.join()
        if not samples:
            return ["nothing was measured"]
        problems = beyond(samples)
        if not self._came:
            problems.append("no image came")
        # What the process that was ended had begun goes with the first collection.
        self._imagefs("gc")
        if left := os.listdir(self._store / "leases"):
            problems.append(f"{len(left)} leases are left when nothing runs any more")
        self._imagefs("check")
        return [*self._ended, *problems]

    def _watch(self, mounts: dict[str, Path], working: Sequence[Process]) -> list[dict[str, int]]:
        titles = ["seconds", "images", *(bound.title for bound in BOUNDS.values())]
        print("  ".join(titles), flush=True)
        begun = time.monotonic()
        samples: list[dict[str, int]] = []
        while (left := begun + self._seconds - time.monotonic()) > 0 and not self._ended:
            samples.append(sample(self._imagefs, self._store, mounts))
            shown = [bound.shown(samples[-1][name]) for name, bound in BOUNDS.items()]
            cells = [f"{time.monotonic() - begun:.0f}", str(self._came), *shown]
            print("  ".join(cell.rjust(len(title)) for cell, title in zip(cells, titles, strict=True)), flush=True)
            time.sleep(min(self._every, left))
            self._ended += [f"{each.args!r} ended" for each in working if each.poll() is not None]
        return samples

    def _count(self, churning: Process) -> None:
        assert churning.stdout is not None
        for _ in churning.stdout:
            self._came += 1

    def _imagefs(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "imagefs", "--store", str(self._store), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            raise RuntimeError(f"imagefs {' '.join(arguments)}: status {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    @contextmanager
    def _mounted(self, name: str, *arguments: str) -> Iterator[Path]:
        mountpoint = self._folder / name
        mountpoint.mkdir()
        self._imagefs("mount", *arguments, str(mountpoint))
        try:
            yield mountpoint
        finally:
            self._imagefs("umount", str(mountpoint))


@contextmanager
def _process(*arguments: str | Path) -> Iterator[Process]:
    command = [sys.executable, "-m", "soak.churn", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
