"""`imagefs export --base`: an archive without what its receiver has."""

import io
import os
import socket
import subprocess
import tarfile
from pathlib import Path

import pytest
from support.archives import (
    AMD64,
    ARM64,
    OciArchive,
    digest_of,
    docker_archive,
    file,
    gzip_layer,
    layer,
)
from support.exported import OWN, S390X, SHARED, blobs, config_of, grow, members, names, rows, take, windows
from support.inside import InsideImagefs

from imagefs import ImportOptions, Store, import_archive


@pytest.fixture
def imagefs(tmp_path) -> InsideImagefs:
    return InsideImagefs(tmp_path / "store")


@pytest.fixture
def grown(imagefs) -> InsideImagefs:
    grow(imagefs)
    return imagefs


def base_of(form: str, imagefs: InsideImagefs, folder: Path) -> str | Path:
    """The first image as a base: by name, or in a file or folder."""
    if form == "image":
        return "app:1"
    path = folder / "base"
    imagefs("export", "-o", path, "app:1")
    data = path.read_bytes()
    if form == "gzip":
        path.write_bytes(subprocess.run(["gzip", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout)
    elif form == "folder":
        path.unlink()
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extractall(path, filter="data")
    return path


@pytest.mark.parametrize("form", ["image", "layout", "gzip", "folder"])
@pytest.mark.parametrize("first", ["base", "delta"])
def test_a_delta_completes_with_its_base(grown, tmp_path, form, first):
    target, _ = rows(grown)["docker.io/library/app:2"]
    grown("export", "-o", tmp_path / "whole.tar", "app:1")
    grown("export", "--base", base_of(form, grown, tmp_path), "-o", tmp_path / "delta.tar", "app:2")
    assert "manifest.json" not in members(tmp_path / "delta.tar")
    assert blobs(tmp_path / "delta.tar") == {target, config_of(grown, "app:2"), digest_of(OWN)}

    other = InsideImagefs(tmp_path / "other")
    if first == "base":
        other("import", tmp_path / "whole.tar")
        other("import", tmp_path / "delta.tar")
    else:
        refusal = other("import", tmp_path / "delta.tar", check=False)
        assert (refusal.status, rows(other)) == (1, {})
        with Store(other.store) as store, open(tmp_path / "delta.tar", "rb") as stream:
            (record,) = import_archive(store, stream, ImportOptions(skip_missing=True))
            assert (record.complete, store.catalog.slots(record.name)) == (False, [])
        other("import", tmp_path / "whole.tar")
    assert rows(other) == rows(grown)
    with Store(other.store) as store:
        assert [slot.manifest for slot in store.catalog.slots("docker.io/library/app:2")] == [target]
    assert other("ls", "app:2").lines == ["own", "shared"]
    for name in ("app:1", "app:2"):
        grown("export", "-o", tmp_path / "mine.tar", name)
        other("export", "-o", tmp_path / "theirs.tar", name)
        assert (tmp_path / "mine.tar").read_bytes() == (tmp_path / "theirs.tar").read_bytes()


@pytest.mark.parametrize("form", ["docker", "docker save"])
def test_a_docker_archive_as_a_base(imagefs, tmp_path, form):
    """Its members have no digests for names: their content has."""
    low, high = layer(file("low", b"l" * 9000)), layer(file("high"))
    repeated = "symlink" if form == "docker save" else "once"
    base = docker_archive([([low], ["app:1"]), ([low], ["same:1"])], repeated=repeated, prefix="./")
    (tmp_path / "base.tar").write_bytes(base)
    imagefs("import", "-", stdin=docker_archive([([low, high], ["app:2"])]))
    imagefs("export", "--base", tmp_path / "base.tar", "-o", tmp_path / "delta.tar", "app:2")
    target, _ = rows(imagefs)["docker.io/library/app:2"]
    assert blobs(tmp_path / "delta.tar") == {target, config_of(imagefs, "app:2"), digest_of(high)}
    other = InsideImagefs(tmp_path / "other")
    other("import", tmp_path / "base.tar")
    other("import", tmp_path / "delta.tar")
    assert other("ls", "app:2").lines == ["high", "low"]


def test_several_bases_and_all_tags_of_one(grown, tmp_path):
    added = gzip_layer(file("added"))
    archive = OciArchive()
    entry = archive.add_image([SHARED, OWN, added], name="new:1")
    grown("import", "-", stdin=archive.bytes())
    config = config_of(grown, "new:1")
    for bases in (
        ["--base", "app"],
        ["--base", "app:1", "--base", base_of("layout", grown, tmp_path), "--base", "app:2"],
    ):
        grown("export", *bases, "-o", tmp_path / "delta.tar", "new:1")
        assert blobs(tmp_path / "delta.tar") == {entry["digest"], config, digest_of(added)}


def test_a_base_that_holds_all_of_it_leaves_the_names(grown, tmp_path):
    grown("export", "--base", "app:2", "-o", tmp_path / "delta.tar", "app:2")
    assert (names(tmp_path / "delta.tar"), blobs(tmp_path / "delta.tar")) == (["docker.io/library/app:2"], set())


def test_a_base_has_what_an_export_of_it_brings(imagefs, tmp_path):
    """Of a platform that is incomplete, the receiver has nothing, though some of it is here."""
    base = OciArchive()
    only_there = gzip_layer(file("only", b"arm64"))
    manifests = [base.add_manifest([SHARED], AMD64), base.add_manifest([only_there, OWN], ARM64)]
    index = base.add_index(manifests, name="app:1")
    take(imagefs, base, digest_of(OWN))
    archive = OciArchive()
    entry = archive.add_index([archive.add_manifest([SHARED, only_there], S390X), manifests[0]], name="app:2")
    archive.blobs[manifests[0]["digest"]] = base.blobs[manifests[0]["digest"]]
    take(imagefs, archive)
    imagefs("export", "-o", tmp_path / "base.tar", "app:1")
    assert index["digest"] not in blobs(tmp_path / "base.tar")
    imagefs("export", "--base", "app:1", "-o", tmp_path / "delta.tar", "app:2")
    imagefs("export", "--base", tmp_path / "base.tar", "-o", tmp_path / "same.tar", "app:2")
    assert (tmp_path / "delta.tar").read_bytes() == (tmp_path / "same.tar").read_bytes()
    other = InsideImagefs(tmp_path / "other")
    other("import", tmp_path / "base.tar")
    other("import", tmp_path / "delta.tar")
    assert rows(other)["docker.io/library/app:2"] == (entry["digest"], ["linux/s390x", "linux/amd64"])


@pytest.mark.parametrize("there", [True, False])
def test_a_base_without_what_is_not_to_be_given_away(imagefs, tmp_path, there):
    archive, _ = windows("windows:1")
    take(imagefs, archive, *([] if there else [digest_of(SHARED)]))
    imagefs("export", "--base", "windows:1", "-o", tmp_path / "delta.tar", "--skip-missing", "windows:1")
    assert blobs(tmp_path / "delta.tar") == set()


def test_a_base_of_which_nothing_is_complete(grown, tmp_path):
    archive = OciArchive()
    archive.add_image([OWN, gzip_layer(file("elsewhere"))], name="partial:1")
    take(grown, archive, digest_of(gzip_layer(file("elsewhere"))))
    refusal = grown("export", "--base", "partial:1", "-o", tmp_path / "delta.tar", "app:2", check=False)
    assert refusal.status == 1
    assert refusal.err.startswith("imagefs: docker.io/library/partial:1: no platform of it is complete in the store")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "base: no such image"),
        (b"", "base: not an image archive"),
        (b"nonsense" * 100, "base: not an image archive"),
        ("folder", "base: a folder without index.json"),
        ("truncated", "base: blobs/sha256/"),
        ("socket", "base: No such device or address"),
    ],
)
def test_what_is_no_base(grown, tmp_path, content, problem):
    path = tmp_path / "base"
    if content == "folder":
        path.mkdir()
    elif content == "truncated":
        grown("export", "-o", path, "app:1")
        os.truncate(path, 9 * 512)
    elif content == "socket":
        socket.socket(socket.AF_UNIX).bind(str(path))
    elif content is not None:
        path.write_bytes(content)
    refusal = grown("export", "--base", path, "-o", tmp_path / "delta.tar", "app:2", check=False)
    assert (refusal.status, len(refusal.err.splitlines())) == (1, 1)
    assert problem in refusal.err
    assert not (tmp_path / "delta.tar").exists()
