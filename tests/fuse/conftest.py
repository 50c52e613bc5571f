"""Real mounts, undone at the end of each test whatever happened."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.command import Imagefs

from imagefs.fuse import takeover
from imagefs.fuse.background import is_mounted


@pytest.fixture
def mount(imagefs: Imagefs, tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts the store of the test with the given arguments; answers the folder."""
    made: list[Path] = []

    def make(*arguments: str) -> Path:
        folder = tmp_path / f"mnt{len(made)}"
        folder.mkdir()
        made.append(folder)
        imagefs("mount", *arguments, folder)
        return folder

    yield make
    for folder in made:
        if is_mounted(folder):  # which sees a mount, too, whose process was killed
            subprocess.run(["fusermount3", "-u", "-z", folder], check=True)


@pytest.fixture(params=["our loop", "pyfuse3's loop"])
def both_loops(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a test with each of the two request loops."""
    monkeypatch.setenv(takeover.STOCK_LOOP, "0" if request.param == "our loop" else "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = str(Path(__file__).parent)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.fuse)
