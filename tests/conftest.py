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
