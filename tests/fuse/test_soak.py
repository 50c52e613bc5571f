"""The long run, cut short; and when it calls what it sees too much."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
sys.path.insert(0, str(PROJECT / "scripts/lib"))

from soak.figures import BOUNDS, Bound, beyond  # noqa: E402

ONE = {"files": Bound("open files", 100, 10)}


def test_what_stays_within_its_bound():
    assert beyond([{"files": count} for count in (5, 30, 20, 40, 40, 38)], ONE) == []


@pytest.mark.parametrize(
    ("counts", "problem"),
    [
        ((5, 6, 7, 9, 12, 17), "open files: from 6 to 17"),
        ((99, 99, 101), "open files: 101, and at most 100 is right"),
    ],
)
def test_what_goes_beyond_it(counts, problem):
    assert beyond([{"files": count} for count in counts], ONE) == [problem]


@pytest.mark.slow
def test_half_a_minute():
    path = os.pathsep.join(map(str, (PROJECT, PROJECT / "scripts/lib")))
    command = [sys.executable, "-m", "soak", "--minutes", "0.4", "--every", "3"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert all(bound.title in lines[0] for bound in BOUNDS.values())
    assert len(lines) > 3
    assert lines[-1] == "soak: all stayed within bounds"
