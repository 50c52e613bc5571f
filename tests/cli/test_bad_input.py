"""Bad input: one clear line that names the member, exit status 1, and nothing of it in the store."""

import bz2
import gzip
import json
import lzma

import pytest
import zstandard
from support.archives import (
    OciArchive,
    digest_of,
    docker_archive,
    file,
    gzip_layer,
    hardlink,
    layer,
    tar_of,
    whiteout,
)

GOOD = gzip_layer(file("a", b"1" * 100_000))


def blob_name(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def with_layer(blob: bytes) -> bytes:
    archive = OciArchive()
    archive.add_image([blob], tag="x")
    return archive.bytes()


def case_not_an_archive():
    return b"x" * 10_000, "not an image archive"


def case_empty():
    return b"", "empty file"


def case_tar_of_something_else():
    return tar_of([("README", b"hello")]), "not an image archive"


def case_truncated_tar():
    archive = OciArchive()
    image = archive.add_image([GOOD], tag="x")
    data = archive.bytes()
    name = blob_name(json.loads(archive.blobs[image["digest"]])["layers"][0]["digest"])
    return data[: data.index(GOOD) + len(GOOD) // 2], name


def case_truncated_gzip_archive():
    return gzip.compress(with_layer(GOOD))[:-20], "gzip data ends too early"


def case_truncated_zstd_archive():
    return zstandard.ZstdCompressor().compress(with_layer(GOOD))[:-20], "zstd data ends too early"


def case_truncated_gzip_layer():
    archive = OciArchive()
    archive.add_image([GOOD], tag="x")
    cut = GOOD[:-12]
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [digest_of(b"")]}}
    return _with_layers(config, [cut]), "gzip data ends too early"


def case_wrong_digest():
    archive = OciArchive()
    digest = archive.add_blob(b"good")
    archive.add_image([GOOD], tag="x")
    archive.blobs[digest] = b"evil"
    return archive.bytes(), blob_name(digest)


def case_wrong_size():
    archive = OciArchive()
    image = archive.add_image([GOOD], tag="x")
    image["size"] += 1
    return archive.bytes(), f"{image['digest']}: size is {image['size'] - 1} bytes, not {image['size']}"


def case_wrong_diff_id():
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [digest_of(b"other")]}}
    return _with_layers(config, [GOOD]), f"diff ID is {digest_of(gzip.decompress(GOOD))}"


def case_diff_ids_too_few():
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}}
    return _with_layers(config, [GOOD]), "1 layers, but its configuration has 0 diff IDs"


def case_missing_config():
    archive = OciArchive()
    image = archive.add_image([GOOD], tag="x")
    config = json.loads(archive.blobs[image["digest"]])["config"]["digest"]
    return archive.bytes(leave_out=[blob_name(config)]), config


def case_missing_layer():
    archive = OciArchive()
    archive.add_image([GOOD], tag="x")
    return archive.bytes(leave_out=[blob_name(digest_of(GOOD))]), digest_of(GOOD)


def case_missing_docker_layer():
    data = docker_archive([([layer(file("a"))], ["x:1"])])
    return data.replace(b'/layer.tar"', b'/layer.tor"'), "layer.tor: manifest.json lists it"


def case_layer_that_is_no_tar():
    blob = gzip.compress(b"no tar at all" * 100)
    return with_layer(blob), f"{digest_of(blob)}: no tar header at byte 0"


def case_broken_json():
    archive = OciArchive()
    archive.add_image([GOOD], tag="x")
    return archive.bytes().replace(b'{"schemaVersion":2,"manifests"', b'{"schemaVersion":2,,manifests"'), "index.json"


