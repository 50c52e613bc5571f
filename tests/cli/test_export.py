"""`imagefs export` and `imagefs save`: which images, equal bytes, usage."""

import json
import os
import pty
import subprocess
import sys
import tarfile

import pytest
from support.archives import (
    AMD64,
    ARM64,
    CONTAINERD_NAME,
    OCI_MANIFEST,
    REF_NAME,
    OciArchive,
    digest_of,
    file,
    gzip_layer,
)
from support.command import Imagefs
from support.exported import OWN, S390X, SHARED, Multi, dockers, entries, grow, names, rows, take
from support.inside import InsideImagefs


@pytest.fixture
def imagefs(tmp_path) -> InsideImagefs:
    return InsideImagefs(tmp_path / "store")


# -- names


@pytest.fixture
def several(imagefs) -> InsideImagefs:
    archive = OciArchive()
    archive.add_image([SHARED], name="localhost/debian-12:base")
    archive.add_image([SHARED, OWN], name="localhost/debian-12:tools")
    archive.add_image([OWN], name="registry.example:5000/team/app:1")
    archive.add_image([OWN], name="docker.io/library/other:1")
    archive.add_image([gzip_layer(file("dangling"))])
    imagefs("import", "-", stdin=archive.bytes())
    return imagefs


def test_several_images_in_one_archive_with_each_blob_once(several, tmp_path):
    several("export", "-o", tmp_path / "a.tar", "debian-12:tools", "app:1", "debian-12:base", "debian-12:base")
    with tarfile.open(tmp_path / "a.tar") as archive:
        listed = archive.getnames()
    assert listed[:5] == ["oci-layout", "index.json", "manifest.json", "blobs", "blobs/sha256"]
    assert len(set(listed)) == len(listed) == 5 + 2 + 3 * 2
    assert listed[5:] == sorted(listed[5:])
    full = ["localhost/debian-12:base", "localhost/debian-12:tools", "registry.example:5000/team/app:1"]
    assert names(tmp_path / "a.tar") == full
    assert [each["annotations"][REF_NAME] for each in entries(tmp_path / "a.tar")] == ["base", "tools", "1"]
    assert [each["RepoTags"] for each in dockers(tmp_path / "a.tar")] == [[each] for each in full]


def test_names_of_one_image_share_dockers_entry(several, tmp_path):
    several("tag", "app:1", "docker.io/library/app:2")
    several("export", "-o", tmp_path / "a.tar", "app:2", "team/app:1")
    (entry,) = dockers(tmp_path / "a.tar")
    assert entry["RepoTags"] == ["docker.io/library/app:2", "registry.example:5000/team/app:1"]
    assert len(entries(tmp_path / "a.tar")) == 2


@pytest.mark.parametrize("name", ["debian-12", "localhost/debian-12"])
def test_a_name_without_tag_stands_for_all_its_tags(several, tmp_path, name):
    several("export", "-o", tmp_path / "a.tar", name)
    assert names(tmp_path / "a.tar") == ["localhost/debian-12:base", "localhost/debian-12:tools"]


def test_the_exact_repository_comes_before_the_end_of_another(several, tmp_path):
    several("tag", "app:1", "localhost/other:2")
    several("export", "-o", tmp_path / "a.tar", "other")
    assert names(tmp_path / "a.tar") == ["docker.io/library/other:1"]


def test_the_end_of_two_repositories_is_ambiguous(several, tmp_path):
    several("tag", "app:1", "quay.io/x/app:2")
    refusal = several("export", "-o", tmp_path / "a.tar", "app", check=False)
    expected = "imagefs: app: ambiguous, could be quay.io/x/app, registry.example:5000/team/app\n"
    assert (refusal.status, refusal.err, os.listdir(tmp_path)) == (1, expected, ["store"])


@pytest.mark.parametrize("short", [slice(None), slice(7, None), slice(7, 19), slice(0, 19)])
def test_a_digest_goes_out_without_a_name(several, tmp_path, short):
    content, _ = rows(several)["localhost/debian-12:base"]
    several("export", "-o", tmp_path / "a.tar", content[short])
    (entry,) = entries(tmp_path / "a.tar")
    assert entry == {"mediaType": OCI_MANIFEST, "digest": content, "size": entry["size"]}
    assert [each["RepoTags"] for each in dockers(tmp_path / "a.tar")] == [None]
    other = InsideImagefs(tmp_path / "other")
    other("import", tmp_path / "a.tar")
    assert list(rows(other)) == [content]


def test_a_dangling_image_and_a_name_by_digest(several, tmp_path):
    (dangling,) = [name for name in rows(several) if name.startswith("sha256:")]
    content, _ = rows(several)["docker.io/library/other:1"]
    several("tag", "other:1", f"quay.io/x/app@{content}")
    several("export", "-o", tmp_path / "a.tar", dangling, f"quay.io/x/app@{content}")
    by_digest, without = entries(tmp_path / "a.tar")
    assert by_digest["annotations"] == {
        CONTAINERD_NAME: f"quay.io/x/app@{content}",
        REF_NAME: f"quay.io/x/app@{content}",
    }
    assert (without["digest"], "annotations" in without) == (dangling, False)


def test_the_digest_of_a_tag_behind_its_name_goes_out_without_a_name(several, tmp_path):
    content, _ = rows(several)["docker.io/library/other:1"]
    several("export", "-o", tmp_path / "a.tar", f"other@{content}")
    assert [(each["digest"], "annotations" in each) for each in entries(tmp_path / "a.tar")] == [(content, False)]
    refusal = several("export", "-o", tmp_path / "b.tar", f"debian-12@{content}", check=False)
    assert (refusal.status, refusal.err) == (1, f"imagefs: debian-12@{content}: no such image\n")


