"""What stays equal: over remounts, over rebuilds of what is derived, and in two mounts of one store."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.archives import OciArchive, directory, file, gzip_layer, hardlink, symlink, whiteout, zstd_layer
from support.command import Imagefs

LOWER = gzip_layer(directory("etc"), file("etc/gone"), file("a", b"a" * 9000), hardlink("b", "a"), file("shared"))
UPPER = zstd_layer(whiteout("etc/gone"), file("etc/new/er"), symlink("etc/link", "new"), hardlink("c", "shared"))
OTHER = gzip_layer(file("etc/other"), file("a", b"not the same"))


def archive_of(name: str, *layers: bytes) -> bytes:
    archive = OciArchive()
    archive.add_image(list(layers), name=name)
    return archive.bytes()


@pytest.fixture
def app(imagefs: Imagefs) -> Imagefs:
    imagefs("import", "-", stdin=archive_of("app:1", LOWER, UPPER))
    return imagefs


def eventually(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    """Whether something becomes true in time."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def look(root: Path) -> dict[str, tuple[int, ...]]:
    """Everything that does not depend on the moment, of every path."""
    found = {}
    for path in [root, *sorted(root.rglob("*"))]:
        status = path.lstat()
        found[str(path.relative_to(root))] = (
            status.st_ino, status.st_mode, status.st_nlink, status.st_uid, status.st_gid, status.st_size,
            status.st_blocks, status.st_mtime_ns, status.st_rdev,
        )  # fmt: skip
    return found


@pytest.mark.parametrize("arguments", [[], ["app:1"], ["--view", "layout"], ["--view", "rootfs", "app:1"]])
def test_a_mount_is_equal_over_remounts(app, mount, arguments):
    app("import", "-", stdin=archive_of("other:1", LOWER, OTHER))
    root = mount(*arguments)
    before = look(root)
    app("umount", root)
    assert look(mount(*arguments)) == before


def test_a_mount_is_equal_after_a_rebuild_of_what_was_derived(app, mount):
    root = mount()
    before = look(root)
    app("umount", root)
    shutil.rmtree(app.store / "layers")
    assert look(mount()) == before


def test_two_mounts_of_one_store_show_the_same(app, mount):
    one, other = mount(), mount()
    assert look(one) == look(other)
    app("import", "-", stdin=archive_of("other:1", LOWER, OTHER))
    app("tag", "other:1", "more:1")
    app("rm", "app:1")
    for root in (one, other):
        assert eventually(
            lambda root=root: (
                os.listdir(root / "images/docker.io/library") == ["more:1", "other:1"]
                and b"app:1" not in (root / "index.json").read_bytes()
            )
        )
    assert look(one) == look(other)
    assert look(one) == look(mount())
    for each in ("index.json", "manifest.json", "oci-layout"):
        assert (one / each).read_bytes() == (other / each).read_bytes()
