"""The short form of `scripts/faults`: a point of each kind, and states that a loss of power may leave.

And that it finds what is wrong: with each of the store's precautions left out, it does.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]

_SCRIPT = """
import contextlib, sys
from imagefs.store import database, files, gc
{}
from faults.__main__ import main
sys.exit(main())
"""


def faults(*options: str, without: str = "") -> subprocess.CompletedProcess[str]:
    """Run it, after `without` left something out."""
    path = os.pathsep.join(map(str, (PROJECT / "scripts" / "lib", PROJECT)))
    return subprocess.run(
        [sys.executable, "-c", _SCRIPT.format(without), "--quick", *options],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "operations",
    [
        ("import oci", "import from a pipe", "import --no-unpack"),
        ("import docker", "import --compress-blobs", "import over a name"),
        ("import again", "import into a new store", "unpack on first use"),
        ("gc", "prune", "rm", "content rm"),
        ("tag", "tag --force", "label", "export", "export docker"),
    ],
    ids=lambda names: names[0],
)
def test_no_fault_costs_an_image_or_leaves_anything_behind(operations):
    done = faults(*(f"--operation={name}" for name in operations))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = done.stdout.splitlines()[1:-1]
    assert [row.split("  ")[0] for row in rows] == list(operations)


_CARELESS_WRITE = """
write = files.NewFile.write
def careless(self, data):
    with contextlib.suppress(OSError):
        write(self, data)
files.NewFile.write = careless
"""


@pytest.mark.parametrize(
    ("operation", "fault", "without", "found"),
    [
        ("import --no-unpack", "power", "files.NewFile.sync = lambda self: None", "has something else in it"),
        ("import --no-unpack", "power", "files._sync = lambda path, flags: None", "should be complete, but lacks"),
        ("import --no-unpack", "ENOSPC", _CARELESS_WRITE, "unclear"),
        (
            "tag --force",
            "kill",
            "database.Database.transaction = lambda self, **options: contextlib.nullcontext()",
            "names are",
        ),
        ("export", "kill", "gc.sweep = lambda folder: None", "too many"),
    ],
    ids=[
        "files are not synced",
        "folders are not synced",
        "errors are passed over",
        "names change one by one",
        "leases",
    ],
)
def test_it_finds_a_store_without_a_precaution(operation, fault, without, found):
    done = faults(f"--operation={operation}", f"--fault={fault}", without=without)
    assert done.returncode == 1, done.stdout + done.stderr
    assert found in done.stdout
