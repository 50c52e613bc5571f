"""`imagefs check`: what is there of images, unpacked and mounted, as `ctr images check` tells it."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from support.archives import AMD64, ARM64, OciArchive, digest_of, file, gzip_layer
from support.inside import InsideImagefs
from support.store import bring

from imagefs import Store
from imagefs.store import store as store_module
from imagefs.tree.mounted import MountedImages

ONE, TWO, ABSENT = gzip_layer(file("one")), gzip_layer(file("two")), gzip_layer(file("absent"))


@pytest.fixture
def imagefs(tmp_path) -> InsideImagefs:
    return InsideImagefs(tmp_path / "store")


@pytest.fixture
def several(imagefs) -> InsideImagefs:
    """One image that is ready, one that shares a layer and has another one packed, one that lacks a layer."""
    archive = OciArchive()
    archive.add_image([ONE], name="ready:1")
    bring(imagefs, archive)
    archive = OciArchive()
    archive.add_image([ONE, TWO], name="partly:1")
    archive.add_image([ONE, ABSENT], name="lacks:1")
    del archive.blobs[digest_of(ABSENT)]
    bring(imagefs, archive, unpacking=False, skip_missing=True)
    return imagefs


def found(imagefs: InsideImagefs, *images: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(imagefs("check", "--json", *images).out)["images"]}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_all_images(several):
    header, *lines = several("check").lines
    assert header.split() == ["NAME", "STATUS", "SIZE", "UNPACKED", "MOUNTED"]
    rows = {cells(line)[0]: cells(line)[1:] for line in lines}
    assert [rows[f"docker.io/library/{name}:1"][0] for name in ("ready", "partly", "lacks")] == [
        "complete (3/3)",
        "complete (4/4)",
        "incomplete (3/4)",
    ]
    assert [rows[f"docker.io/library/{name}:1"][2] for name in ("ready", "partly", "lacks")] == [
        "true",
        "1 of 2 layers",
        "false",
    ]
    assert {row[3] for row in rows.values()} == {"-"}


def test_sizes_are_those_that_the_manifest_says_where_blobs_are_absent(several):
    row = found(several, "lacks:1")["docker.io/library/lacks:1"]
    assert row["neededSize"] - row["presentSize"] == len(ABSENT)
    assert (row["present"], row["needed"], row["complete"]) == (3, 4, False)


def test_images_that_are_named_each_once(several):
    assert list(found(several, "ready:1", "partly:1", "ready:1")) == [
        "docker.io/library/ready:1",
        "docker.io/library/partly:1",
    ]


def test_quiet_names_what_is_complete_and_unpacked(several):
    assert several("check", "-q").lines == ["docker.io/library/ready:1"]
    assert several("check", "-q", "lacks:1").lines == []
    several("ls", "partly:1:/")
    assert several("check", "-q").lines == ["docker.io/library/partly:1", "docker.io/library/ready:1"]


def test_a_check_changes_nothing(several):
    before = several.files()
    several("check")
    assert several.files() == before
    assert not found(several)["docker.io/library/partly:1"]["unpacked"]


def test_a_store_that_cannot_be_written_to(several, monkeypatch):
    catalog = several.store / "catalog.sqlite"
    before = catalog.read_bytes()
    monkeypatch.setattr(store_module, "obstacle", lambda folder, parts: f"{folder}: read-only")
    assert several("check", "-q").lines == ["docker.io/library/ready:1"]
    assert len(several("images").lines) == 4
    assert several("inspect", "ready:1").lines[0] == "docker.io/library/ready:1"
    assert len(several("usage", "ready:1").lines) == 4
    assert catalog.read_bytes() == before


def test_a_layer_whose_derived_files_are_gone_is_not_unpacked(several):
    (several.store / "layers" / next(iter(several.store.joinpath("layers").iterdir())).name / "layer.tar").unlink()
    row = found(several, "ready:1")["docker.io/library/ready:1"]
    assert (row["unpacked"], row["unpackedLayers"], row["layers"]) == (False, 0, 1)


def test_platforms_that_are_elsewhere_are_not_missed(imagefs):
    archive = OciArchive()
    pair = [archive.add_manifest([ONE], AMD64), archive.add_manifest([TWO], ARM64)]
    archive.add_index(pair, name="both:1")
    del archive.blobs[pair[1]["digest"]], archive.blobs[digest_of(TWO)]
    bring(imagefs, archive)
    (row,) = found(imagefs).values()
    assert (row["complete"], row["platforms"], row["unpacked"]) == (True, ["linux/amd64"], True)


def test_what_is_no_image_has_nothing_to_unpack(imagefs):
    archive = OciArchive()
    chart = {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": archive.add_blob(b"{}"), "size": 2}
    document = {"schemaVersion": 2, "config": chart, "layers": []}
    entry = archive.name(archive.add_document(document, "application/vnd.oci.image.manifest.v1+json"), name="chart:1")
    size = f"{entry['size'] + 2} bytes"
    bring(imagefs, archive)
    assert cells(imagefs("check").lines[1])[1:] == ["complete (2/2)", f"{size}/{size}", "-", "-"]
    assert imagefs("check", "-q").lines == []


def test_an_image_without_a_name_is_told_by_its_digest(imagefs):
    archive = OciArchive()
    digest = archive.add_image([ONE])["digest"]
    bring(imagefs, archive)
    assert cells(imagefs("check").lines[1])[0] == digest[:19]
    assert imagefs("check", "-q", digest[:19]).lines == [digest]
    assert list(found(imagefs)) == [digest]


def test_mounts(several, tmp_path):
    with Store(several.store) as store:
        images = MountedImages(store, ["ready:1"], f"mount {tmp_path}/a\x1b[31m")
        everything = MountedImages(store, (), "mount /b")
        assert found(several)["docker.io/library/ready:1"]["mounted"] == ["/b", f"{tmp_path}/a\x1b[31m"]
        assert found(several)["docker.io/library/partly:1"]["mounted"] == ["/b"]
        shown = several("check", "ready:1").out
        assert f"/b,{tmp_path}/a\\x1b[31m" in shown
        assert "\x1b" not in shown
        images.close()
        everything.close()
    assert found(several)["docker.io/library/ready:1"]["mounted"] == []


def test_a_mount_whose_process_died_is_none(several):
    with Store(several.store) as store:
        lease = store.lease("mount /gone")
        lease.protect("application/vnd.oci.image.manifest.v1+json", store.find_image("ready:1").target.digest)
        lease.let_go()
    assert found(several)["docker.io/library/ready:1"]["mounted"] == []


def test_errors_come_after_what_could_be_checked(several):
    result = several("check", "nowhere", "ready:1", check=False)
    assert (result.status, result.err) == (1, "imagefs: nowhere: no such image\n")
    assert "docker.io/library/ready:1" in result.out


def damage(store: Path, digest: str) -> None:
    path = store / "blobs" / digest.replace(":", "/")
    path.chmod(0o644)
    path.write_bytes(b"no json")


def test_a_damaged_image_is_an_error_and_hides_no_other(several):
    row = found(several)["docker.io/library/partly:1"]
    damage(several.store, row["digest"])
    result = several("check", check=False)
    assert result.status == 1
    assert f"imagefs: docker.io/library/partly:1: {row['digest']}: not a valid manifest" in result.err
    rows = {cells(line)[0]: cells(line)[1:] for line in result.lines}
    assert rows["docker.io/library/partly:1"] == ["damaged", "-", "-", "-"]
    assert rows["docker.io/library/ready:1"][0] == "complete (3/3)"
    assert several("check", "-q", "ready:1").lines == ["docker.io/library/ready:1"]


def test_quiet_json_is_refused(several):
    with pytest.raises(click.UsageError, match="exclude each other"):
        several("check", "-q", "--json")