def case_deep_json():
    return tar_of(
        [("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), ("index.json", b'{"manifests":' + b"[" * 100_000)]
    ), "index.json"


def case_another_layout_version():
    archive = OciArchive()
    archive.add_image([], name="app:1")
    archive.extra = {"oci-layout": b'{"imageLayoutVersion":"2.0.0"}'}
    return archive.bytes(), "oci-layout: an OCI layout of version 2.0.0, not 1.0.0"


def case_broken_xz():
    return lzma.compress(OciArchive().bytes())[:-30], "xz data"


def case_broken_bzip2():
    return bz2.compress(OciArchive().bytes())[:-30], "bzip2 data ends too early"


def case_no_images():
    return OciArchive().bytes(), "index.json: it lists no image"


def case_impossible_blob_name():
    archive = OciArchive()
    archive.add_image([GOOD], tag="x")
    archive.extra["blobs/sha256/zz"] = b"?"
    return archive.bytes(), "blobs/sha256/zz"


def case_whiteout_of_nothing():
    return with_layer(layer(file("d/.wh.", b""))), "d/.wh."


def case_whiteout_of_here():
    return with_layer(layer(file("d/.wh..", b""))), "d/.wh.."


def case_whiteout_of_above():
    return with_layer(layer(file("d/.wh...", b""))), "d/.wh..."


def case_hard_link_to_the_root():
    return with_layer(layer(hardlink("a", "../.."))), "a: a hard link"


def _with_layers(config: dict, layers: list[bytes]) -> bytes:
    archive = OciArchive()
    manifest = archive.add_manifest([])
    document = json.loads(archive.blobs.pop(manifest["digest"]))
    data = json.dumps(config).encode()
    document["config"] |= {"digest": archive.add_blob(data), "size": len(data)}
    document["layers"] = [
        {
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": archive.add_blob(blob),
            "size": len(blob),
        }
        for blob in layers
    ]
    archive.name(archive.add_document(document, document["mediaType"]), tag="x")
    return archive.bytes()


CASES = {name.removeprefix("case_"): make for name, make in list(globals().items()) if name.startswith("case_")}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(imagefs, tmp_path, case):
    data, expected = CASES[case]()
    path = tmp_path / "bad.tar"
    path.write_bytes(data)
    result = imagefs("import", "-q", path, check=False)
    assert result.status == 1
    (line,) = result.err.splitlines()
    assert line.startswith(f"imagefs: {path}: ")
    assert expected in line
    assert result.out == ""
    assert imagefs("images", "--json").out.strip() == "[]"
    assert imagefs.files() == []
    imagefs("gc")
    assert imagefs.files() == []


def test_what_was_there_before_a_bad_import_stays(imagefs, tmp_path):
    good = OciArchive()
    good.add_image([GOOD], name="app:1")
    imagefs("import", good.write(tmp_path / "good.tar"))
    before = imagefs.files()
    bad = OciArchive()
    bad.add_image([GOOD, layer(file("x/.wh.", b""))], name="app:1")
    assert imagefs("import", bad.write(tmp_path / "bad.tar"), check=False).status == 1
    assert imagefs.files() == before
    assert json.loads(imagefs("images", "--json").out)[0]["digest"] == good.manifests[0]["digest"]


def test_a_missing_file_makes_no_store(imagefs, tmp_path):
    result = imagefs("import", tmp_path / "nowhere", check=False)
    assert (result.status, result.err) == (1, f"imagefs: {tmp_path}/nowhere: No such file or directory\n")
    assert not imagefs.store.exists()


def test_null_where_lists_are_empty_is_no_error(imagefs, tmp_path):
    archive = OciArchive()
    config = b'{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":null}}'
    document = {
        "schemaVersion": 2,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": archive.add_blob(config),
            "size": len(config),
        },
        "layers": None,
    }
    archive.name(archive.add_document(document, "application/vnd.oci.image.manifest.v1+json"), tag="x")
    assert imagefs("import", archive.write(tmp_path / "a.tar")).lines == ["localhost/a:x"]


def test_paths_that_climb_stay_inside(imagefs, tmp_path):
    archive = OciArchive()
    archive.add_image([layer(file("../../up", b"1"), file("/abs", b"2"), file("a/../b", b"3"), whiteout("../gone"))])
    imagefs("import", archive.write(tmp_path / "a.tar"))


@pytest.mark.parametrize(
    "arguments", [["import"], ["nonsense"], ["mount"], ["export", "x"], ["import", "--format", "x", "-"]]
)
def test_usage_errors_exit_2(imagefs, arguments):
    result = imagefs(*arguments, check=False)
    assert result.status == 2
    assert "Usage" in result.err


def test_more_layers_than_an_image_may_have(imagefs, tmp_path):
    archive = OciArchive()
    archive.add_image([layer(file("a"))] * 257, tag="1")
    done = imagefs("import", "-q", archive.write(tmp_path / "many.tar"), check=False)
    assert done.status == 1
    assert done.err.endswith(": 257 layers, more than 256\n")
    assert len(done.err.splitlines()) == 1
    assert imagefs.files() == []


def test_as_many_layers_as_an_image_may_have(imagefs, tmp_path):
    archive = OciArchive()
    archive.add_image([layer(file(f"{number:03}")) for number in range(256)], tag="1")
    imagefs("import", "-q", archive.write(tmp_path / "many.tar"))
    assert len(imagefs("ls", "many:1").lines) == 256
