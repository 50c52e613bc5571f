"""Nothing of an image leads out of the store, of the folder that is copied to, or of the tar that is written."""

import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from support.archives import (
    AMD64,
    OciArchive,
    TarEntry,
    block_device,
    character_device,
    digest_of,
    directory,
    file,
    hardlink,
    layer,
    symlink,
)
from support.inside import InsideImagefs


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that is nobody's business."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_text("secret")
    (folder / "below").mkdir()
    return folder


@pytest.fixture
def imagefs(tmp_path: Path) -> InsideImagefs:
    return InsideImagefs(tmp_path / "store")


def seen(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """All that there is in a folder: modes, numbers of links and contents."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        found[str(path)] = (status.st_mode, status.st_nlink, path.read_bytes() if path.is_file() else b"")
    return found


def layers(outside: Path) -> list[bytes]:
    """An image that tries every way out that a layer has words for."""
    out, up = str(outside), "../" * 40 + str(outside).lstrip("/")
    lower = layer(
        symlink("absolute", out),
        symlink("climbing", up),
        symlink("to-secret", f"{out}/secret"),
        symlink("root", "/"),
        symlink("here", "."),
        directory("folder"),
        symlink("folder/out", out),
        hardlink("hard-absolute", f"{out}/secret"),
        hardlink("hard-climbing", f"{up}/secret"),
        hardlink("hard-over-link", "absolute/secret"),
        file(f"{up}/climbed", b"evil"),
        file(f"{out}/absolute", b"evil"),
        file("..//../up", b"evil"),
        character_device("null", 1, 3, mode=0o666),
        block_device("disk", 8, 0, mode=0o666),
        file("setuid", b"#!/bin/sh", mode=0o6777),
        file("attribute", b"", xattrs={"trusted.overlay.opaque": b"y", "user.a/../../b": b"1"}),
    )
    upper = layer(
        file("absolute/evil", b"evil"),
        file("climbing/evil", b"evil"),
        file("folder/out/evil", b"evil"),
        file("to-secret", b"evil"),
        file("root/from-root", b"evil"),
        TarEntry("absolute/.wh.secret"),
        TarEntry("climbing/.wh..wh..opq"),
        hardlink("absolute/hard", "climbing/secret"),
    )
    return [lower, upper]


def bring(imagefs: InsideImagefs, outside: Path) -> None:
    archive = OciArchive()
    archive.add_image(layers(outside), name="evil:1")
    imagefs("import", "-q", "-", stdin=archive.bytes())


def test_copies_stay_in_their_folder(imagefs, outside, tmp_path):
    before = seen(outside)
    bring(imagefs, outside)
    target = tmp_path / "target"
    target.mkdir()
    for place in ("/", "/absolute/", "/folder", "/climbing", "/root/"):
        _copied(imagefs, f"evil:1:{place}", target)
    _copied(imagefs, "evil:1:/", target)  # where links of the first time lie now
    assert seen(outside) == before
    assert sorted(os.listdir(tmp_path)) == ["outside", "store", "target"]
    assert os.readlink(target / "folder" / "out") == str(outside)


def test_links_at_the_destination_are_not_followed(imagefs, outside, tmp_path):
    archive = OciArchive()
    archive.add_image([layer(file("d/evil", b"evil"), file("f", b"evil"), file("g/x/y", b"evil"))], name="evil:1")
    imagefs("import", "-q", "-", stdin=archive.bytes())
    target = tmp_path / "target"
    target.mkdir()
    (target / "d").symlink_to(outside)
    (target / "f").symlink_to(outside / "secret")
    (target / "g").mkdir()
    (target / "g" / "x").symlink_to(outside / "below")
    before = seen(outside)
    assert _copied(imagefs, "evil:1:/", target) == 1
    assert seen(outside) == before
    assert (target / "f").read_bytes() == b"evil" and not (target / "f").is_symlink()


def _copied(imagefs: InsideImagefs, source: str, target: Path) -> int:
    try:
        return imagefs("cp", source, target, check=False).status
    except SystemExit as ended:
        return int(ended.code or 0)


def test_a_tar_has_no_way_out_of_where_it_is_extracted(imagefs, outside, tmp_path):
    bring(imagefs, outside)
    path = tmp_path / "out.tar"
    imagefs("tar", "evil:1", "-o", path)
    with tarfile.open(path) as archive:
        members = archive.getmembers()
    links = {member.name.rstrip("/") for member in members if member.issym()}
    names = {member.name.rstrip("/") for member in members}
    for member in members:
        parts = member.name.split("/")
        assert not member.name.startswith("/") and ".." not in parts
        assert not links.intersection("/".join(parts[:end]) for end in range(1, len(parts)))
        if member.islnk():
            assert member.linkname in names


def test_members_of_an_archive_are_no_paths(imagefs, outside, tmp_path):
    before = seen(outside)
    blob = layer(file("a"))
    config = json.dumps({**AMD64, "rootfs": {"type": "layers", "diff_ids": [digest_of(blob)]}}).encode()
    up = "../" * 30 + str(outside).lstrip("/")
    for name in (f"{up}/layer.tar", f"{outside}/layer.tar", "a/../../layer.tar"):
        manifest = json.dumps([{"Config": "c.json", "RepoTags": ["app:1"], "Layers": [name]}]).encode()
        members = [
            file("manifest.json", manifest),
            file("c.json", config),
            symlink("a", str(outside)),
            file(name, blob),
        ]
        imagefs("import", "-q", "-", stdin=layer(*members))
        assert seen(outside) == before
    assert sorted(os.listdir(tmp_path)) == ["outside", "store"]


@pytest.mark.parametrize("kind", ["symlink", "hardlink"])
def test_links_in_an_archive_lead_to_its_members_only(imagefs, outside, tmp_path, kind):
    secret = layer(file("a"))
    (outside / "layer.tar").write_bytes(secret)
    config = json.dumps({**AMD64, "rootfs": {"type": "layers", "diff_ids": [digest_of(secret)]}}).encode()
    manifest = json.dumps([{"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["l/layer.tar"]}]).encode()
    link = (symlink if kind == "symlink" else hardlink)("l/layer.tar", str(outside / "layer.tar"))
    archive = layer(file("manifest.json", manifest), file("c.json", config), link)
    result = imagefs("import", "-q", "-", stdin=archive, check=False)
    assert result.status == 1
    assert "the archive does not have it" in result.err
    assert imagefs.files() == []


@pytest.mark.parametrize(
    "digest", ["sha256:../../../outside/secret", "sha256:" + "../" * 21 + "x", "../x:" + "0" * 64, "sha256:/etc/passwd"]
)
def test_digests_are_no_paths(imagefs, tmp_path, digest):
    archive = OciArchive()
    archive.manifests = [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1}]
    result = imagefs("import", "-q", "-", stdin=archive.bytes(), check=False)
    assert (result.status, "index.json: not a valid index" in result.err) == (1, True)
    folder = archive.write_folder(tmp_path / "layout")
    result = imagefs("import", "-q", folder, check=False)
    assert (result.status, "index.json: not a valid index" in result.err) == (1, True)


def test_devices_links_and_fifos_of_an_archive_are_not_opened(imagefs, tmp_path):
    archive = io.BytesIO(OciArchive().bytes())
    with tarfile.open(fileobj=archive) as read:
        names = read.getnames()
    made = layer(*(TarEntry(name, kind) for name in names for kind in (tarfile.FIFOTYPE, tarfile.CHRTYPE)))
    result = imagefs("import", "-q", "-", stdin=made, check=False)
    assert result.status == 1
    assert imagefs.files() == []


def test_a_layout_folder_with_links_to_elsewhere(imagefs, outside, tmp_path):
    """Whoever names a folder means what its links lead to; what is there still has to have its digest."""
    archive = OciArchive()
    archive.add_image([layer(file("a"))], name="app:1")
    folder = archive.write_folder(tmp_path / "layout")
    blob = next((folder / "blobs" / "sha256").iterdir())
    blob.unlink()
    blob.symlink_to(outside / "secret")
    result = imagefs("import", "-q", folder, check=False)
    assert result.status == 1
    assert imagefs.files() == []
