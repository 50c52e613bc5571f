"""`imagefs cp` and `imagefs tar` give what `cp -a` and `tar` make of a mount."""

import os
import shutil
import subprocess
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.archives import OciArchive
from support.odd import odd_archive, seen

from imagefs.browse.address import parse
from imagefs.browse.copying import copy_out
from imagefs.browse.opened import opened
from imagefs.store.store import Store

UID = 54_323

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="owners, devices and other users are root's")


@pytest.fixture
def odd(imagefs):
    imagefs("import", "-", stdin=odd_archive())
    return imagefs


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody reaches: those of pytest are closed."""
    folder = Path(tempfile.mkdtemp(prefix="imagefs-test-"))
    folder.chmod(0o755)
    yield folder
    mountpoint = folder / "mnt"
    if os.path.ismount(mountpoint):
        subprocess.run(["umount", "-l", mountpoint], check=True)
    shutil.rmtree(folder)


def as_user(what: Callable[[], None]) -> None:
    """Do something as an ordinary user, in a process of its own."""
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setresgid(UID, UID, UID)
            os.setresuid(UID, UID, UID)
            what()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@as_root
def test_cp_of_everything(odd, mount, tmp_path):
    root = mount("--view", "rootfs", "odd:1")
    subprocess.run(["cp", "-a", root, tmp_path / "theirs"], check=True)
    odd("cp", "odd:1:/", tmp_path / "mine")
    assert seen(tmp_path / "mine") == seen(tmp_path / "theirs") == seen(root)


@as_root
@pytest.mark.parametrize(
    "path", ["d", "d/", "to-folder", "to-folder/", "link", "across", "unwritable/", "null", "hole"]
)
def test_cp_of_a_part_into_a_folder(odd, mount, tmp_path, path):
    root = mount("--view", "rootfs", "odd:1")
    for name in ("mine", "theirs"):
        (tmp_path / name).mkdir()
    subprocess.run(["cp", "-a", f"{root}/{path}", tmp_path / "theirs"], check=True)
    odd("cp", f"odd:1:/{path}", tmp_path / "mine")
    mine, theirs = (seen(tmp_path / name) for name in ("mine", "theirs"))
    del mine[b"."], theirs[b"."]
    assert mine == theirs


@as_root
def test_cp_of_an_ordinary_user(odd, open_folder):
    mountpoint = open_folder / "mnt"
    mountpoint.mkdir()
    odd("mount", "--view", "rootfs", "-o", "allow_other", "odd:1", mountpoint)
    work = open_folder / "work"
    work.mkdir()
    os.chown(work, UID, UID)
    failures = []
    with Store(odd.store) as store, opened(store, parse("odd:1")) as image:

        def copy() -> None:
            os.umask(0o027)
            copy_out(image, b"/", work / "mine", failed=failures.append)
            places = [(failure.filename, failure.filename2, failure.strerror) for failure in failures]
            assert places == [
                ("/disk", f"{work}/mine/disk", "Operation not permitted"),
                ("/null", f"{work}/mine/null", "Operation not permitted"),
            ]
            # cp cannot read everything that it sees in a mount.
            subprocess.run(["cp", "-a", mountpoint, work / "theirs"], check=False, capture_output=True)

        as_user(copy)
    mine, theirs = (seen(work / name) for name in ("mine", "theirs"))
    for unreadable in (b"secret", b"unwritable/below/file", b"unwritable/file"):
        assert unreadable in mine
        theirs.pop(unreadable, None)
        mine.pop(unreadable)
    assert mine == theirs
    assert {each["uid"] for each in mine.values()} == {UID}
    assert mine[b"setuid"]["mode"] == "-rwxr-xr-x"
    assert mine[b"noted"]["xattrs"] == {"user.empty": b"", "user.note": b"a\0b"}


@as_root
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_tar_extracted(odd, mount, tmp_path, locale):
    root = mount("--view", "rootfs", "odd:1")
    odd("tar", "odd:1", "-o", tmp_path / "odd.tar")
    (tmp_path / "out").mkdir()
    subprocess.run(
        ["tar", "-C", tmp_path / "out", "-xpf", tmp_path / "odd.tar", "--xattrs", "--xattrs-include=*"],
        check=True,
        env={**os.environ, "LC_ALL": locale},
    )
    assert seen(tmp_path / "out") == seen(root)


def test_tar_lists_as_tar_of_the_mount(odd, mount, tmp_path):
    root = mount("--view", "rootfs", "odd:1")
    odd("tar", "odd:1", "-o", tmp_path / "mine.tar")
    subprocess.run(["tar", "-C", root, "--sort=name", "--format=pax", "-cf", tmp_path / "theirs.tar", "."], check=True)
    mine, theirs = (
        sorted(subprocess.run(["tar", "-tf", tmp_path / name], check=True, capture_output=True).stdout.splitlines())
        for name in ("mine.tar", "theirs.tar")
    )
    assert mine == theirs


def test_an_image_made_of_the_tar_is_the_same(odd, tmp_path):
    """imagefs reads back what it writes: the flattened tree as the one layer of an image has the same tar."""
    odd("tar", "odd:1", "-o", tmp_path / "first.tar")
    archive = OciArchive()
    archive.add_image([(tmp_path / "first.tar").read_bytes()], name="flat:1")
    odd("import", "-", stdin=archive.bytes())
    odd("tar", "flat:1", "-o", tmp_path / "second.tar")
    assert (tmp_path / "first.tar").read_bytes() == (tmp_path / "second.tar").read_bytes()
