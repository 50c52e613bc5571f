"""`imagefs import`: formats, orders, names, and what it says."""

import gzip
import json
import subprocess
import sys

import pytest
import zstandard
from support.archives import (
    ARM64,
    OciArchive,
    digest_of,
    docker_archive,
    file,
    gzip_layer,
    layer,
    uncompressed,
    zstd_layer,
)
from support.command import Imagefs

BASE = gzip_layer(file("etc/os-release", b"ID=test\n"), file("bin/sh", b"#!" * 5000))
TOP = zstd_layer(file("etc/motd", b"hello\n"))
PLAIN = layer(file("plain", b"x" * 3000))


def simple() -> OciArchive:
    archive = OciArchive()
    archive.add_image([BASE, TOP, PLAIN], tag="1.0")
    return archive


def images(imagefs: Imagefs) -> dict[str, dict]:
    return {each["name"] or each["digest"]: each for each in json.loads(imagefs("images", "--json").out)}


@pytest.mark.parametrize("order", [None, reversed, sorted], ids=["documents first", "documents last", "sorted"])
@pytest.mark.parametrize("prefix", ["", "./"])
def test_members_come_in_any_order(imagefs, tmp_path, order, prefix):
    archive = simple()
    path = archive.write(tmp_path / "app.oci.tar", order=order, prefix=prefix)
    assert imagefs("import", "-q", path).lines == ["localhost/app:1.0"]
    assert images(imagefs)["localhost/app:1.0"]["digest"] == archive.manifests[0]["digest"]
    unpacked = {path.split("/")[1] for path in imagefs.files() if path.startswith("layers/")}
    assert unpacked == {digest_of(uncompressed(each)) for each in (BASE, TOP, PLAIN)}
    assert f"layers/{digest_of(PLAIN)}/layer.tar" not in imagefs.files(), "a plain layer is its own blob"


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.ZstdCompressor().compress], ids=["gzip", "zstd"])
def test_a_whole_archive_can_be_compressed(imagefs, compress):
    assert imagefs("import", "-", stdin=compress(simple().bytes())).lines == ["localhost/import:1.0"]


def test_a_layout_folder_is_read_as_far_as_its_index_leads(imagefs, tmp_path):
    archive = simple()
    stray = archive.add_blob(b"nobody refers to this")
    archive.write_folder(tmp_path / "lay")
    assert imagefs("import", "-q", tmp_path / "lay").lines == ["localhost/lay:1.0"]
    assert f"blobs/{stray.replace(':', '/')}" not in imagefs.files()


def test_blobs_are_kept_byte_for_byte_and_strays_are_not_kept(imagefs, tmp_path):
    archive = simple()
    needed = dict(archive.blobs)
    archive.add_blob(gzip_layer(file("looks/like/a/layer")))
    archive.add_blob(b"\x1f\x8b\x08 looks like gzip and is not")
    imagefs("import", archive.write(tmp_path / "a.tar"))
    kept = {path for path in imagefs.files() if path.startswith("blobs/")}
    assert kept == {f"blobs/{digest.replace(':', '/')}" for digest in needed}
    for digest, data in needed.items():
        assert (imagefs.store / "blobs" / digest.replace(":", "/")).read_bytes() == data


def test_a_foreign_images_folder_is_passed_over(imagefs, tmp_path):
    archive = simple()
    archive.extra["images/localhost/app:1.0/blobs/sha256/short"] = b"not read"
    assert imagefs("import", archive.write(tmp_path / "a.tar")).lines == ["localhost/a:1.0"]


def test_nested_indexes_and_all_platforms(imagefs, tmp_path):
    archive = OciArchive()
    both = archive.add_nested([archive.add_manifest([BASE]), archive.add_manifest([TOP], ARM64)])
    attestation = archive.add_manifest([layer(file("a"))], {"os": "unknown", "architecture": "unknown"})
    archive.add_index([both, attestation], name="docker.io/library/multi:2")
    assert imagefs("import", archive.write(tmp_path / "a.tar")).lines == ["docker.io/library/multi:2"]
    (image,) = images(imagefs).values()
    assert image["platforms"] == ["linux/amd64", "linux/arm64/v8"]
    assert image["digest"] == archive.manifests[0]["digest"]


@pytest.mark.parametrize("repeated", ["once", "symlink", "copy"])
@pytest.mark.parametrize("manifest_first", [False, True])
@pytest.mark.parametrize("prefix", ["", "./"])
def test_docker_archives(imagefs, tmp_path, repeated, manifest_first, prefix):
    shared = layer(file("shared", b"1"))
    data = docker_archive(
        [([shared, PLAIN], ["one:1", "quay.io/x/one:1"]), ([shared, layer(file("two"))], None)],
        repeated=repeated,
        manifest_first=manifest_first,
        prefix=prefix,
    )
    path = tmp_path / "saved.tar"
    path.write_bytes(data)
    names = imagefs("import", path).lines
    assert names[:2] == ["docker.io/library/one:1", "quay.io/x/one:1"]
    assert names[2].startswith("sha256:")
    found = images(imagefs)
    assert found[names[0]]["digest"] == found[names[1]]["digest"]
    assert found[names[2]]["digest"] == names[2]
    description = json.loads(imagefs("inspect", "--json", "one:1").out)
    assert [each["digest"] for each in description["manifests"][0]["layers"]] == [digest_of(shared), digest_of(PLAIN)]


def test_docker_25_form_is_read_as_the_layout_that_it_is(imagefs, tmp_path):
    archive = simple()
    config = json.loads(archive.blobs[archive.manifests[0]["digest"]])["config"]["digest"].replace(":", "/")
    entry = {"Config": f"blobs/{config}", "RepoTags": ["app:1"], "Layers": []}
    archive.extra["manifest.json"] = json.dumps([entry]).encode()
    imagefs("import", archive.write(tmp_path / "a.tar", order=reversed))
    assert images(imagefs)["localhost/a:1.0"]["digest"] == archive.manifests[0]["digest"]


