"""`-o layers`: single layers as overlayfs has them, and `-o provenance`: where files come from."""

import json
import os
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from conformance.tree import differences, walk
from support.archives import (
    OciArchive,
    character_device,
    directory,
    file,
    gzip_layer,
    hardlink,
    layer,
    opaque,
    symlink,
    whiteout,
)  # fmt: skip

OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")

LAYERS = [
    layer(
        directory("a", mode=0o711, xattrs={"user.kept": b"1"}), file("a/x", b"x"), file("a/y", b"y"), directory("d"),
        file("d/1", b"1"), symlink("link", "a"), file("gone", b"gone"), file("first", b"linked"),
        directory("replaced"), file("replaced/old", b"old"), file("file", b"file"), directory("deep/way", mode=0o700),
    ),
    layer(
        whiteout("a/x"), directory("d", mode=0o750), opaque("d"), file("d/2", b"2"), whiteout("gone"),
        file("link/z", b"z"), hardlink("second", "first"), whiteout("nowhere/x"), symlink("replaced", "d"),
        file("deep/way/new", b"new"),
    ),
    gzip_layer(
        whiteout("a"), directory("a"), file("a/new", b"new"), file("d/3/4", b"4"), directory("file"),
        character_device("device", 1, 3), whiteout("first"), file("first", b"again"),
    ),
]  # fmt: skip


def make(imagefs, tmp_path: Path, **config) -> None:
    archive = OciArchive()
    archive.add_image(LAYERS, tag="1", **config)
    imagefs("import", "-q", archive.write(tmp_path / "t.tar"))


def test_the_layers_are_named_by_position_and_diff_id(imagefs, mount, tmp_path):
    make(imagefs, tmp_path)
    root = mount("-o", "layers")
    names = sorted(os.listdir(root / "layers"))
    diff_ids = sorted(os.listdir(imagefs.store / "layers"))
    assert [name.partition("-")[0] for name in names] == ["1", "2", "3"]
    assert sorted("sha256:" + name.partition("-")[2] for name in names) == [diff_id[:19] for diff_id in diff_ids]
    assert sorted(os.listdir(root)) == ["blobs", "images", "index.json", "layers", "manifest.json", "oci-layout"]
    assert "layers" not in os.listdir(mount())


def test_a_layer_shows_its_own_and_what_it_removes(imagefs, mount, tmp_path):
    make(imagefs, tmp_path)
    root = mount("-o", "layers") / "layers"
    (second,) = root.glob("2-*")
    found = walk(second)
    assert sorted(found) == [
        b".", b"a", b"a/x", b"a/z", b"d", b"d/2", b"deep", b"deep/way", b"deep/way/new", b"gone", b"replaced",
        b"second",
    ]  # fmt: skip
    for name in ("a/x", "gone"):
        status = os.lstat(second / name)
        assert stat.S_ISCHR(status.st_mode)
        assert status.st_rdev == 0
    assert dict(found[b"d"].xattrs) == {"trusted.overlay.opaque": b"y", "user.overlay.opaque": b"y"}
    assert (found[b"a"].mode, dict(found[b"a"].xattrs)) == (0o711, {"user.kept": b"1"}), "implied: as it is below"
    assert (second / "second").read_bytes() == b"linked"
    assert os.readlink(second / "replaced") == "d"
    (third,) = root.glob("3-*")
    assert os.getxattr(third / "a", "trusted.overlay.opaque") == b"y", "removed and made anew"
    assert (third / "first").read_bytes() == b"again"


@pytest.mark.parametrize("option", ["ro", "userxattr"])
def test_overlayfs_makes_the_image_of_the_views(imagefs, mount, tmp_path, option):
    make(imagefs, tmp_path)
    root = mount("-o", "layers")
    lower = sorted((root / "layers").iterdir(), key=lambda path: int(path.name.partition("-")[0]), reverse=True)
    merged = tmp_path / "merged"
    merged.mkdir()
    command = ["mount", "-t", "overlay", "overlay", "-o", f"{option},lowerdir={':'.join(map(str, lower))}", merged]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no overlayfs over FUSE here: {done.stderr.strip()}")
    try:
        stacked = walk(merged)
    finally:
        subprocess.run(["umount", merged], check=True)
    # It hides the attribute that it goes by, and not the other one.
    shown = {
        name: replace(entry, xattrs=tuple(each for each in entry.xattrs if each[0] not in OPAQUE))
        for name, entry in stacked.items()
    }
    # overlayfs keeps hard links inside one layer only.
    apart = [(b"second", "nlink"), (b"second", "links")]
    assert differences(walk(root / "images/localhost/t:1"), shown, ignoring=apart) == []


