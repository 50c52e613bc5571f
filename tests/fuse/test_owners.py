"""`-o owner=`, `uidmap=` and `gidmap=`, as whoever runs the tests."""

import os
from pathlib import Path

import pytest
from support.archives import OciArchive, directory, file, gzip_layer, hardlink, symlink
from support.command import Imagefs

LAYER = gzip_layer(
    directory("d", mode=0o000, uid=5, gid=6),
    file("d/private", b"x", mode=0o000, uid=5, gid=6),
    file("set", mode=0o6711, uid=0, gid=100_000),
    hardlink("also", "set"),
    symlink("link", "set", uid=7, gid=7),
)
PATHS = ["d", "set", "also", "link"]
OVERFLOW = int(Path("/proc/sys/kernel/overflowuid").read_text())


@pytest.fixture
def app(imagefs: Imagefs) -> Imagefs:
    archive = OciArchive()
    archive.add_image([LAYER], name="app:1")
    imagefs("import", "-", stdin=archive.bytes())
    return imagefs


def look(root: Path, *paths: str) -> list[tuple[int, int, int]]:
    found = [os.lstat(root / path) for path in paths or PATHS]
    return [(status.st_uid, status.st_gid, status.st_mode & 0o7777) for status in found]


def test_the_images_owners(app, mount):
    images = [(5, 6, 0), (0, 100_000, 0o6711), (0, 100_000, 0o6711), (7, 7, 0o777)]
    assert look(mount("--view", "rootfs", "-o", "owner=image", "app:1")) == images
    if os.geteuid() == 0:
        assert look(mount("--view", "rootfs", "app:1")) == images, "which is root's default"


def test_the_mounters(app, mount):
    me = os.getuid(), os.getgid()
    root = mount("--view", "rootfs", "-o", "owner=me", "app:1")
    assert look(root) == [(*me, 0o500), (*me, 0o6711), (*me, 0o6711), (*me, 0o777)]
    assert look(root, "d/private") == [(*me, 0o400)]
    with os.scandir(root) as listing:
        assert {entry.stat(follow_symlinks=False).st_uid for entry in listing} == {me[0]}


def test_maps(app, mount):
    root = mount("--view", "rootfs", "-o", "uidmap=0:1000:1,uidmap=5:2000:2", "-o", "gidmap=7:0:1", "app:1")
    assert look(root) == [
        (2000, OVERFLOW, 0), (1000, OVERFLOW, 0o6711), (1000, OVERFLOW, 0o6711), (OVERFLOW, 0, 0o777),
    ]  # fmt: skip


def test_a_map_of_one_kind_leaves_the_other(app, mount):
    assert look(mount("--view", "rootfs", "-o", "uidmap=0:1000:10", "app:1"), "set", "link") == [
        (1000, 100_000, 0o6711), (1007, 7, 0o777),
    ]  # fmt: skip
    assert look(mount("--view", "rootfs", "-o", "owner=image,gidmap=0:1000:10", "app:1"), "set", "link") == [
        (0, OVERFLOW, 0o6711), (7, 1007, 0o777),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "owner"),
    [
        ("owner=image", (0, 0)),
        ("owner=me", (os.getuid(), os.getgid())),
        # The layout is root's, and a map maps root.
        ("uidmap=0:1000:1,gidmap=0:1001:1", (1000, 1001)),
    ],
)
def test_the_layouts_own_files(app, mount, options, owner):
    root = mount("-o", options)
    layout = ["", "oci-layout", "index.json", "manifest.json", "blobs", "blobs/sha256", "images", "images/docker.io"]
    blob = f"blobs/sha256/{os.listdir(root / 'blobs/sha256')[0]}"
    assert {found[:2] for found in look(root, *layout, blob)} == {owner}