@pytest.mark.parametrize(
    ("entry", "options", "expected"),
    [
        ({"tag": "12"}, [], "localhost/debian-12:12"),
        ({"tag": "12"}, ["-n", "foo/bar"], "docker.io/foo/bar:12"),
        ({"tag": "busybox:1"}, [], "docker.io/library/busybox:1"),
        ({"tag": "localhost:5000/a/b:c"}, [], "localhost:5000/a/b:c"),
        ({"name": "ghcr.io/x/y:z", "tag": "z"}, [], "ghcr.io/x/y:z"),
        ({"name": "busybox"}, [], "docker.io/library/busybox:latest"),
        ({"tag": "no name at all!"}, [], "{digest}"),
        ({}, [], "{digest}"),
        ({}, ["-n", "quay.io/p"], "quay.io/p@{digest}"),
    ],
)
def test_names(imagefs, tmp_path, entry, options, expected):
    archive = OciArchive()
    image = archive.add_image([BASE], **entry)
    path = archive.write(tmp_path / "debian-12.oci.tar")
    assert imagefs("import", *options, path).lines == [expected.format(digest=image["digest"])]


def test_a_tag_that_moves_is_said(imagefs, tmp_path):
    first = OciArchive()
    before = first.add_image([BASE], name="app:1")
    second = OciArchive()
    second.add_image([TOP], name="app:1")
    imagefs("import", first.write(tmp_path / "a.tar"))
    result = imagefs("import", second.write(tmp_path / "b.tar"))
    assert f"docker.io/library/app:1: moved here from {before['digest']}" in result.err
    again = json.loads(imagefs("import", "--json", tmp_path / "a.tar").out)
    assert again[0]["movedFrom"] == second.manifests[0]["digest"]


def test_progress_is_plain_lines_for_a_pipe_and_nothing_with_q(imagefs, tmp_path):
    path = simple().write(tmp_path / "a.tar")
    assert f"{digest_of(BASE)[7:19]}: unpacked" in imagefs("import", path).err.splitlines()
    assert imagefs("import", "-q", path).err == ""


def test_no_unpack_leaves_layers_compressed(imagefs, tmp_path):
    imagefs("import", "--no-unpack", simple().write(tmp_path / "a.tar"))
    assert not [path for path in imagefs.files() if path.startswith("layers/")]


def test_importing_again_changes_nothing(imagefs, tmp_path):
    path = simple().write(tmp_path / "a.tar")
    imagefs("import", path)
    before = {name: (imagefs.store / name).stat().st_mtime_ns for name in imagefs.files()}
    assert imagefs("import", path).lines == ["localhost/a:1.0"]
    assert {name: (imagefs.store / name).stat().st_mtime_ns for name in imagefs.files()} == before


def test_a_name_that_several_manifests_have_is_an_index_of_them(imagefs, tmp_path):
    archive = OciArchive()
    archive.add_image([BASE], tag="1")
    archive.add_image([TOP], tag="1", platform=ARM64)
    assert imagefs("import", archive.write(tmp_path / "a.tar")).lines == ["localhost/a:1"]
    assert images(imagefs)["localhost/a:1"]["platforms"] == ["linux/amd64", "linux/arm64/v8"]


def test_a_manifest_with_a_key_of_an_index_is_a_manifest(imagefs):
    archive = OciArchive()
    manifest = archive.add_manifest([BASE])
    document = json.loads(archive.blobs.pop(manifest["digest"])) | {"manifests": []}
    archive.name(archive.add_document(document, document["mediaType"]), name="app:1")
    imagefs("import", "-", stdin=archive.bytes())
    imagefs("gc")
    assert len([path for path in imagefs.files() if path.startswith("blobs/")]) == 3


def test_an_index_may_list_what_is_no_image(imagefs):
    archive = OciArchive()
    data = b"not JSON"
    other = {"mediaType": "application/x-other", "digest": archive.add_blob(data), "size": len(data)}
    archive.add_index([archive.add_manifest([BASE]), other], name="app:1")
    imagefs("import", "-", stdin=archive.bytes())
    before = imagefs.files()
    imagefs("gc")
    assert imagefs.files() == before
    assert f"blobs/{other['digest'].replace(':', '/')}" in before


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.ZstdCompressor().compress], ids=["gzip", "zstd"])
def test_memory_stays_flat_whatever_a_small_blob_expands_to(imagefs, tmp_path, compress):
    archive = OciArchive()
    archive.add_image([BASE], name="app:1")
    archive.add_blob(compress(bytes(500 << 20)))
    path = archive.write(tmp_path / "a.tar")
    report = tmp_path / "peak"
    # Not getrusage(2)'s figure: that one has the parent's memory in it, from between fork and exec.
    script = (
        "from imagefs.cli.main import main\n"
        "try: main()\n"
        f"finally: open({str(report)!r}, 'w').write(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    command = [sys.executable, "-c", script, "--store", str(imagefs.store), "import", "-q", str(path)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert int(report.read_text()) < 200 * 1000


def test_a_layer_of_many_chunks(imagefs, tmp_path):
    big = gzip_layer(*(file(f"d{number % 7}/f{number}", bytes([number % 251]) * 200_000) for number in range(40)))
    archive = OciArchive()
    archive.add_image([big], tag="big")
    imagefs("import", archive.write(tmp_path / "a.tar"))
    unpacked = imagefs.store / "layers" / digest_of(uncompressed(big)) / "layer.tar"
    assert unpacked.read_bytes() == uncompressed(big)
