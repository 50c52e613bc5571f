"""The command: which targets, for how long, and what came of it."""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(PROJECT / "tests"), str(PROJECT)]

from fuzz import engines  # noqa: E402  the tests' builders have to be found first

NAMES = ("tar", "layer", "index", "import", "json", "text", "whiteout", "compression")


def main() -> int:
    """Run it; the exit status."""
    options = _options()
    if options.child:
        return _fuzz(options)
    chosen = options.targets or list(NAMES)
    minutes = options.minutes if options.minutes or options.runs else 0.5 * len(chosen)
    total, failed = 0, []
    for target in chosen:
        began = time.monotonic()
        arguments = [sys.executable, "-m", "fuzz", "--child", target, "--engine", options.engine]
        if options.runs:
            arguments += ["--runs", str(max(1, options.runs // len(chosen)))]
        if minutes:
            arguments += ["--minutes", str(minutes / len(chosen))]
        if options.corpus:
            arguments += ["--corpus", str(options.corpus)]
        done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        said = done.stdout.decode(errors="replace")
        found = re.findall(r"stat::number_of_executed_units: +(\d+)|^(\d+) inputs$", said, re.MULTILINE)
        count = max((int(one or other) for one, other in found), default=0)
        total += count
        verdict = "nothing found" if done.returncode == 0 else "FOUND SOMETHING"
        print(f"{target:12} {count:>10} inputs {time.monotonic() - began:7.0f} s  {verdict}", flush=True)
        if done.returncode:
            failed.append(target)
            print("\n".join(said.splitlines()[-60:]), flush=True)
    print(f"{total} inputs with {options.engine}, {len(failed)} of {len(chosen)} targets found something")
    if failed:
        print(f"the inputs are in {PROJECT / 'findings'}")
    return 1 if failed else 0


def _fuzz(options: argparse.Namespace) -> int:
    (target,) = options.targets
    corpus = (options.corpus or Path(tempfile.mkdtemp(prefix="imagefs-corpus-"))) / target
    seconds = options.minutes * 60 if options.minutes else None
    run = engines.with_atheris if options.engine == "atheris" else engines.with_hypothesis
    print(run(target, corpus, runs=options.runs, seconds=seconds, findings=PROJECT / "findings"), "inputs")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description="Throws broken input at imagefs.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(NAMES)}; all of them by default")
    parser.add_argument("--minutes", type=float, help="how long in all; by default half a minute for each target")
    parser.add_argument("--runs", type=int, help="how many inputs in all")
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="where inputs are kept that lead to new places")
    parser.add_argument("--engine", choices=("atheris", "hypothesis"), help="by default atheris if it is installed")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for target in options.targets:
        if target not in NAMES:
            parser.error(f"no such target: {target}")
    options.engine = options.engine or ("atheris" if engines.has_atheris() else "hypothesis")
    return options


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(PROJECT / "scripts" / "lib"))
    sys.exit(main())
