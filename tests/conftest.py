"""Makes the shared builders importable: `from support.archives import ...`."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pytest
from support.command import Imagefs


@pytest.fixture
def imagefs(tmp_path: Path) -> Imagefs:
    """The command on a fresh store."""
    return Imagefs(tmp_path / "store")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The tests that wait for daemons and mounts come first, so that no process is left alone with them in the end.
    first = {"conformance": 0, "fuse": 1}
    items.sort(key=lambda item: first.get(item.path.parent.name, 2))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    # Where everything that tests need is demanded, a test that is not run is no test that passed.
    report = yield
    if report.skipped and os.environ.get("IMAGEFS_TEST_PEERS") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped, but IMAGEFS_TEST_PEERS=1 demands it: {report.longrepr}"
    return report
