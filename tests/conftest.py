"""Makes the shared builders importable: `from support.archives import ...`."""

import sys
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