def test_layers_that_images_share_show_once(imagefs, mount, tmp_path):
    base, top, other = layer(directory("a")), layer(file("a/x")), layer(file("a/y"))
    archive = OciArchive()
    archive.add_image([base, top], tag="1")
    archive.add_image([base, other], tag="2")
    archive.add_image([other, top], tag="3")
    imagefs("import", "-q", archive.write(tmp_path / "t.tar"))
    names = sorted(os.listdir(mount("-o", "layers") / "layers"))
    assert len(names) == 5
    assert [name[:2] for name in names] == ["1-", "1-", "2-", "2-", "2-"]
    assert sorted(len(name.split("-")) for name in names) == [2, 2, 2, 2, 3], "one of them stands on another layer"


@pytest.mark.parametrize("arguments", [["--view", "layout"], ["-o", "noxattr"]])
def test_layers_need_their_place_and_xattrs(imagefs, tmp_path, arguments):
    make(imagefs, tmp_path)
    done = imagefs("mount", *arguments, "-o", "layers", tmp_path, check=False)
    assert done.status == 2
    assert "layers" in done.err


HISTORY = [
    {"created_by": "FROM base"}, {"created_by": "ENV a=b", "empty_layer": True}, {"created_by": "RUN two"},
    {"created_by": "COPY three"},
]  # fmt: skip


def origin(path: Path) -> dict[str, str]:
    names = ("layer", "blob", "created_by")
    return {name: os.getxattr(path, f"user.imagefs.{name}", follow_symlinks=False).decode() for name in names}


def test_provenance(imagefs, mount, tmp_path):
    make(imagefs, tmp_path, history=HISTORY)
    (row,) = json.loads(imagefs("inspect", "--json", "t:1").out)["manifests"]
    expected = [
        {"layer": each["diffID"], "blob": each["digest"], "created_by": line}
        for each, line in zip(row["layers"], ("FROM base", "RUN two", "COPY three"), strict=True)
    ]
    everything = mount("-o", "provenance") / "images/localhost/t:1"
    for root in (everything, mount("-o", "provenance", "--view", "rootfs", "t:1")):
        assert origin(root / "d/2") == expected[1]
        assert origin(root / "d") == expected[1], "the layer whose entry it is, not one that only adds to it"
        assert origin(root / "a/new") == expected[2]
        assert origin(root / "second") == expected[0], "the layer of the content"
        assert origin(root / "deep/way") == expected[0]
        assert "user.imagefs.layer" not in os.listxattr(root / "d/2")
        with pytest.raises(OSError, match="No data available"):
            os.getxattr(root / "d/2", "user.imagefs.nothing")


def test_provenance_agrees_with_which(imagefs, mount, tmp_path):
    make(imagefs, tmp_path, history=HISTORY)
    root = mount("-o", "provenance", "--view", "rootfs", "t:1")
    compared = 0
    for name, entry in walk(root).items():
        path = os.path.normpath(os.path.join(os.fsencode(root), name))
        if entry.kind not in ("file", "directory") or name == b"second":  # made by a later layer than its content
            continue
        newest = json.loads(imagefs("which", "--json", os.fsdecode(path)).out)["versions"][0]
        told = {"layer": newest["diffID"], "blob": newest["blob"], "created_by": newest["history"]["createdBy"]}
        assert origin(Path(os.fsdecode(path))) == told, name
        compared += 1
    assert compared >= 12


def test_provenance_is_off_by_default(imagefs, mount, tmp_path):
    make(imagefs, tmp_path, history=HISTORY)
    with pytest.raises(OSError, match="No data available"):
        os.getxattr(mount() / "images/localhost/t:1/d/2", "user.imagefs.layer")


def test_provenance_without_a_history(imagefs, mount, tmp_path):
    make(imagefs, tmp_path, history=[{"created_by": "does not fit"}])
    path = mount("-o", "provenance") / "images/localhost/t:1/d/2"
    assert os.getxattr(path, "user.imagefs.layer").startswith(b"sha256:")
    with pytest.raises(OSError, match="No data available"):
        os.getxattr(path, "user.imagefs.created_by")


def test_images_do_not_share_inodes_under_provenance(imagefs, mount, tmp_path):
    shared = layer(file("same", b"same"))
    archive = OciArchive()
    archive.add_image([shared, layer(file("one"))], tag="1")
    archive.add_image([gzip_layer(file("same", b"same")), layer(file("two"))], tag="2")
    imagefs("import", "-q", archive.write(tmp_path / "t.tar"))
    plain, told = mount() / "images/localhost", mount("-o", "provenance") / "images/localhost"
    assert (plain / "t:1/same").stat().st_ino == (plain / "t:2/same").stat().st_ino
    assert (told / "t:1/same").stat().st_ino != (told / "t:2/same").stat().st_ino
    assert origin_blob(told / "t:1/same") != origin_blob(told / "t:2/same")


def origin_blob(path: Path) -> bytes:
    return os.getxattr(path, "user.imagefs.blob")
