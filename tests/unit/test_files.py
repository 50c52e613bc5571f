import os

import pytest

from imagefs.store import files
from imagefs.store.files import NewFile


@pytest.fixture(params=["hint", "no hint"])
def hint(request, monkeypatch):
    """Run with and without the system call that starts writing early."""
    if request.param == "no hint":
        monkeypatch.setattr(files, "_sync_file_range", lambda: None)
    elif files._sync_file_range() is None:
        pytest.skip("the C library does not have it")


def test_a_file_has_what_was_written(hint, tmp_path):
    pieces = [os.urandom(1_234_567) for _ in range(20)]
    file = NewFile(tmp_path / "file")
    for piece in pieces:
        file.write(piece)
    file.sync()
    file.close()
    assert (tmp_path / "file").read_bytes() == b"".join(pieces)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o444


def test_what_is_written_is_on_its_way_in_time(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(files, "_sync_file_range", lambda: lambda _, offset, size, flags: asked.append((offset, size)))
    file = NewFile(tmp_path / "file")
    for _ in range(20):
        file.write(bytes(1 << 20))
    file.close()
    assert asked == [(0, 8 << 20), (8 << 20, 8 << 20)]


def test_a_new_file_replaces_none(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        NewFile(tmp_path / "file")
