"""`imagefs which` with the path of a file in a mount."""

import errno
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest
from support.archives import OciArchive, directory, file, layer, symlink, whiteout
from support.command import Imagefs

from imagefs.browse.mounts import place_of

LAYERS = [
    layer(directory("etc"), file("etc/passwd"), file("etc/old"), symlink("bin", "usr/bin"), file("usr/bin/sh")),
    layer(file("etc/passwd", b"new"), whiteout("etc/old"), symlink("absolute", "/usr"), symlink("out", "/proc")),
]


@pytest.fixture
def app(imagefs: Imagefs) -> Imagefs:
    archive = OciArchive()
    archive.add_image(LAYERS, name="app:1")
    imagefs("import", "-", stdin=archive.bytes())
    return imagefs


@pytest.fixture
def elsewhere(tmp_path) -> Imagefs:
    """The command with a store that has nothing to do with the mount."""
    return Imagefs(tmp_path / "another store")


def meant(command, path, **options):
    return command("which", path, **options).lines[0]


def test_the_view_of_all_images(app, mount, elsewhere):
    tree = mount() / "images/docker.io/library/app:1"
    lines = elsewhere("which", tree / "etc/passwd").lines
    assert lines[0] == "docker.io/library/app:1:/etc/passwd"
    assert [line.split(",")[0] for line in lines if line.startswith("layer")] == [
        "layer 2 of 2: file", "layer 1 of 2: file",
    ]  # fmt: skip
    assert meant(elsewhere, tree) == "docker.io/library/app:1:/"
    assert meant(elsewhere, f"{tree}/usr/../etc/passwd") == "docker.io/library/app:1:/etc/passwd"
    assert not elsewhere.store.exists()


def test_the_rootfs_view(app, mount, elsewhere):
    root = mount("--view", "rootfs", "app:1")
    assert meant(elsewhere, root) == "docker.io/library/app:1:/"
    assert meant(elsewhere, root / "etc") == "docker.io/library/app:1:/etc"
    assert meant(elsewhere, root / "bin") == "docker.io/library/app:1:/bin"
    assert meant(elsewhere, root / "etc/passwd") == "docker.io/library/app:1:/etc/passwd"


def test_links_lead_where_they_lead_in_the_image(app, mount, elsewhere):
    root = mount("--view", "rootfs", "app:1")
    assert meant(elsewhere, root / "bin/sh") == "docker.io/library/app:1:/usr/bin/sh"
    assert meant(elsewhere, root / "absolute/bin/sh") == "docker.io/library/app:1:/usr/bin/sh"
    assert elsewhere("which", root / "out/self", check=False).status == 1


def test_what_is_gone(app, mount, elsewhere):
    root = mount("--view", "rootfs", "app:1")
    assert elsewhere("which", root / "etc/old").lines[1] == "layer 2 of 2: removed, by a whiteout of /etc/old"
    result = elsewhere("which", root / "etc/never", check=False)
    assert result.err == "imagefs: docker.io/library/app:1:/etc/never: no layer has it or ever had it\n"


def test_from_inside_and_over_a_link_from_outside(app, mount, elsewhere, tmp_path):
    root = mount("--view", "rootfs", "app:1")
    (tmp_path / "way in").symlink_to(root / "etc")
    assert meant(elsewhere, tmp_path / "way in/passwd") == "docker.io/library/app:1:/etc/passwd"
    assert meant(elsewhere, tmp_path / "way in") == "docker.io/library/app:1:/etc"
    for folder, path in ((root / "etc", "passwd"), (root / "usr/bin", "../../etc/passwd"), (root, "./etc/passwd")):
        assert meant_in(folder, elsewhere, path) == "docker.io/library/app:1:/etc/passwd"


def test_two_points_after_a_link_lead_above_where_it_leads(imagefs, mount, elsewhere, tmp_path):
    archive = OciArchive()
    tree = layer(directory("a/b"), file("a/x", b"right"), file("x", b"wrong"), symlink("lnk", "a/b"))
    archive.add_image([tree], name="app:1")
    imagefs("import", "-", stdin=archive.bytes())
    root = mount() / "images/docker.io/library/app:1"
    (tmp_path / "hl").symlink_to(root / "a/b")
    (tmp_path / "to file").symlink_to(root / "a/x")
    for path in (root / "lnk/../x", tmp_path / "hl/../x", tmp_path / "to file", tmp_path / "hl/./..//b/../x"):
        assert meant(elsewhere, path) == "docker.io/library/app:1:/a/x"
        assert path.read_bytes() == b"right"
    assert meant(elsewhere, tmp_path / "hl/../../x") == "docker.io/library/app:1:/x"
    for folder, path in ((root / "lnk", "../x"), (tmp_path, "hl/../x")):
        assert meant_in(folder, elsewhere, path) == "docker.io/library/app:1:/a/x"
    # Above an image there are others, and above a mount there is this machine.
    assert meant(elsewhere, f"{root}/a/../../app:1/x") == "docker.io/library/app:1:/x"
    assert meant(elsewhere, f"{root}/a/../../../../../../hl/../x") == "docker.io/library/app:1:/a/x"
    result = elsewhere("which", f"{root}/a/../../../../../..", check=False)
    assert result.err.endswith(": neither IMAGE:/PATH nor a path in an imagefs mount\n")
    result = elsewhere("which", f"{root}/x/..", check=False)
    assert result.err == "imagefs: docker.io/library/app:1:/x/..: Not a directory\n"


