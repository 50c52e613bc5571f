"""`imagefs mount`: coming up, views, live changes, ending."""

import errno
import gzip
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from support.archives import ARM64, OciArchive, directory, file, gzip_layer, layer
from support.command import Imagefs

LAYER = gzip_layer(directory("etc"), file("etc/hello", b"hello\n"), file("big", b"0123456789" * 50_000))


def archive_of(name: str, *layers: bytes) -> bytes:
    archive = OciArchive()
    archive.add_image(list(layers) or [LAYER], name=name)
    return archive.bytes()


@pytest.fixture
def app(imagefs: Imagefs) -> Imagefs:
    imagefs("import", "-", stdin=archive_of("app:1"))
    return imagefs


PROMISED = 2.0
"""Seconds within which a mount promises to show what was imported or removed."""


def eventually(condition, seconds: float = 10.0) -> bool:
    """Whether something becomes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def test_the_whole_view(app, mount):
    root = mount()
    assert os.listdir(root) == ["oci-layout", "index.json", "manifest.json", "blobs", "images"]
    tree = root / "images/docker.io/library/app:1"
    assert (tree / "etc/hello").read_bytes() == b"hello\n"
    assert (tree / "big").read_bytes() == b"0123456789" * 50_000


def test_the_layout_view_has_no_images(app, mount):
    assert os.listdir(mount("--view", "layout")) == ["oci-layout", "index.json", "manifest.json", "blobs"]


def test_the_rootfs_view_is_the_image(app, mount):
    root = mount("--view", "rootfs", "app:1")
    assert sorted(os.listdir(root)) == ["big", "etc"]
    assert (root / "etc/hello").read_text() == "hello\n"
    assert os.stat(root).st_ino == os.stat(mount("app:1") / "images/docker.io/library/app:1").st_ino


def test_default_options(app, mount):
    root = mount()
    line = next(line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {root} " in line)
    assert {"ro", "nosuid", "nodev"} <= set(line.split()[5].split(","))
    options = set(line.split()[-1].split(","))
    assert {"ro", "default_permissions"} <= options
    assert ("allow_other" in options) == (os.geteuid() == 0)
    assert f" fuse.imagefs {app.store} " in line


def test_the_source_of_the_mount_is_the_store_whatever_its_name(tmp_path):
    app = Imagefs(tmp_path / "a,b c\\d\u00e9\n")
    folder = tmp_path / "mnt"
    folder.mkdir()
    app("mount", folder)
    try:
        shown = next(line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {folder} " in line)
        assert shown.split()[-2].endswith("/a,b\\040c\\134d\u00e9\\012")
    finally:
        app("umount", folder)


def test_a_source_of_the_users_own(app, mount):
    root = mount("-o", "fsname=my\\,store")
    assert f" {root} ro" in (lines := Path("/proc/self/mountinfo").read_text())
    assert " fuse.imagefs my,store " in lines


@pytest.mark.usefixtures("both_loops")
def test_writing_is_refused(app, mount):
    root = mount("--view", "rootfs", "app:1")
    for attempt in (
        lambda: (root / "new").write_text(""),
        lambda: (root / "etc/hello").write_text(""),
        lambda: os.unlink(root / "big"),
        lambda: os.mkdir(root / "d"),
        lambda: os.chmod(root / "big", 0o600),
    ):
        with pytest.raises(OSError) as caught:
            attempt()
        assert caught.value.errno == errno.EROFS


def test_statfs_counts_the_images_and_nothing_is_free(app, mount):
    figures = os.statvfs(mount())
    assert figures.f_files == 4  # the root, etc, hello, big
    assert figures.f_blocks == 1 + (500_000 + 511) // 512
    assert (figures.f_bfree, figures.f_bavail, figures.f_ffree, figures.f_favail) == (0, 0, 0, 0)


def test_platforms_lie_side_by_side(imagefs, mount):
    archive = OciArchive()
    manifests = [archive.add_manifest([LAYER]), archive.add_manifest([layer(file("arm"))], ARM64)]
    archive.add_index(manifests, name="multi:1")
    imagefs("import", "-", stdin=archive.bytes())
    names = os.listdir(mount() / "images/docker.io/library")
    assert names[0] == "multi:1"
    assert names[1:] in (["multi:1@linux-arm64-v8"], ["multi:1@linux-amd64"])


@pytest.mark.parametrize("first", ["plain", "gzip"])
def test_one_layer_from_a_plain_and_from_a_compressed_blob(imagefs, mount, first):
    plain = layer(file("x", b"content" * 1000))
    names = {"plain": plain, "gzip": gzip.compress(plain, mtime=0)}
    for name in sorted(names, reverse=first == "plain"):
        imagefs("import", "-", stdin=archive_of(f"{name}:1", names[name]))
    for keep, drop in (("gzip:1", "plain:1"), ("gzip:1", None)):
        assert (mount("--view", "rootfs", keep) / "x").read_bytes() == b"content" * 1000
        if drop:
            imagefs("rm", drop)
            imagefs("gc")


def test_listing_images_looks_into_none_of_them(imagefs, mount):
    imagefs("import", "--no-unpack", "-", stdin=archive_of("app:1"))
    damaged = OciArchive()
    damaged.add_image([gzip_layer(file("y"))], name="damaged:1")
    imagefs("import", "--no-unpack", "-", stdin=damaged.bytes())
    (blob,) = (
        path for path in (imagefs.store / "blobs/sha256").iterdir() if path.read_bytes() == gzip_layer(file("y"))
    )
    blob.chmod(0o644)
    blob.write_bytes(b"no layer any more")
    root = mount() / "images/docker.io/library"
    assert os.listdir(root) == ["app:1", "damaged:1"]
    assert not [path for path in imagefs.files() if path.startswith("layers/")]
    assert (root / "app:1/etc/hello").read_text() == "hello\n"
    with pytest.raises(OSError) as caught:
        os.listdir(root / "damaged:1")
    assert caught.value.errno == errno.EIO
    assert (root / "app:1/etc/hello").read_text() == "hello\n", "the mount lives on"


def test_a_name_gets_the_platforms_that_come_later(imagefs, mount):
    archive = OciArchive()
    amd64, arm64 = archive.add_manifest([LAYER]), archive.add_manifest([layer(file("arm"))], ARM64)
    entry = archive.add_index([amd64, arm64], name="part:1")
    partial = archive.bytes(leave_out=[f"blobs/{amd64['digest'].replace(':', '/')}"])
    entry["annotations"]["io.containerd.image.name"] = "full:1"
    imagefs("import", "-", stdin=partial)
    imagefs("import", "-", stdin=archive.bytes())
    names = os.listdir(mount() / "images/docker.io/library")
    assert {name.replace("part", "full") for name in names} == {name for name in names if name.startswith("full")}
    assert len(names) == 4


@pytest.mark.usefixtures("both_loops")
def test_an_import_shows_within_two_seconds(app, mount):
    root = mount()
    names = root / "images/docker.io/library"
    assert os.listdir(names) == ["app:1"]
    before = (root / "index.json").read_bytes()
    number = os.stat(root / "index.json").st_ino
    with open(root / "index.json", "rb") as reader:
        app("import", "-", stdin=archive_of("other:2", layer(file("x"))))
        assert eventually(lambda: (names / "other:2/x").exists(), PROMISED)
        assert eventually(lambda: b"other:2" in (root / "index.json").read_bytes(), PROMISED)
        assert reader.read() == before, "an open reader keeps its generation"
    assert os.stat(root / "index.json").st_ino != number


@pytest.mark.usefixtures("both_loops")
def test_a_removed_image_vanishes_and_open_files_stay(app, mount):
    root = mount()
    tree = root / "images/docker.io/library/app:1"
    with open(tree / "big", "rb") as reader:
        assert reader.read(10) == b"0123456789"
        app("rm", "app:1")
        assert eventually(lambda: not tree.exists(), PROMISED)
        app("gc")
        reader.seek(499_990)
        assert reader.read() == b"0123456789"
        reader.seek(0)
        assert len(reader.read()) == 500_000
    assert eventually(lambda: not os.listdir(root / "images/docker.io/library") if _exists(root) else True)


def _exists(root) -> bool:
    return (root / "images/docker.io/library").exists()


def test_a_mount_keeps_its_images_from_gc(app, mount):
    root = mount("app:1")
    app("rm", "app:1")
    app("gc")
    assert (root / "images/docker.io/library/app:1/etc/hello").read_text() == "hello\n"
    app("umount", root)
    assert eventually(lambda: not list((app.store / "leases").iterdir()))
    app("gc")
    assert app.files() == []


def test_a_fixed_set_stays_as_it_was_named(app, mount):
    root = mount("app:1")
    app("import", "-", stdin=archive_of("app:1", layer(file("newer"))))
    time.sleep(1.6)
    assert sorted(os.listdir(root / "images/docker.io/library/app:1")) == ["big", "etc"]


@pytest.mark.usefixtures("both_loops")
def test_unpacking_waits_for_the_first_look(imagefs, mount):
    imagefs("import", "--no-unpack", "-", stdin=archive_of("app:1"))
    root = mount()
    assert not [path for path in imagefs.files() if path.startswith("layers/")]
    assert (root / "images/docker.io/library/app:1/etc/hello").read_text() == "hello\n"
    assert [path for path in imagefs.files() if path.endswith("index.sqlite")]


def test_no_index_is_opened_before_its_image_is_looked_into(app, mount):
    root = mount()
    (pid,) = _server_of(root)
    assert not [path for path in _open_files(pid) if path.endswith("index.sqlite")]
    os.stat(root / "images/docker.io/library/app:1/etc")
    assert [path for path in _open_files(pid) if path.endswith("index.sqlite")]


def _server_of(root) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (process / "cmdline").read_text()
            if "imagefs.fuse" in command and str(root) in command:
                found.append(int(process.name))
    return found


def _open_files(pid: int) -> list[str]:
    return [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]


@pytest.mark.usefixtures("both_loops")
@pytest.mark.parametrize("how", ["imagefs umount", "fusermount3 -u", "umount", "SIGTERM", "SIGINT", "SIGHUP"])
def test_ending(app, mount, how):
    if how == "umount" and os.geteuid() != 0:
        pytest.skip("umount(8) is for root")
    root = mount()
    (pid,) = _server_of(root)
    if how.startswith("SIG"):
        os.kill(pid, getattr(signal, how))
    elif how == "imagefs umount":
        app("umount", root)
    else:
        subprocess.run([*how.split(), root], check=True)
    assert eventually(lambda: not os.path.ismount(root))
    assert eventually(lambda: not _server_of(root))
    assert os.listdir(root) == []
    assert eventually(lambda: not list((app.store / "leases").iterdir())), "the lease ends with the mount"


def test_foreground_serves_until_interrupted(app, tmp_path):
    folder = tmp_path / "mnt"
    folder.mkdir()
    command = [sys.executable, "-m", "imagefs", "--store", str(app.store), "mount", "-f", str(folder)]
    process = subprocess.Popen(command)
    try:
        assert eventually(lambda: os.path.ismount(folder), 10)
        assert "images" in os.listdir(folder)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert not os.path.ismount(folder)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nowhere"], "no such folder"),
        (["image-that-is-not", "."], "image-that-is-not: no such image"),
        (["-o", "rw", "."], "read-only"),
        (["-o", "nonsense-option", "."], "nonsense-option"),
    ],
)
def test_a_mount_that_cannot_be_had(app, tmp_path, arguments, reason):
    folder = tmp_path / "mnt"
    folder.mkdir()
    result = app(
        "mount", *(str(folder / each) if each in (".", "nowhere") else each for each in arguments), check=False
    )
    assert result.status == 1
    assert reason in result.err
    assert len(result.err.splitlines()) == 1
    assert not os.path.ismount(folder)


def test_unmounting_what_is_not_mounted(app, tmp_path):
    result = app("umount", tmp_path, check=False)
    assert (result.status, result.err) == (1, f"imagefs: {tmp_path}: not an imagefs mount\n")


def test_mounting_twice_on_one_folder(app, mount):
    root = mount()
    result = app("mount", root, check=False)
    assert result.status == 1
    assert "mounted there already" in result.err
