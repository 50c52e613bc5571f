"""The command: which rows, how often, and how they are shown."""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import report, rows_import, rows_mount, rows_tree
from bench.figures import Group
from bench.machine import run
from bench.rounds import Results, measure
from bench.workplace import Workplace

PROJECT = Path(__file__).resolve().parents[3]


def main() -> int:
    """Run it; the exit status."""
    options = _options()
    if os.geteuid() != 0:
        sys.exit("scripts/bench: needs root, to drop the page cache and to run containerd")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that mounts are undone
    with _workplace(options.images, make=not options.list) as place:
        groups = [*rows_import.groups(place), *rows_tree.groups(place), *rows_mount.groups(place)]
        if options.list:
            _list(groups)
        else:
            # In here: what was made is large, and to remove it takes long.
            _report(_chosen(groups, options.rows), options)
    return 0


def _report(groups: Sequence[Group], options: argparse.Namespace) -> None:
    measured: list[tuple[Group, Results]] = []
    revision, began, load = _revision(), time.monotonic(), os.getloadavg()[0]
    try:
        for group in groups:
            measured.append((group, measure(group, options.rounds)))
    except KeyboardInterrupt:
        print("scripts/bench: interrupted; this is what was measured before", file=sys.stderr)
    circumstances = (
        f"{revision}, {os.cpu_count()} processors, load {load:.1f} before and {os.getloadavg()[0]:.1f} after,"
        f" {(time.monotonic() - began) / 60:.0f} minutes"
    )
    if options.json:
        rows = [report.as_json(group, row, results) for group, results in measured for row in group.rows]
        print(json.dumps({"circumstances": circumstances, "rounds": options.rounds, "rows": rows}, indent=2))
    else:
        print(report.table(measured, options.rounds), circumstances, sep="\n")
    sys.stdout.flush()
    if options.plot:
        from bench.plot import plot  # it takes long to load

        plot(measured, options.plot)
    print("cleaning up", file=sys.stderr)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Compare imagefs with its peers.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help="what to measure: names of --list, or how they begin")
    parser.add_argument("--list", action="store_true", help="list the names of rows")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw a picture, a PNG")
    parser.add_argument("--rounds", type=int, default=3, help="how often to measure each contestant (default 3)")
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="keep the images, and the peers' copies, for next time"
    )
    return parser.parse_args()


@contextmanager
def _workplace(images: Path | None, *, make: bool) -> Iterator[Workplace]:
    with tempfile.TemporaryDirectory(prefix="imagefs-bench-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary).resolve()
        images = (images or folder / "images").resolve()
        if make:
            run(PROJECT / "scripts" / "samples", "bench", images, shown="scripts/samples bench")
        yield Workplace(folder, images, images / "peers")


def _chosen(groups: Sequence[Group], names: Sequence[str]) -> list[Group]:
    unknown = [name for name in names if not any(group.name.startswith(name) for group in groups)]
    if unknown:
        sys.exit(f"scripts/bench: no such row: {', '.join(unknown)}; --list lists them")
    if not names:
        return [group for group in groups if not group.extra]
    return [group for group in groups if any(group.name.startswith(name) for name in names)]


def _list(groups: Sequence[Group]) -> None:
    width = max(len(group.name) for group in groups)
    for group in groups:
        for what in dict.fromkeys(row.what for row in group.rows):
            print(f"{group.name:{width}}  {what}" + ("  (only when named)" if group.extra else ""))


def _revision() -> str:
    result = subprocess.run(
        ["git", "-C", str(PROJECT), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return result.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