def test_a_folder_that_one_may_not_go_into(app, mount, monkeypatch):
    root = mount("--view", "rootfs", "app:1")
    opened = os.open

    def refuse(path, *arguments, **options):
        if path == b"bin":
            raise PermissionError(errno.EACCES, "no")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    assert place_of(os.fsencode(root / "usr/bin/../bin/sh")).rest == b"bin/../bin/sh"


def test_a_link_to_what_was_removed(app, mount, elsewhere, tmp_path):
    root = mount("--view", "rootfs", "app:1")
    (tmp_path / "old").symlink_to(root / "etc/old")
    assert meant(elsewhere, tmp_path / "old") == "docker.io/library/app:1:/etc/old"
    (tmp_path / "round").symlink_to("round")
    assert elsewhere("which", tmp_path / "round", check=False).status == 1


def meant_in(folder, imagefs, path):
    """What a path means to who stands in a folder."""
    command = [sys.executable, "-m", "imagefs", "--store", imagefs.store, "which", path]
    # The package may be found through the folder that the tests run in.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))}
    found = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True, text=True)
    return found.stdout.splitlines()[0]


@contextmanager
def bound(source, target):
    target.mkdir() if source.is_dir() else target.touch()
    subprocess.run(["mount", "--bind", source, target], check=True)
    try:
        yield target
    finally:
        subprocess.run(["umount", target], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root binds")
def test_a_bind_mount(app, mount, elsewhere, tmp_path):
    tree = mount() / "images/docker.io/library/app:1"
    with bound(tree / "etc", tmp_path / "bound: etc") as folder:
        assert meant(elsewhere, folder / "passwd") == "docker.io/library/app:1:/etc/passwd"
        assert meant(elsewhere, folder / "old") == "docker.io/library/app:1:/etc/old"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root binds")
def test_a_bind_mount_of_a_file(app, mount, elsewhere, tmp_path):
    tree = mount() / "images/docker.io/library/app:1"
    with bound(tree / "etc/passwd", tmp_path / "bound") as path:
        result = elsewhere("which", path, check=False)
        assert (result.status, result.err) == (
            1, f"imagefs: {path}: a file of an image, mounted by itself; its path there is not known\n",
        )  # fmt: skip


def test_a_command_that_is_longer_than_an_attribute_can_be(imagefs, mount):
    archive = OciArchive()
    history = [{"created_by": "é" * 32_767 + "xé" + "y" * 100_000}]
    archive.add_image([layer(file("f"))], name="app:1", history=history)
    imagefs("import", "-", stdin=archive.bytes())
    path = mount("--view", "rootfs", "app:1", "-o", "provenance") / "f"
    assert os.getxattr(path, "user.imagefs.created_by").decode() == "é" * 32_767 + "x"


def test_a_layer_alone(app, mount, elsewhere):
    root = mount("-o", "layers")
    (lower,) = (root / "layers").glob("1-*")
    assert meant(elsewhere, lower / "etc/passwd") == "docker.io/library/app:1:/etc/passwd"


def test_an_existing_file_comes_before_an_address(app, mount):
    archive = OciArchive()
    archive.add_image(LAYERS, name="app:latest")
    app("import", "-", stdin=archive.bytes())
    root = mount("--view", "rootfs", "app:1")
    assert meant_in(root.parent, app, "app:/etc/passwd") == "docker.io/library/app:latest:/etc/passwd"
    (root.parent / "app:").symlink_to(root)
    assert meant_in(root.parent, app, "app:/etc/passwd") == "docker.io/library/app:1:/etc/passwd"
    assert meant_in(root.parent, app, "app:/etc/old") == "docker.io/library/app:latest:/etc/old"
    assert meant_in(root.parent, app, "./app:/etc/old") == "docker.io/library/app:1:/etc/old"


def test_a_store_with_an_odd_name(tmp_path, mount, elsewhere):
    odd = Imagefs(tmp_path / "a store, with \\ and\ttab")
    archive = OciArchive()
    archive.add_image(LAYERS, name="app:1")
    odd("import", "-", stdin=archive.bytes())
    folder = tmp_path / "mnt"
    folder.mkdir()
    odd("mount", "--view", "rootfs", "app:1", folder)
    try:
        assert meant(elsewhere, folder / "etc/passwd") == "docker.io/library/app:1:/etc/passwd"
    finally:
        odd("umount", folder)


def test_what_is_in_no_image(app, mount, elsewhere):
    root = mount()
    for path in ("index.json", "images", "images/docker.io/library", "blobs/sha256", "nothing"):
        result = elsewhere("which", root / path, check=False)
        assert result.status == 1
        assert result.err == f"imagefs: {root / path}: in an imagefs mount, but in no image's tree\n"


def test_an_image_that_lost_its_name(app, mount, elsewhere):
    root = mount("--view", "rootfs", "app:1")
    app("tag", "app:1", "other")
    app("rm", "app:1")
    result = elsewhere("which", root / "etc/passwd", check=False)
    assert result.status == 1
    assert "has lost its name since it was mounted" in result.err
    assert len(result.err.splitlines()) == 1
