"""`imagefs cp`. What it makes of attributes is in tests/fuse/test_copy_equals_mount.py."""

import errno
import os
import stat

import pytest
from support.archives import OciArchive, directory, file, gzip_layer, hardlink, symlink
from support.command import Imagefs
from support.interruption import interrupted
from support.odd import SPARSE_SIZE, odd_archive

import imagefs as library
from imagefs.browse.address import parse
from imagefs.browse.copying import copy_out
from imagefs.browse.destination import Folders
from imagefs.browse.opened import opened


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> Imagefs:
    imagefs = Imagefs(tmp_path_factory.mktemp("odd") / "store")
    imagefs("import", "--no-unpack", "-", stdin=odd_archive())
    return imagefs


@pytest.mark.parametrize(
    ("path", "made"),
    [
        ("/d/old", "folder/old"),
        ("/unwritable", "folder/unwritable/below/file"),
        ("/unwritable/", "folder/unwritable/below/file"),
        ("/unwritable/.", "folder/below/file"),
        ("/unwritable/below/..", "folder/below/file"),
        ("/implied", "folder/implied/parents/here"),
        ("/to-folder/", "folder/to-folder/old"),
    ],
)
def test_into_a_folder(odd, tmp_path, path, made):
    (tmp_path / "folder").mkdir(mode=0o700)
    odd("cp", f"odd:1:{path}", tmp_path / "folder")
    assert (tmp_path / made).is_file()
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o700


def test_under_a_new_name(odd, tmp_path):
    odd("cp", "odd:1:/d/old", tmp_path / "new")
    assert (tmp_path / "new").read_text() == "old"
    odd("cp", "odd:1:/unwritable", f"{tmp_path}/copy/")
    assert (tmp_path / "copy/file").read_text() == "in it"
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o555
    odd("cp", "odd:1:/to-folder", tmp_path / "link")
    assert os.readlink(tmp_path / "link") == "d"


def test_a_sparse_file_takes_no_room(odd, tmp_path):
    odd("cp", "odd:1:/hole", tmp_path)
    status = (tmp_path / "hole").stat()
    assert (status.st_size, status.st_blocks) == (SPARSE_SIZE, 0)


def test_hard_links_are_kept_within_what_is_copied(odd, tmp_path):
    odd("cp", "odd:1:/d", tmp_path / "part")
    assert (tmp_path / "part/across-again").stat().st_nlink == 1


def test_a_file_replaces_a_file_and_folders_become_one(imagefs, tmp_path):
    archive = OciArchive()
    archive.add_image([gzip_layer(file("d/sub/file", b"new"), file("d/one"), hardlink("d/two", "d/one"))], name="app:1")
    imagefs("import", "-", stdin=archive.bytes())
    (tmp_path / "d/sub").mkdir(parents=True)
    for name in ("d/sub/file", "d/sub/kept", "d/one", "d/two"):
        (tmp_path / name).write_text("old")
    imagefs("cp", "app:1:/d", tmp_path)
    assert (tmp_path / "d/sub/file").read_text() == "new"
    assert (tmp_path / "d/sub/kept").read_text() == "old"
    assert os.path.samefile(tmp_path / "d/one", tmp_path / "d/two")


def test_nothing_lands_outside(imagefs, tmp_path):
    """What is at the destination may be links; what is copied may be links too."""
    archive = OciArchive()
    archive.add_image(
        [gzip_layer(file("a/file", b"x"), file("b"), symlink("c", "../outside"), file("d", b"x"))], name="app:1"
    )
    imagefs("import", "-", stdin=archive.bytes())
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    (outside / "target").write_text("untouched")
    inside.mkdir()
    (inside / "a").symlink_to("../outside")
    (inside / "b").symlink_to("../outside/target")
    (inside / "d").symlink_to("../outside/new")
    result = imagefs("cp", "app:1:/", inside, check=False)
    assert (result.status, result.err) == (1, f"imagefs: app:1:/a -> {inside}/a: Not a directory\n")
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"target": "untouched"}
    assert (inside / "b").read_text() == ""
    assert (inside / "d").read_text() == "x"
    assert os.readlink(inside / "c") == "../outside"


