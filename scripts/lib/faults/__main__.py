"""The command: which operations and faults, and what came of them."""

import argparse
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

from faults import enumerating, report, running
from faults.injecting import Fault
from faults.judging import Run
from faults.operations import OPERATIONS, Stores

QUICK = {"every": 7, "sampled": 1}
"""How the power goes in the short form."""


def main() -> int:
    """Run it; 1 where something was found."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what is in memory goes
    running.load()
    by_name = {each.name: each for each in OPERATIONS}
    operations = [by_name[name] for name in options.operation or by_name]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="imagefs-faults-", dir=_memory()) as temporary:
        stores = Stores(Path(temporary) / "stores")
        enumerating.prepare(stores, operations, Path(temporary) / "runs")
        enumerating.record(stores, operations, Path(temporary) / "replays")
        rows = report.Rows()
        with ProcessPoolExecutor(options.jobs, mp_context=multiprocessing.get_context("fork")) as executor:
            try:
                for operation in operations:
                    for run in _runs(operation.name, executor, options):
                        rows.add(run)
                        if run.verdict.complaints or options.verbose:
                            print(report.line(run), flush=True)
                    print(f"{operation.name}: {rows.count} runs so far", file=sys.stderr)
            except KeyboardInterrupt:
                print("scripts/faults: interrupted; this is what was found before", file=sys.stderr)
                executor.shutdown(cancel_futures=True)
    print(rows.table())
    print(f"{rows.count} runs in {time.monotonic() - began:.0f} seconds")
    return int(rows.complaints > 0)


def _runs(operation: str, executor: Executor, options: argparse.Namespace) -> Iterator[Run]:
    faults = options.fault or [*enumerating.FAULTS, Fault.POWER]
    if options.point:
        yield enumerating.at(operation, faults[0], options.point)
        return
    injected = [fault for fault in faults if fault is not Fault.POWER]
    if injected:
        run = enumerating.sampled if options.quick else enumerating.enumerated
        yield from run(operation, executor, injected)
    if Fault.POWER in faults:
        yield from enumerating.replayed(operation, executor, **QUICK if options.quick else {})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/faults", description="Let faults happen wherever imagefs writes.")
    parser.add_argument("--quick", action="store_true", help="one point of each kind")
    parser.add_argument("--operation", action="append", choices=[each.name for each in OPERATIONS], metavar="NAME")
    parser.add_argument(
        "--fault", action="append", type=Fault, choices=[*enumerating.FAULTS, Fault.POWER], metavar="FAULT"
    )
    parser.add_argument("--point", type=int, help="only this one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("-v", "--verbose", action="store_true", help="print every run")
    return parser.parse_args()


def _memory() -> str | None:
    """A folder in memory: a sync costs nothing there, and what it does is the replay's business."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


if __name__ == "__main__":
    sys.exit(main())
