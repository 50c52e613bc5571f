"""Mounts whose process was killed, or stopped: seen, told of and cleared away; and how a mount is undone."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.archives import OciArchive, file, gzip_layer
from support.command import Result
from support.inside import InsideImagefs
from support.ordinary import ordinary_user
from support.served import eventually, lives, process_of

TREE = "images/docker.io/library/app:1"


@pytest.fixture
def imagefs(tmp_path) -> InsideImagefs:
    return InsideImagefs(tmp_path / "store")


@pytest.fixture
def app(imagefs) -> InsideImagefs:
    archive = OciArchive()
    archive.add_image([gzip_layer(file("hello", b"hello\n"))], name="app:1")
    imagefs("import", "-", stdin=archive.bytes())
    return imagefs


def kill(root: Path) -> None:
    process = process_of(root)
    os.kill(process, signal.SIGKILL)
    assert eventually(lambda: not lives(process))


def listed(app: Callable[..., Result], root: Path) -> dict[str, object]:
    (mount,) = [each for each in json.loads(app("mounts", "--json").out) if each["mountpoint"] == str(root)]
    return mount


@pytest.mark.parametrize("arguments", [(), ("app:1",), ("--view", "rootfs", "app:1")])
def test_umount_clears_a_dead_mount_and_says_so(app, mount, arguments):
    root = mount(*arguments)
    os.listdir(root)
    kill(root)
    result = app("umount", root)
    assert result.err == f"imagefs: {root}: cleared a mount whose process was gone\n"
    assert not os.path.ismount(root)
    assert os.listdir(root) == []


@pytest.mark.parametrize("arguments", [(), ("app:1",)])
def test_mount_clears_a_dead_mount_and_says_so(app, mount, arguments):
    root = mount(*arguments)
    kill(root)
    result = app("mount", *arguments, root)
    assert result.err == f"imagefs: {root}: cleared a mount whose process was gone\n"
    assert (root / TREE / "hello").read_text() == "hello\n"
    app("umount", root)
    assert os.listdir(root) == []


def test_a_dead_mount_that_somebody_stands_in_and_reads(app, mount):
    root = mount("app:1")
    with open(root / TREE / "hello", "rb"):
        sleeper = subprocess.Popen(["sleep", "60"], cwd=root / TREE)
        try:
            kill(root)
            assert app("umount", root).err == f"imagefs: {root}: cleared a mount whose process was gone\n"
            assert os.listdir(root) == []
        finally:
            sleeper.kill()
            sleeper.wait()


def test_an_ordinary_user_clears_their_own(tmp_path_factory):
    archive = OciArchive()
    archive.add_image([gzip_layer(file("hello", b"hello\n"))], name="app:1")
    with ordinary_user(tmp_path_factory.mktemp("ordinary")) as user:
        user.imagefs("import", "-", stdin=archive.bytes())
        root = user.home / "mnt"
        user("mkdir", root)
        user.imagefs("mount", root)
        mounted = listed(user.imagefs, root)
        user("kill", "-KILL", str(mounted["pid"]))
        assert eventually(lambda: listed(user.imagefs, root)["state"] == "dead")
        assert "cleared a mount whose process was gone" in user.imagefs("mount", root).err
        assert user("cat", root / TREE / "hello").out == "hello\n"
        user.imagefs("umount", root)
        assert user("ls", root).out == ""


def test_live_and_dead_ones_are_listed(app, mount):
    everything, one = mount(), mount("--view", "rootfs", "app:1")
    assert listed(app, everything) == {
        "mountpoint": str(everything), "store": str(app.store), "images": None, "more_images": 0, "view": "all",
        "pid": process_of(everything), "state": "live",
    }  # fmt: skip
    kill(everything)
    assert listed(app, everything) == {
        "mountpoint": str(everything), "store": str(app.store), "images": None, "more_images": 0, "view": None,
        "pid": None, "state": "dead",
    }  # fmt: skip
    head, *lines = app("mounts").lines
    rows = [line.split() for line in lines if str(app.store) in line]
    assert head.split() == ["MOUNTPOINT", "STORE", "IMAGES", "VIEW", "PID", "STATE"]
    assert rows == [
        [str(everything), str(app.store), "-", "-", "-", "dead"],
        [str(one), str(app.store), "app:1", "rootfs", str(process_of(one)), "live"],
    ]


def test_a_stopped_process_keeps_nobody_waiting(app, mount):
    root = mount()
    process = process_of(root)
    os.kill(process, signal.SIGSTOP)
    try:
        assert listed(app, root)["state"] == "silent"
        refused = app("stats", root, check=False)
        assert refused.err == f"imagefs: {root}: its process does not answer\n"
        again = app("mount", root, check=False)
        assert (again.status, "mounted there already" in again.err) == (1, True)
        app("umount", "--lazy", root)
        assert not os.path.ismount(root)
    finally:
        os.kill(process, signal.SIGCONT)
    assert eventually(lambda: not lives(process))


def test_a_mount_in_use_is_named_and_can_be_detached(app, mount):
    root = mount()
    process = process_of(root)
    with open(root / TREE / "hello", "rb", buffering=0) as reader:
        refused = app("umount", root, check=False)
        assert refused.status == 1
        assert refused.err == (
            f"imagefs: {root}: in use: somebody has a file in it open, or stands in it; --lazy detaches it anyway\n"
        )
        assert os.path.ismount(root)
        app("umount", "--lazy", root)
        assert not os.path.ismount(root)
        assert reader.read() == b"hello\n", "it goes on for as long as it is open"
        assert lives(process)
    assert eventually(lambda: not lives(process))


def test_gc_right_after_umount_frees_what_was_mounted(app, mount):
    root = mount("app:1")
    app("rm", "app:1")
    app("gc")
    assert app.files() != []
    app("umount", root)
    app("gc")
    assert app.files() == []


def test_one_that_is_mounted_elsewhere_too_is_not_waited_for(app, mount, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("bind mounts are for root")
    root = mount()
    process = process_of(root)
    other = tmp_path / "other"
    other.mkdir()
    subprocess.run(["mount", "--bind", root, other], check=True)
    try:
        app("umount", root)
        assert lives(process)
        assert (other / TREE / "hello").read_text() == "hello\n"
    finally:
        subprocess.run(["umount", other], check=True)
    assert eventually(lambda: not lives(process))


def test_what_is_no_mount_is_not_cleared(app, tmp_path):
    refused = app("umount", "--lazy", tmp_path, check=False)
    assert (refused.status, refused.err) == (1, f"imagefs: {tmp_path}: not an imagefs mount\n")
    assert not os.path.ismount(tmp_path)
