"""The folders that a copy fills: deep ones, and ones with links in the way."""

import os
import resource

import pytest

from imagefs.browse.destination import Folders, replacing


@pytest.fixture
def folders(tmp_path):
    filled = Folders(os.open(tmp_path, os.O_PATH | os.O_DIRECTORY))
    yield filled
    filled.close()


def test_deeper_than_files_may_be_open_and_paths_may_be_long(folders, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))  # what other tests of this process have open
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 150, limits[1]))
    try:
        names = [b"%04d" % number + b"n" * 200 for number in range(1000)]
        identities = []
        for name in names:
            folders.enter(name)
            identities.append(os.fstat(folders.current).st_ino)
        there = folders.reach(names[:500])
        assert os.fstat(there).st_ino == identities[499]
        os.close(there)
        while folders.depth:
            left = folders.leave()
            assert os.fstat(left).st_ino == identities.pop()
            os.rmdir(names[folders.depth], dir_fd=folders.current)
            os.close(left)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_was_moved_meanwhile_is_noticed(folders, tmp_path):
    for number in range(100):
        folders.enter(b"%d" % number)
    (tmp_path / "elsewhere").mkdir()
    top = tmp_path / "/".join(map(str, range(31)))
    os.rename(top / "31", tmp_path / "elsewhere" / "31")
    with pytest.raises(OSError, match="moved"):
        while folders.depth:
            os.close(folders.leave())


@pytest.mark.parametrize("target", ["elsewhere", "nowhere", "/"])
def test_links_are_never_entered(folders, tmp_path, target):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(NotADirectoryError):
        folders.enter(b"link")
    with pytest.raises(NotADirectoryError):
        folders.reach([b"link"])
    assert folders.depth == 0


def test_what_has_a_name_is_replaced_and_a_folder_is_not(tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    (tmp_path / "link").symlink_to("outside")
    (tmp_path / "folder").mkdir()
    folder = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)

    def make(name: str) -> int:
        return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)

    try:
        os.close(replacing(lambda: make("link"), b"link", folder))
        with pytest.raises(IsADirectoryError):
            replacing(lambda: make("folder"), b"folder", folder)
    finally:
        os.close(folder)
    assert outside.read_text() == "untouched"
    assert not (tmp_path / "link").is_symlink()
