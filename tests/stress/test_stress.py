"""`scripts/stress`, for as short as it takes to be worth something."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.mark.fuse
@pytest.mark.slow
def test_many_processes_at_one_store(tmp_path):
    paths = os.pathsep.join([str(PROJECT / "scripts/lib"), str(PROJECT)])
    done = subprocess.run(
        [sys.executable, "-m", "stress", "--minutes", "0.3", "--processes", "4"],
        env={**os.environ, "PYTHONPATH": paths, "TMPDIR": str(tmp_path)},
        cwd=PROJECT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "nothing went wrong"), done.stdout + done.stderr
    assert len([line for line in done.stdout.splitlines() if line.endswith(" times")]) == 9
    assert ": 0 times" not in done.stdout
