"""The tar of a mount is an archive, and two of them are equal."""

import json
import os
import subprocess

import pytest
from support.archives import ARM64, OciArchive, file, gzip_layer, zstd_layer
from support.command import Imagefs


def tar_of(folder, *options: str) -> bytes:
    return subprocess.run(["tar", "-C", folder, *options, "-cf", "-", "."], check=True, capture_output=True).stdout


@pytest.fixture
def three(imagefs: Imagefs) -> Imagefs:
    archive = OciArchive()
    shared = gzip_layer(file("shared", b"s" * 9000))
    archive.add_image([shared], name="one:1")
    archive.add_image([shared, zstd_layer(file("two"))], name="quay.io/x/two:2")
    both = [archive.add_manifest([shared]), archive.add_manifest([gzip_layer(file("arm"))], ARM64)]
    archive.add_index(both, name="multi:3")
    imagefs("import", "-", stdin=archive.bytes())
    return imagefs


def listing(imagefs: Imagefs) -> list:
    return json.loads(imagefs("images", "--json").out)


@pytest.mark.parametrize("way", ["exclude", "layout", "everything", "export", "export oci"])
def test_round_trip(three, mount, tmp_path, way):
    if way == "exclude":
        data = tar_of(mount(), "--exclude=./images")
    elif way == "layout":
        data = tar_of(mount("--view", "layout"))
    elif way == "everything":
        data = tar_of(mount())
    else:
        options = ["--format", "oci"] if way == "export oci" else []
        names = [each["name"] for each in listing(three)]
        three("export", *options, "-o", tmp_path / "out.tar", *names)
        data = (tmp_path / "out.tar").read_bytes()
    other = Imagefs(tmp_path / "other")
    other("import", "-", stdin=data)
    assert listing(other) == listing(three)


def test_two_tars_are_equal(three, mount):
    assert tar_of(mount(), "--exclude=./images") == tar_of(mount(), "--exclude=./images")
    assert three("export", "-o", "-", "one:1").out == three("export", "-o", "-", "one:1").out


def test_docker_format_keeps_configuration_and_layers(three, tmp_path):
    three("export", "--format", "docker", "-o", tmp_path / "d.tar", "one:1", "two:2")
    other = Imagefs(tmp_path / "other")
    assert other("import", tmp_path / "d.tar").lines == ["docker.io/library/one:1", "quay.io/x/two:2"]
    for name in ("one:1", "two:2"):
        mine, theirs = (json.loads(store("inspect", "--json", name).out)["manifests"][0] for store in (three, other))
        assert mine["config"] == theirs["config"]
        assert [each["diffID"] for each in mine["layers"]] == [each["diffID"] for each in theirs["layers"]]


def test_platforms_that_are_absent_are_left_out(imagefs, mount, tmp_path):
    archive = OciArchive()
    here = archive.add_manifest([gzip_layer(file("here"))])
    also = archive.add_manifest([gzip_layer(file("also"))], {"os": "linux", "architecture": "s390x"})
    absent = archive.add_manifest([gzip_layer(file("absent"))], ARM64)
    archive.add_index([here, absent, also], name="three:1")
    archive.add_index([here, absent], name="two:1")
    imagefs("import", "-", stdin=archive.bytes(leave_out=[f"blobs/{absent['digest'].replace(':', '/')}"]))
    other = Imagefs(tmp_path / "other")
    other("import", "-", stdin=tar_of(mount("--view", "layout")))
    found = {each["name"]: each for each in listing(other)}
    assert found["docker.io/library/two:1"]["digest"] == here["digest"], "the one manifest that is left"
    assert found["docker.io/library/three:1"]["platforms"] == ["linux/amd64", "linux/s390x"]


def test_export_writes_into_a_pipe_and_does_not_replace_it(three, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE)
    three("export", "-o", tmp_path / "pipe", "one:1")
    assert reader.communicate()[0].startswith(b"oci-layout")
    assert (tmp_path / "pipe").is_fifo()


def test_export_of_a_missing_image_leaves_no_file(three, tmp_path):
    result = three("export", "-o", tmp_path / "out.tar", "nowhere", check=False)
    assert result.status == 1
    assert not list(tmp_path.glob("*out.tar*"))