# -- writing


@pytest.fixture
def grown(imagefs) -> InsideImagefs:
    grow(imagefs)
    return imagefs


def test_a_damaged_blob_leaves_no_file(grown, tmp_path):
    blob = grown.store / "blobs" / digest_of(OWN).replace(":", "/")
    blob.chmod(0o600)
    blob.write_bytes(blob.read_bytes()[:-1] + b"\1")
    refusal = grown("export", "-o", tmp_path / "a.tar", "app:2", check=False)
    assert (refusal.status, refusal.err) == (1, f"imagefs: {digest_of(OWN)}: damaged in the store\n")
    assert os.listdir(tmp_path) == ["store"]


def test_a_damaged_document_is_told_with_the_name_of_its_image(grown, tmp_path):
    content, _ = rows(grown)["docker.io/library/app:2"]
    document = grown.store / "blobs" / content.replace(":", "/")
    document.chmod(0o600)
    document.write_bytes(b"[]")
    refusal = grown("export", "-o", tmp_path / "a.tar", "app", check=False)
    assert refusal.status == 1
    assert refusal.err.startswith(f"imagefs: docker.io/library/app:2: {content}: not a valid manifest")


def test_a_folder_is_no_file_to_write(grown, tmp_path):
    for folder in (tmp_path, f"{tmp_path}/new/"):
        refusal = grown("export", "-o", folder, "app:2", check=False)
        assert (refusal.status, refusal.err) == (1, f"imagefs: {folder}: Is a directory\n")
    assert os.listdir(tmp_path) == ["store"]


def test_equal_bytes_whatever_the_machine(imagefs, tmp_path):
    """Two stores that got the same in another order; another machine, locale, time zone, umask, hash seed."""
    image, single = Multi(S390X, ARM64, AMD64), OciArchive()
    single.add_image([SHARED, OWN], name="one:1")
    both = [image.archive.bytes(), single.bytes(order=reversed)]
    script = (
        "import os, platform, sys\n"
        "os.umask(int(sys.argv.pop(1), 8))\n"
        "machine = sys.argv.pop(1)\n"
        "platform.machine = lambda: machine\n"
        "from imagefs.cli.main import main\n"
        "main()\n"
    )
    exports = set()
    for number, (umask, machine, locale, zone) in enumerate(
        [("022", "x86_64", "C", "UTC"), ("077", "aarch64", "C.UTF-8", "Asia/Tokyo")]
    ):
        store = InsideImagefs(tmp_path / str(number))
        for archive in both[:: 1 - 2 * number]:
            store("import", "-", stdin=archive)
        environment = {**os.environ, "LC_ALL": locale, "TZ": zone, "PYTHONHASHSEED": str(number)}
        command = [sys.executable, "-c", script, umask, machine, "--store", str(store.store)]
        command += ["export", "-o", "-", "one:1", "multi:1"]
        done = subprocess.run(command, env=environment, capture_output=True, check=True)
        exports.add(done.stdout)
    assert len(exports) == 1
    (tmp_path / "a.tar").write_bytes(exports.pop())
    with tarfile.open(tmp_path / "a.tar") as archive:
        constant = {(each.mtime, each.uid, each.gid, each.uname, each.gname) for each in archive}
        modes = {(each.isdir(), each.mode) for each in archive}
    assert (constant, modes) == ({(0, 0, 0, "", "")}, {(True, 0o755), (False, 0o644)})


def test_docker_is_shown_the_first_platform_that_is_complete(imagefs, tmp_path):
    image = Multi(ARM64, S390X, AMD64)
    take(imagefs, image.archive, image.manifests[0]["digest"])
    imagefs("export", "-o", tmp_path / "a.tar", "multi:1")
    config = json.loads(image.archive.blobs[image.manifests[1]["digest"]])["config"]["digest"]
    assert [each["Config"] for each in dockers(tmp_path / "a.tar")] == [f"blobs/{config.replace(':', '/')}"]


# -- usage


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--platform", "linux/amd64", "--all-platforms"], "--platform and --all-platforms"),
        (["--format", "docker", "--skip-manifest-json"], "manifest.json"),
        (["--format", "docker", "--base", "app:1"], "--base"),
        (["--format", "x"], "x"),
    ],
)
def test_wrong_usage(tmp_path, arguments, problem):
    result = Imagefs(tmp_path / "store")("export", *arguments, "-o", tmp_path / "a.tar", "app:2", check=False)
    assert (result.status, problem in result.err, os.listdir(tmp_path)) == (2, True, [])


@pytest.mark.parametrize("arguments", [["export", "x:1"], ["export", "-o", "a.tar"], ["save"], ["save", "-o", "a.tar"]])
def test_what_has_to_be_given(tmp_path, arguments):
    result = Imagefs(tmp_path / "store")(*arguments, check=False)
    assert (result.status, os.listdir(tmp_path)) == (2, [])


def test_save_writes_to_standard_output_or_a_file(grown, tmp_path):
    command = [sys.executable, "-m", "imagefs", "--store", str(grown.store), "save", "app:1", "app:2"]
    done = subprocess.run(command, capture_output=True, check=True)
    grown("save", "-o", tmp_path / "saved.tar", "app")
    grown("export", "-o", tmp_path / "exported.tar", "app:2", "app:1")
    assert done.stdout == (tmp_path / "saved.tar").read_bytes() == (tmp_path / "exported.tar").read_bytes()


def test_save_does_not_write_to_a_terminal(grown):
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "imagefs", "--store", str(grown.store), "save", "app:1"]
    done = subprocess.run(command, stdout=child, stderr=subprocess.PIPE, check=False)
    os.close(child)
    os.close(parent)
    assert done.returncode == 2
    assert b"use -o FILE or a pipe" in done.stderr
