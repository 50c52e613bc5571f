"""What the cases of others start from: two stores, and a place for an archive."""

from pathlib import Path

import pytest
from support.inside import InsideImagefs


@pytest.fixture
def imagefs(tmp_path: Path) -> InsideImagefs:
    return InsideImagefs(tmp_path / "store")


@pytest.fixture
def other(tmp_path: Path) -> InsideImagefs:
    """Another store."""
    return InsideImagefs(tmp_path / "other")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the archive goes."""
    return tmp_path / "out.tar"