def test_a_file_and_a_folder_do_not_replace_each_other(imagefs, tmp_path):
    archive = OciArchive()
    archive.add_image([gzip_layer(file("x/a/below"), file("x/b"), file("x/c", b"c"))], name="app:1")
    imagefs("import", "-", stdin=archive.bytes())
    (tmp_path / "x/b").mkdir(parents=True)
    (tmp_path / "x/a").write_text("")
    result = imagefs("cp", "app:1:/x", tmp_path, check=False)
    assert result.status == 1
    assert result.err.splitlines() == [
        f"imagefs: app:1:/x/a -> {tmp_path}/x/a: Not a directory",
        f"imagefs: app:1:/x/b -> {tmp_path}/x/b: Is a directory",
    ]
    assert (tmp_path / "x/c").read_text() == "c", "the rest is copied"


@pytest.mark.parametrize(
    ("path", "destination", "problem"),
    [
        ("/nope", "new", "odd:1:/nope: No such file or directory"),
        ("/d", "nope/new", "odd:1:/d -> nope/new: No such file or directory"),
        ("/d", "file", "odd:1:/d -> file: Not a directory"),
        ("/d/old", "new/", "odd:1:/d/old -> new/: Not a directory"),
        ("/d/old", "", "odd:1:/d/old -> : No such file or directory"),
    ],
)
def test_errors(odd, tmp_path, monkeypatch, path, destination, problem):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    result = odd("cp", f"odd:1:{path}", destination, check=False)
    assert (result.status, result.err) == (1, f"imagefs: {problem}\n")
    assert os.listdir(tmp_path) == ["file"]


def test_an_image_without_a_path_is_wrong_usage(odd, tmp_path):
    assert odd("cp", "odd:1", tmp_path, check=False).status == 2


def test_deeper_than_a_path_can_be_long(imagefs, tmp_path):
    names = ["n" * 250] * 1000
    archive = OciArchive()
    archive.add_image([gzip_layer(directory("deep"), file("/".join(["deep", *names, "file"]), b"x"))], name="deep:1")
    imagefs("import", "-", stdin=archive.bytes())
    imagefs("cp", "deep:1:/deep", tmp_path)
    folder = os.open(tmp_path / "deep", os.O_RDONLY)
    opened = []
    for name in names:
        below = os.open(name, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
        opened.append(os.fstat(folder).st_ino)
    assert os.listdir(folder) == ["file"]
    # Paths of this length are more than rmtree can do.
    os.unlink("file", dir_fd=folder)
    for name in reversed(names):
        above = os.open("..", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = above
        os.rmdir(name, dir_fd=folder)
    os.close(folder)


def test_a_folder_that_is_moved_away_meanwhile(odd, tmp_path, monkeypatch):
    def leave(folders):
        raise OSError(errno.ESTALE, "moved")

    monkeypatch.setattr(Folders, "leave", leave)
    told = []
    with library.Store(odd.store) as store, opened(store, parse("odd:1")) as image, pytest.raises(OSError) as caught:
        copy_out(image, b"/unwritable", tmp_path, failed=told.append)
    assert (caught.value.filename, caught.value.filename2) == ("/unwritable/below", f"{tmp_path}/unwritable/below")
    assert told == []


@pytest.mark.parametrize("where", ["imagefs.browse.copying.replacing", "imagefs.browse.transfer.copy"])
@pytest.mark.parametrize(("how", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_an_interruption_leaves_no_part_of_a_file(odd, tmp_path, where, how, status):
    """When a file was just made, and when something was written to it."""
    (tmp_path / "kept").write_text("kept")
    done = interrupted(odd, where, how, "cp", "odd:1:/d/old", tmp_path)
    assert (done.returncode, done.stderr.strip()) == (status, b"")
    assert os.listdir(tmp_path) == ["kept"]


def test_nohup(odd, tmp_path):
    ignoring = "signal.SIGHUP, signal.SIG_IGN"
    done = interrupted(odd, "imagefs.browse.transfer.copy", "SIGHUP", "cp", "odd:1:/d/old", tmp_path, before=ignoring)
    assert done.returncode == 0
    assert (tmp_path / "old").read_text() == "old"


def test_from_a_program(odd, tmp_path):
    with library.Store(odd.store) as store:
        library.copy_out(store, "odd:1:/d/old", tmp_path / "new")
        with pytest.raises(NotADirectoryError) as caught:
            library.copy_out(store, "odd:1:/d", tmp_path / "new")
    assert (caught.value.filename, caught.value.filename2) == ("/d", f"{tmp_path}/new")
    assert (tmp_path / "new").read_text() == "old"
